package router

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestACompressedAnswerIsToldFromThePlainOne(t *testing.T) {
	long := strings.Repeat("the same words again and again ", 200)
	var fields http.Header
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		for name, values := range fields {
			w.Header()[name] = values
		}
		_, _ = io.WriteString(w, long)
	})
	s := serve(t, Options{})
	table := one(targetOf("1", b))
	table.Routes[0].Compress = true
	s.set(t, table)
	text := func(more ...string) http.Header {
		h := http.Header{"Content-Type": {"text/plain"}}
		for i := 0; i < len(more); i += 2 {
			h.Add(more[i], more[i+1])
		}
		return h
	}
	for _, c := range []struct {
		fields    http.Header
		takes     string
		coding    string
		tag, vary []string
	}{
		{text("Etag", `"1"`), "gzip", "gzip", []string{`W/"1"`}, []string{"Accept-Encoding"}},
		{text("Etag", `"1"`), "zstd", "zstd", []string{`W/"1"`}, []string{"Accept-Encoding"}},
		{text("Etag", `W/"1"`), "gzip", "gzip", []string{`W/"1"`}, []string{"Accept-Encoding"}},
		{text("Etag", `"1"`), "identity", "", []string{`"1"`}, []string{"Accept-Encoding"}},
		{text("Vary", "Cookie"), "gzip", "gzip", nil, []string{"Cookie", "Accept-Encoding"}},
		{text("Vary", "Cookie"), "identity", "", nil, []string{"Cookie", "Accept-Encoding"}},
		{text("Vary", "cookie, accept-encoding"), "gzip", "gzip", nil, []string{"cookie, accept-encoding"}},
		{text("Vary", "*"), "gzip", "gzip", nil, []string{"*"}},
		{text("Cache-Control", "max-age=9, No-Transform", "Etag", `"1"`), "gzip", "", []string{`"1"`}, []string{"Accept-Encoding"}},
		{text("Content-Digest", "sha-256=:AAAA:", "Etag", `"1"`), "gzip", "", []string{`"1"`}, []string{"Accept-Encoding"}},
		{text("Content-Encoding", "br", "Etag", `"1"`), "gzip", "br", []string{`"1"`}, []string{"Accept-Encoding"}},
		{text("Content-Range", "bytes 0-9/10", "Etag", `"1"`), "gzip", "", []string{`"1"`}, []string{"Accept-Encoding"}},
	} {
		fields = c.fields
		request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.address, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", c.takes)
		answer, err := s.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if plain := string(body) == long; err != nil || plain != (c.coding == "" || c.coding == "br") {
			t.Errorf("%v for %q: plain is %t, %v", c.fields, c.takes, plain, err)
		}
		got := [][]string{{answer.Header.Get("Content-Encoding")}, answer.Header["Etag"], answer.Header["Vary"]}
		if diff := cmp.Diff([][]string{{c.coding}, c.tag, c.vary}, got); diff != "" {
			t.Errorf("%v for %q: %s", c.fields, c.takes, diff)
		}
	}
}

func TestAStreamIsPassedOnAsItComesWhereAnswersAreCompressedAndLogged(t *testing.T) {
	access, err := OpenAccessLog(filepath.Join(t.TempDir(), "access.log"), FormatJSON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { access.Close() })
	begun, next := make(chan struct{}), make(chan string)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Path[1:])
		if r.URL.Path == "/text/event-stream" { // whose head does not wait
			w.(http.Flusher).Flush()
			<-begun
		}
		for piece := range next {
			_, _ = io.WriteString(w, piece)
			w.(http.Flusher).Flush()
		}
	})
	s := serve(t, Options{Access: access})
	table := one(targetOf("1", b))
	table.Routes[0].Compress, table.Routes[0].Log = true, true
	s.set(t, table)
	for _, kind := range []string{"text/event-stream", "text/plain"} {
		for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": http2Client(t, nil)} {
			next = make(chan string, 1)
			if kind == "text/plain" {
				next <- "a piece"
			}
			answer, err := client.Get("http://" + s.address + "/" + kind) // it takes gzip, and unpacks it
			if err != nil {
				t.Fatal(err)
			}
			if kind == "text/event-stream" {
				begun <- struct{}{}
				next <- "a piece"
			}
			buffer := make([]byte, len("a piece"))
			for range 3 { // only after the one before has come
				if _, err := io.ReadFull(answer.Body, buffer); err != nil || string(buffer) != "a piece" {
					t.Fatalf("%s by %s: %q, %v", kind, name, buffer, err)
				}
				next <- "a piece"
			}
			close(next)
			answer.Body.Close()
		}
	}
}
