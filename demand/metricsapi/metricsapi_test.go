package metricsapi_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"plimsoll/demand/metricsapi"
)

// serve answers every request with a status and a text.
func serve(t *testing.T, status int, text string) string {
	t.Helper()
	return serveWith(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	})
}

func serveWith(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func open(t *testing.T, o metricsapi.Options) *metricsapi.Source {
	t.Helper()
	s, err := metricsapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheNumberAtTheLocationIsTheDemand(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	const text = `{"queues":{"jobs":{"depth":12},"a.b":{"depth":"7.5"}},"items":[{"v":1},{"v":0}],"big":1.5e3}`
	for location, want := range map[string]float64{
		"queues.jobs.depth": 12, `queues.a\.b.depth`: 7.5, "items.1.v": 0, "items.#": 2, "big": 1500,
	} {
		s := open(t, metricsapi.Options{URL: serve(t, 200, text), ValueLocation: location, Format: "json", Now: func() time.Time { return now }})
		sample, err := s.Read(t.Context())
		if err != nil || sample.Value != want || !sample.At.Equal(now) || !strings.Contains(sample.Detail, location) {
			t.Errorf("%s: sample %+v, error %v; want %v", location, sample, err, want)
		}
	}
}

func TestAnyOtherAnswerIsAnError(t *testing.T) {
	tests := map[string]struct {
		status int
		text   string
		want   string
	}{
		"a status of failure":    {500, `{"depth":12}`, "status 500"},
		"a status of no success": {304, ``, "status 304"},
		"nothing":                {200, ``, "not JSON"},
		"no JSON":                {200, `<html>depth</html>`, "not JSON"},
		"half of an answer":      {200, `{"depth":12`, "not JSON"},
		"nothing at the place":   {200, `{"length":12}`, `"depth": there is nothing`},
		"null":                   {200, `{"depth":null}`, "null is not a number"},
		"true":                   {200, `{"depth":true}`, "true is not a number"},
		"a list":                 {200, `{"depth":[12]}`, "[12] is not a number"},
		"a text":                 {200, `{"depth":"many"}`, `"many"`},
		"an empty text":          {200, `{"depth":""}`, `""`},
		"below zero":             {200, `{"depth":-1}`, `"-1"`},
		"NaN":                    {200, `{"depth":"NaN"}`, `"NaN"`},
		"over every bound":       {200, `{"depth":1e999}`, `"1e999"`},
		"an endless answer":      {200, `{"depth":1,"rest":"` + strings.Repeat("x", 1<<20) + `"}`, "over 1048576 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			url := serve(t, test.status, test.text)
			sample, err := open(t, metricsapi.Options{URL: url, ValueLocation: "depth"}).Read(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), url) {
				t.Errorf("sample %+v, error %v; want one that names the URL and says %q", sample, err, test.want)
			}
		})
	}
}

func TestNobodyAtTheURLIsAnErrorWithoutItsSecrets(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	url := strings.Replace(server.URL, "http://", "http://user:secret@", 1) + "/depth?token=secret"
	_, err := open(t, metricsapi.Options{URL: url, ValueLocation: "depth"}).Read(t.Context())
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), server.URL+"/depth") {
		t.Errorf("error %v, want one that names the place and no secret", err)
	}
}

func TestAnAnswerThatDoesNotEndIsLeftAtTheTimeOut(t *testing.T) {
	url := serveWith(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"depth":`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	_, err := open(t, metricsapi.Options{URL: url, ValueLocation: "depth", Timeout: 30 * time.Millisecond}).Read(t.Context())
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("error %v, want a time-out", err)
	}
}

func TestHeadersAreSent(t *testing.T) {
	url := serveWith(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get("Authorization") == "Bearer x" && r.Host == "metrics.example" {
			_, _ = w.Write([]byte(`{"depth":1}`))
			return
		}
		http.Error(w, "who are you?", http.StatusUnauthorized)
	})
	headers := map[string]string{"authorization": "Bearer x", "host": "metrics.example"}
	s := open(t, metricsapi.Options{URL: url, ValueLocation: "depth", Headers: headers})
	clear(headers) // the source has its own copy
	if sample, err := s.Read(t.Context()); err != nil || sample.Value != 1 {
		t.Errorf("sample %+v, error %v; want 1", sample, err)
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	for want, o := range map[string]metricsapi.Options{
		`url ""`:                          {ValueLocation: "depth"},
		`url "depth.example/x"`:           {URL: "depth.example/x", ValueLocation: "depth"},
		`url "ftp://depth/x"`:             {URL: "ftp://depth/x", ValueLocation: "depth"},
		`url "http:///x"`:                 {URL: "http:///x", ValueLocation: "depth"},
		"valueLocation is missing":        {URL: "http://depth/x"},
		`format "xml": it must be "json"`: {URL: "http://depth/x", ValueLocation: "depth", Format: "xml"},
		`timeout "-1s"`:                   {URL: "http://depth/x", ValueLocation: "depth", Timeout: -time.Second},
	} {
		if _, err := metricsapi.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}
