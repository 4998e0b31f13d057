package router

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// challengePath is where an authority looks for its challenge (RFC 8555, 8.3).
const challengePath = "/.well-known/acme-challenge/"

// redirects tells whether requests that come without TLS are sent to TLS.
func (r *Router) redirects(secure bool) bool { return r.options.HTTPS != 0 && !secure }

// challenged tells whether a request's target may be an authority's.
func (r *Router) challenged(target []byte) bool {
	return r.options.Challenge != nil && strings.HasPrefix(string(target), challengePath)
}

// elsewhere answers what no route is asked for: challenges, and requests that
// are to come by TLS.
func (r *Router) elsewhere(w http.ResponseWriter, request *http.Request) bool {
	if r.challenged([]byte(request.URL.Path)) && r.options.Challenge(w, request) {
		return true
	}
	if !r.redirects(isHTTPS(request) || r.saidSecure(request)) {
		return false
	}
	host, _, err := net.SplitHostPort(request.Host)
	if err != nil {
		host = strings.Trim(request.Host, "[]")
	}
	if host == "" {
		http.Error(w, "a Host is needed", http.StatusBadRequest)
		return true
	}
	switch {
	case r.options.HTTPS != 443:
		host = net.JoinHostPort(host, strconv.Itoa(r.options.HTTPS))
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	w.Header().Set("Location", "https://"+host+request.URL.RequestURI())
	w.WriteHeader(http.StatusPermanentRedirect)
	return true
}

// saidSecure tells whether a trusted proxy says that it got the request by TLS: to
// send its client there again would never end.
func (r *Router) saidSecure(request *http.Request) bool {
	said := request.Header["X-Forwarded-Proto"]
	return len(said) == 1 && said[0] == "https" &&
		originOf(parsedAddress(request.RemoteAddr), false, r.options.Trusted).trusted
}
