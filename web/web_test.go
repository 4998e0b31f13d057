package web

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func get(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestWithoutABuiltPageTheAnswerSaysHowToBuildIt(t *testing.T) {
	w := get(t, handler(nil), http.MethodGet, "/")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "make web") || !strings.Contains(w.Body.String(), "npm") {
		t.Errorf("status %d, body %s; want the remedy", w.Code, w.Body)
	}
}

func TestTheBuiltPageIsServed(t *testing.T) {
	built := handler(fstest.MapFS{
		"index.html":      {Data: []byte("<p>the page</p>")},
		"assets/app-1.js": {Data: []byte("run()")},
	})
	for _, c := range []struct {
		method, path string
		status       int
		body, cache  string
	}{
		{http.MethodGet, "/", http.StatusOK, "<p>the page</p>", "no-cache"},
		{http.MethodGet, "/assets/app-1.js", http.StatusOK, "run()", "immutable"},
		{http.MethodGet, "/nothing", http.StatusNotFound, "404", ""},
		{http.MethodGet, "/assets/", http.StatusNotFound, "404", ""},
		{http.MethodPost, "/", http.StatusMethodNotAllowed, "POST", ""},
	} {
		w := get(t, built, c.method, c.path)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) || !strings.Contains(w.Header().Get("Cache-Control"), c.cache) {
			t.Errorf("%s %s: status %d, Cache-Control %q, body %q; want %d, %q, %q",
				c.method, c.path, w.Code, w.Header().Get("Cache-Control"), w.Body, c.status, c.cache, c.body)
		}
	}
}

func TestThePageMayLoadNothingFromElsewhere(t *testing.T) {
	csp := get(t, handler(fstest.MapFS{"index.html": {}}), http.MethodGet, "/").Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
		t.Errorf("policy %q; want no other source than the page's own server", csp)
	}
}

func TestWhatWasBuiltIsWholeAndNothingIfNot(t *testing.T) {
	files, ok := Assets()
	_, err := fs.Stat(files, "index.html")
	if ok != (err == nil) {
		t.Fatalf("Assets says %t, index.html: %v", ok, err)
	}
	want := "was not built into it"
	if ok {
		want = `<div id="page">`
	}
	if body := get(t, Handler(), http.MethodGet, "/").Body.String(); !strings.Contains(body, want) {
		t.Errorf("the page does not contain %q:\n%s", want, body)
	}
}
