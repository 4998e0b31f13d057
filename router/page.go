package router

import (
	"fmt"
	"net/http"
	"strconv"
)

// ownPage is a page of the router's own, of one sentence, and its fields.
func ownPage(code int, reason string) (fields [][2]string, page string) {
	page = fmt.Sprintf("%d %s\n\n%s\n", code, http.StatusText(code), reason)
	fields = [][2]string{
		{"Content-Type", "text/plain; charset=utf-8"},
		{"X-Content-Type-Options", "nosniff"},
		{"Cache-Control", "no-store"},
		{"Content-Length", strconv.Itoa(len(page))},
	}
	if passing(code) {
		fields = append(fields, [2]string{"Retry-After", "1"})
	}
	return fields, page
}

// passing tells whether an answer of the router's own may soon be another.
func passing(code int) bool {
	return code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests
}

// refuse answers with a page of the router's own, and ends the connection where
// what follows on it could not be trusted.
func refuse(w http.ResponseWriter, code int, reason string, last bool) {
	fields, page := ownPage(code, reason)
	h := w.Header()
	challenge := h["Www-Authenticate"]
	clear(h)
	if challenge != nil {
		h["Www-Authenticate"] = challenge
	}
	for _, f := range fields {
		h.Set(f[0], f[1])
	}
	if last {
		h.Set("Connection", "close")
	}
	w.WriteHeader(code)
	_, _ = w.Write([]byte(page)) // the client may have gone
}

// sendPage answers with a page of the route's own.
func sendPage(w http.ResponseWriter, code int, page string, last bool) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(page)))
	if passing(code) {
		h.Set("Retry-After", "1")
	}
	if last {
		h.Set("Connection", "close")
	}
	w.WriteHeader(code)
	_, _ = w.Write([]byte(page)) // the client may have gone
}
