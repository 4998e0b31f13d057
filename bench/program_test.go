package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// binary is the program under measurement.
const binary = "../bin/plimsoll"

// TestMain lets the test's own binary be the web server of the compose files
// below.
func TestMain(m *testing.M) {
	if os.Getenv("BENCH_ROLE") == "web" {
		serve()
		return
	}
	os.Exit(m.Run())
}

func serve() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{
		Addr:    os.Getenv("HOST") + ":" + os.Getenv("PORT"),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }),
	}
	go func() { <-ctx.Done(); _ = server.Shutdown(context.Background()) }()
	_ = server.ListenAndServe()
}

// trapper is a task that ends at SIGTERM, in a shell.
const trapper = `["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"]`

// program is a running Plimsoll.
type program struct {
	b     *testing.B
	args  []string
	state string
	cmd   *exec.Cmd
	log   *bytes.Buffer
	run   struct{ UI, Router, AWS, Region string }
	ecs   *ecs.Client
	sqs   *sqs.Client
}

// start runs the program with free ports and waits until it serves.
func start(b *testing.B, args ...string) *program {
	b.Helper()
	if _, err := os.Stat(binary); err != nil {
		b.Fatalf("%s is not there: run make go-build first", binary)
	}
	p := &program{b: b, state: filepath.Join(b.TempDir(), "state"), log: &bytes.Buffer{}}
	p.args = append(args, "--state", p.state, "--aws", "127.0.0.1:0")
	p.cmd = exec.Command(binary, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.stop)
	p.await("the run file", func() bool {
		data, err := os.ReadFile(filepath.Join(p.state, "plimsoll.json"))
		return err == nil && json.Unmarshal(data, &p.run) == nil && p.run.AWS != ""
	})
	cfg := aws.Config{Region: p.run.Region, BaseEndpoint: &p.run.AWS, Credentials: p.credentials()}
	p.ecs, p.sqs = ecs.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	return p
}

// up runs a compose file.
func up(b *testing.B, compose string) *program {
	b.Helper()
	file := filepath.Join(b.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(compose), 0o600); err != nil {
		b.Fatal(err)
	}
	return start(b, "up", "-f", file, "--ui", "127.0.0.1:0", "--router", "127.0.0.1:0")
}

func (p *program) credentials() aws.CredentialsProvider {
	data, err := os.ReadFile(filepath.Join(p.state, "credentials"))
	if err != nil {
		p.b.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return credentials.NewStaticCredentialsProvider(values["aws_access_key_id"], values["aws_secret_access_key"], "")
}

func (p *program) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(60 * time.Second):
		_ = p.cmd.Process.Kill()
		<-ended
	}
	if p.b.Failed() {
		p.b.Logf("the program printed:\n%s", p.log)
	}
}

// await polls until something is so, for a minute at most.
func (p *program) await(what string, so func() bool) {
	p.b.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if so() {
			return
		}
	}
	p.b.Fatalf("%s did not come within a minute", what)
}

// task is what the REST API shows of one.
type task struct {
	ID, Service, LastStatus string
	StartedAt               time.Time
}

// tasks are the tasks of a service that are not stopped.
func (p *program) tasks(service string) []task {
	p.b.Helper()
	answer, err := http.Get(p.run.UI + "/v1/tasks?service=" + service)
	if err != nil {
		p.b.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var list struct{ Tasks []task }
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		p.b.Fatal(err)
	}
	return list.Tasks
}

// running are those of them that run.
func (p *program) running(service string) []task {
	return slices.DeleteFunc(p.tasks(service), func(t task) bool { return t.LastStatus != "RUNNING" })
}

// floor sets a service's floor by hand.
func (p *program) floor(service string, n int) {
	p.b.Helper()
	body := strings.NewReader(fmt.Sprintf(`{"floor":%d,"for":"1h"}`, n))
	answer, err := http.Post(p.run.UI+"/v1/services/"+service+"/scale", "application/json", body)
	if err != nil {
		p.b.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(answer.Body)
		p.b.Fatalf("setting a floor: %s: %s", answer.Status, text)
	}
}

// get asks the router for a service's first page, which has to come.
func (p *program) get(host string) {
	p.b.Helper()
	request, err := http.NewRequest(http.MethodGet, p.run.Router+"/", nil)
	if err != nil {
		p.b.Fatal(err)
	}
	request.Host = host
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		p.b.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		p.b.Fatalf("the answer of %s was %s, %v", host, answer.Status, err)
	}
}

// report gives the median, the 99th percentile and the greatest of the times.
func report(b *testing.B, times []time.Duration, name string) {
	slices.Sort(times)
	at := func(q float64) float64 {
		return float64(times[int(q*float64(len(times)-1))]) / float64(time.Millisecond)
	}
	b.ReportMetric(at(0.5), name+"p50-ms")
	b.ReportMetric(at(0.99), name+"p99-ms")
	b.ReportMetric(at(1), name+"max-ms")
	b.ReportMetric(float64(len(times)), name+"runs")
	b.ReportMetric(0, "ns/op")
}
