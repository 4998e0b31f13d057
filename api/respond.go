package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxBody bounds what a request may send, in bytes.
const maxBody = 64 << 10

// fallback is the pattern that takes what no route under /v1 takes.
const fallback = "/v1/"

// fault is an answer other than success: the status and what to say.
type fault struct {
	status  int
	message string
}

func (f *fault) Error() string { return f.message }

func faultf(status int, format string, args ...any) *fault {
	return &fault{status: status, message: fmt.Sprintf(format, args...)}
}

// reply writes a value as JSON, two spaces deep, so that it reads well in a
// terminal.
func reply(w http.ResponseWriter, status int, value any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		fmt.Fprintf(&b, "{\"error\":%q}\n", err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client is gone: nobody is left to tell
}

// refuse answers with an error; one that is no fault is the server's own.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var f *fault
	if errors.As(err, &f) {
		status = f.status
	}
	reply(w, status, map[string]string{"error": err.Error()})
}

// unknown answers for every path and method under /v1 that has no route.
func (s *server) unknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := s.mux.Handler(probe); pattern != fallback {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		refuse(w, faultf(http.StatusNotFound, "no resource %q; GET /v1/status, /v1/services, /v1/hosts, /v1/tasks, /v1/events, /v1/decisions, /v1/history/SERVICE, /v1/logs/SERVICE or /v1/stream", r.URL.Path))
		return
	}
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	refuse(w, faultf(http.StatusMethodNotAllowed, "method %s is not allowed on %q; use %s", r.Method, r.URL.Path, list))
}

// body reads the one JSON object of a request strictly; an empty body leaves
// the value as it is.
func body(w http.ResponseWriter, r *http.Request, value any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(value)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			return faultf(http.StatusBadRequest, "more than one JSON value in the body")
		}
		return nil
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return faultf(http.StatusRequestEntityTooLarge, "the body is over %d bytes", large.Limit)
	}
	return faultf(http.StatusBadRequest, "the body is not as it should be: %s", strings.TrimPrefix(err.Error(), "json: "))
}
