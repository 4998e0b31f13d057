package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

var (
	buildOnce sync.Once
	built     string
	buildErr  error
)

// binary builds the program under test as make does, once.
func binary(t *testing.T) string {
	t.Helper()
	buildOnce.Do(func() {
		dir, err := os.MkdirTemp("", "plimsoll-chaos-")
		if err != nil {
			buildErr = err
			return
		}
		built = filepath.Join(dir, "plimsoll")
		build := exec.Command("go", "build", "-o", dir, "plimsoll/cmd/plimsoll", "plimsoll/cmd/plimsoll-shim")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			buildErr = fmt.Errorf("go build: %w\n%s", err, out)
			return
		}
		join := exec.Command("bash", "../cmd/plimsoll-shim/join", built, built+"-shim", built)
		if out, err := join.CombinedOutput(); err != nil {
			buildErr = fmt.Errorf("join: %w\n%s", err, out)
		}
	})
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return built
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(filepath.Dir(built))
	}
	os.Exit(code)
}

// engine is `plimsoll engine` with the process runtime, which can be killed and
// started again on the same state and port.
type engine struct {
	t       *testing.T
	program []string // and the arguments before its own
	state   string
	address string
	log     *bytes.Buffer // of all its lives
	cmd     *exec.Cmd
	ended   chan error
}

// newEngine makes one that is not started. The wrap is a program that runs it.
func newEngine(t *testing.T, state string, wrap ...string) *engine {
	t.Helper()
	e := &engine{t: t, program: append(wrap, binary(t)), state: state, address: freeAddress(t), log: &bytes.Buffer{}}
	t.Cleanup(func() {
		e.kill()
		for pid := range processesNaming(state) { // what a test that failed has left
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			text := e.log.String()
			t.Logf("the engine printed:\n%s", text[max(0, len(text)-4000):])
		}
	})
	return e
}

// freeAddress is one below the ports that the kernel gives to connections: while the
// engine is dead, a client that calls it from just that port would be connected to
// itself, and hold the address.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.2:%d", 12_000+rand.IntN(20_000))
		if free, err := net.Listen("tcp", address); err == nil {
			_ = free.Close()
			return address
		}
	}
	t.Fatal("no port from 12000 to 32000 of 127.0.0.2 is free")
	return ""
}

// start starts the engine and returns at once.
func (e *engine) start() {
	e.t.Helper()
	args := append(e.program[1:len(e.program):len(e.program)], "engine", "--state", e.state, "--aws", e.address, "--runtime", "process",
		"--hosts", "3", "--host-cpu", "65536", "--host-memory", "65536")
	e.cmd = exec.Command(e.program[0], args...)
	e.cmd.Stdout, e.cmd.Stderr = e.log, e.log
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(e.cmd, e.ended)
}

// ready waits until the engine answers.
func (e *engine) ready() {
	e.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(3 * time.Millisecond) {
		if answer, err := http.Get("http://" + e.address); err == nil {
			_ = answer.Body.Close()
			return
		}
		select {
		case err := <-e.ended:
			e.ended <- err
			e.t.Fatalf("the engine ended by itself: %v", err)
		default:
		}
	}
	e.t.Fatal("the engine does not answer after a minute")
}

// kill ends the engine, and nothing else, at once.
func (e *engine) kill() {
	if e.cmd == nil {
		return
	}
	_ = e.cmd.Process.Kill()
	<-e.ended
	e.cmd = nil
}

// stop ends the engine as its user does: its tasks end first.
func (e *engine) stop() {
	e.t.Helper()
	_ = e.cmd.Process.Signal(syscall.SIGINT)
	select {
	case err := <-e.ended:
		e.ended <- err
		if err != nil {
			e.t.Errorf("the engine stopped with %v", err)
		}
	case <-time.After(time.Minute):
		e.t.Error("the engine does not stop")
	}
	e.kill()
}

// cli runs another command of the program.
func (e *engine) cli(args ...string) (string, error) {
	out, err := exec.Command(e.program[len(e.program)-1], args...).CombinedOutput()
	return string(out), err
}

// once has each call made once: what was not answered is not asked again.
func once() aws.Retryer { return aws.NopRetryer{} }

// patient has a call repeated, as the SDK does.
func patient() aws.Retryer { return retry.NewStandard() }

// clients are the SDK's.
func (e *engine) clients(retryer func() aws.Retryer) (*ecs.Client, *sqs.Client) {
	e.t.Helper()
	text, err := os.ReadFile(filepath.Join(e.state, "credentials"))
	if err != nil {
		e.t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, "="); ok {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	url := "http://" + e.address
	c := aws.Config{
		Region: "us-east-1", BaseEndpoint: &url, Retryer: retryer,
		HTTPClient:  &http.Client{Timeout: time.Minute, Transport: plainBodies{&http.Transport{MaxIdleConnsPerHost: 16, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}}},
		Credentials: credentials.NewStaticCredentialsProvider(values["aws_access_key_id"], values["aws_secret_access_key"], ""),
	}
	return ecs.NewFromConfig(c), sqs.NewFromConfig(c)
}

// within bounds one call.
func within(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), time.Minute)
}

// plainBodies hides that the SDK's request bodies have WriteTo: once the answer
// is there the SDK closes the body, whose WriteTo then gives io.EOF, and net/http,
// still looking for more of it, closes the connection under the answer.
type plainBodies struct{ http.RoundTripper }

func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.RoundTripper.RoundTrip(r)
}
