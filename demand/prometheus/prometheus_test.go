package prometheus_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"plimsoll/demand/prometheus"
)

// open makes a source.
func open(t *testing.T, o prometheus.Options) *prometheus.Source {
	t.Helper()
	s, err := prometheus.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answers is a server that gives one answer to every query.
func answers(t *testing.T, status int, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Scope") == "wrong" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func vector(values ...string) string {
	var items []string
	for i, v := range values {
		items = append(items, fmt.Sprintf(`{"metric":{"i":"%d"},"value":[1700000000,"%s"]}`, i, v))
	}
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(items, ",") + `]}}`
}

func TestOneNumberIsTheDemandAndAnythingElseIsUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		null   bool
		want   float64
		err    string
	}{
		"one series":     {200, vector("12.5"), false, 12.5, ""},
		"a scalar":       {200, `{"status":"success","data":{"resultType":"scalar","result":[1700000000,"7"]}}`, false, 7, ""},
		"zero":           {200, vector("0"), false, 0, ""},
		"several series": {200, vector("1", "2"), false, 0, "2 series"},
		"nothing":        {200, vector(), false, 0, "the result is empty"},
		"nothing, as 0":  {200, vector(), true, 0, ""},
		"NaN":            {200, vector("NaN"), true, 0, "NaN is not a demand"},
		"infinite":       {200, vector("+Inf"), true, 0, "Inf is not a demand"},
		"negative":       {200, vector("-1"), true, 0, "-1 is not a demand"},
		"a bad query":    {400, `{"status":"error","errorType":"bad_data","error":"parse error"}`, true, 0, "parse error"},
		"a failure":      {503, `oops`, true, 0, "503"},
		"no JSON":        {200, `oops`, true, 0, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, prometheus.Options{ServerAddress: answers(t, c.status, c.body), Query: "q", IgnoreNullValues: c.null})
			sample, err := s.Read(t.Context())
			switch {
			case c.err == "" && (err != nil || sample.Value != c.want):
				t.Errorf("sample %+v, error %v; want %v", sample, err, c.want)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("sample %+v, error %v; want an error with %q", sample, err, c.err)
			}
		})
	}
}

func TestHeadersAreSentAndSecretsAreNotTold(t *testing.T) {
	address := answers(t, 200, vector("1"))
	s := open(t, prometheus.Options{ServerAddress: address, Query: "q", Headers: map[string]string{"X-Scope": "wrong"}})
	if sample, err := s.Read(t.Context()); err == nil {
		t.Errorf("the header is not sent: %+v", sample)
	}
	secret := strings.Replace(address, "http://", "http://user:hunter2@", 1)
	s = open(t, prometheus.Options{ServerAddress: strings.Replace(secret, "127.0.0.1", "127.0.0.1.invalid", 1), Query: "q"})
	if _, err := s.Read(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error is %v", err)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	for _, o := range []prometheus.Options{
		{Query: "q"}, {ServerAddress: "localhost:9090", Query: "q"}, {ServerAddress: "http://localhost:9090"},
	} {
		if _, err := prometheus.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// TestAPrometheusServerIsAsked starts the real server on a free port.
func TestAPrometheusServerIsAsked(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skipf("prometheus is not installed: %v", err)
	}
	dir, l := t.TempDir(), must(net.Listen("tcp", "127.0.0.1:0"))(t)
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte("global: {scrape_interval: 1h}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s := open(t, prometheus.Options{ServerAddress: "http://" + address, Query: "vector(3) * 7"})
	var sample any
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		got, err := s.Read(t.Context())
		if sample = err; err == nil {
			if got.Value != 21 {
				t.Errorf("read %+v, want 21", got)
			}
			none := open(t, prometheus.Options{ServerAddress: "http://" + address, Query: "no_such_metric"})
			if got, err := none.Read(t.Context()); err == nil {
				t.Errorf("a metric that is not there reads %+v", got)
			}
			return
		}
	}
	t.Fatalf("the server does not answer: %v", sample)
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
