package router

import (
	"fmt"
	"net/http"
	"strconv"
)

// refuse answers with a page of one sentence, and ends the connection where
// what follows on it could not be trusted.
func refuse(w http.ResponseWriter, code int, reason string, last bool) {
	h := w.Header()
	clear(h)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if last {
		h.Set("Connection", "close")
	}
	if code == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	page := fmt.Sprintf("%d %s\n\n%s\n", code, http.StatusText(code), reason)
	h.Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(code)
	_, _ = w.Write([]byte(page)) // the client may have gone
}
