package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// loginPath is where the sign-in form is sent.
const loginPath = "/login"

// guard lets in only who may ask. With a token: who has it. Without one: who
// asks for a loopback host name, so that a page of another site cannot reach
// the API by a DNS name of its own that it points at this machine. A write from
// another site's page is refused in both cases; there is no CORS.
func (s *server) guard(next http.Handler) http.Handler {
	sites := http.NewCrossOriginProtection()
	sites.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, faultf(http.StatusForbidden, "a page of another origin, %q, may not write here", r.Header.Get("Origin")))
	}))
	next = sites.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		switch {
		case s.Token == "" && !localHost(r.Host):
			refuse(w, faultf(http.StatusMisdirectedRequest, "host %q is not served; ask for localhost or a loopback address, or start with a token", r.Host))
		case s.Token != "" && !s.allowed(r) && !s.ownsTask(r) && r.URL.Path != loginPath:
			s.challenge(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// localHost tells whether a Host header names this machine by a name that no
// DNS server can give to another.
func localHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(strings.TrimSuffix(host, "."), "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// allowed tells whether the request has the token, in the header or as the
// cookie.
func (s *server) allowed(r *http.Request) bool {
	if given := bearer(r); given != "" {
		return same(given, s.Token)
	}
	c, err := r.Cookie(s.cookieName())
	return err == nil && same(c.Value, s.cookieValue())
}

// bearer is the bearer token of a request; empty without one.
func bearer(r *http.Request) string {
	given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return given
}

// same compares in a time that tells nothing of where, or how far, two
// secrets differ.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// cookieName differs with the token, so that two programs on two ports of one
// host do not sign each other out: cookies know no ports.
func (s *server) cookieName() string {
	m := hmac.New(sha256.New, []byte(s.Token))
	m.Write([]byte("plimsoll cookie name"))
	return "plimsoll-" + hex.EncodeToString(m.Sum(nil)[:4])
}

// cookieValue proves the token and is not the token.
func (s *server) cookieValue() string {
	m := hmac.New(sha256.New, []byte(s.Token))
	m.Write([]byte("plimsoll cookie"))
	return hex.EncodeToString(m.Sum(nil))
}

// challenge turns away who has no token: people with the form to sign in,
// programs with an error. A link with ?token= signs in.
func (s *server) challenge(w http.ResponseWriter, r *http.Request) {
	api := strings.HasPrefix(r.URL.Path, "/v1/") || r.URL.Path == "/metrics"
	if given := r.URL.Query().Get("token"); given != "" && !api && r.Method == http.MethodGet {
		s.signIn(w, r, given)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="plimsoll"`)
	if !api {
		s.form(w, "")
		return
	}
	refuse(w, faultf(http.StatusUnauthorized, "a token is needed: send it as \"Authorization: Bearer TOKEN\""))
}

func (s *server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.signIn(w, r, r.PostFormValue("token"))
}

// signIn sets the cookie and leads to the page, at an address without the token.
func (s *server) signIn(w http.ResponseWriter, r *http.Request, given string) {
	if !same(given, s.Token) {
		s.form(w, "That is not the token.")
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: s.cookieValue(), Path: "/",
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
	to := url.URL{Path: "/"}
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// form is the page to sign in with; it needs no script.
func (s *server) form(w http.ResponseWriter, problem string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte(`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
		`<meta name="color-scheme" content="light dark"><title>Plimsoll: sign in</title>` +
		`<h1>Plimsoll</h1><p role="alert">` + problem + `</p><form method="post" action="` + loginPath + `">` +
		`<label>Token <input name="token" type="password" autocomplete="current-password" required autofocus></label> ` +
		`<button>Sign in</button></form></html>`))
}
