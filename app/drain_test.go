package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"plimsoll"
	"plimsoll/control"
)

// TestATaskThatIsSlow is no test but the task of the one below.
func TestATaskThatIsSlow(t *testing.T) {
	folder := os.Getenv("SLOW_TASK")
	if folder == "" {
		t.Skip("it is the task of another test")
	}
	note := func(what string) {
		if err := os.WriteFile(filepath.Join(folder, what), []byte(strconv.FormatInt(time.Now().UnixNano(), 10)), 0o644); err != nil {
			t.Error(err)
		}
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			note("arrived")
			for _, err := os.Stat(filepath.Join(folder, "release")); err != nil; _, err = os.Stat(filepath.Join(folder, "release")) {
				time.Sleep(10 * time.Millisecond)
			}
			note("answered")
		}
		_, _ = io.WriteString(w, folder)
	})
	go func() { t.Error(http.ListenAndServe(net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")), nil)) }()
	<-ended
	note("signaled")
}

const slowShop = `
name: slow
services:
  web:
    command: [%q, "-test.run=^TestATaskThatIsSlow$"]
    environment: {SLOW_TASK: %q}
    ports: ["8080"]
    x-plimsoll: {min: 1, max: 1, route: {host: slow.localhost, path: /}, register: {cloudMap: srv-1}}
`

// A task that is to stop is out of the router and of Cloud Map first, then its
// requests end, then it gets SIGTERM; the events say when each of it was.
func TestTheEventsShowADrainInItsOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test builds the program")
	}
	folder, err := os.MkdirTemp("", "drain") // tasks are another user's
	if err == nil {
		err = os.Chmod(folder, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file, state := filepath.Join(folder, "compose.yaml"), filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(file, fmt.Appendf(nil, slowShop, self, folder), 0o600); err != nil {
		t.Fatal(err)
	}
	told := newDirectories(t)
	awsEnvironment(t, told.url, "us-east-1", aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"})
	p := up(t, build(t), state, "-f", file, "--runtime", "process", "--register")
	t.Cleanup(func() { // its task would outlive a program that is killed
		_ = p.cmd.Process.Signal(os.Interrupt)
		<-p.ended
	})
	get := func(path string) (string, error) {
		request, _ := http.NewRequestWithContext(t.Context(), "GET", p.run.Router+path, nil)
		request.Host = "slow.localhost"
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		return answer.Status + " " + string(text), err
	}
	p.await("the first answer", func() bool { text, _ := get("/"); return text == "200 OK "+folder })
	p.await("the task in Cloud Map", func() bool { return len(told.ids()) == 1 })
	slow := make(chan string, 1)
	go func() {
		text, err := get("/slow")
		slow <- fmt.Sprint(text, " ", err)
	}()
	seen := func(what string) bool { _, err := os.Stat(filepath.Join(folder, what)); return err == nil }
	p.await("the slow request at the task", func() bool { return seen("arrived") })

	var id string
	for id = range p.running() {
	}
	s := &engineStand{t: t, url: p.run.AWS, state: state}
	if _, err := ecs.NewFromConfig(s.config("us-east-1")).StopTask(t.Context(), &ecs.StopTaskInput{Cluster: aws.String("slow"), Task: &id}); err != nil {
		t.Fatal(err)
	}
	events := func() map[string]control.Event {
		var list struct{ Events []control.Event }
		answer, err := http.Get(p.run.UI + "/v1/events")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		found := map[string]control.Event{}
		for _, e := range list.Events {
			if e.Task == id {
				found[e.Kind] = e
			}
		}
		return found
	}
	p.await("the task out of the router", func() bool { return events()[control.EventTaskOut].Task != "" })
	if e := events(); e[control.EventTaskDrained].Task != "" || e[control.EventTaskSignaled].Task != "" || seen("signaled") {
		t.Errorf("with its request under way the task has the events %v", e)
	}
	if err := os.WriteFile(filepath.Join(folder, "release"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if text := <-slow; text != "200 OK "+folder+" <nil>" {
		t.Errorf("the slow request of the task that is to stop: %s", text)
	}
	p.await("the task's end", func() bool { return events()[control.EventTaskStopped].Task != "" })
	at := func(what string) time.Time {
		text, err := os.ReadFile(filepath.Join(folder, what))
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.ParseInt(string(text), 10, 64)
		return time.Unix(0, n)
	}
	e, left := events(), told.leftAt("plimsoll-"+plimsoll.ARNName(id)+"-8080")
	if left.IsZero() || left.After(at("signaled")) || len(told.ids()) > 1 {
		t.Errorf("the task was out of Cloud Map at %v, and got SIGTERM at %v; it has %q", left, at("signaled"), told.ids())
	}
	order := []struct {
		what string
		at   time.Time
	}{
		{"arrived", at("arrived")}, {"out", e[control.EventTaskOut].At}, {"answered", at("answered")},
		{"drained", e[control.EventTaskDrained].At}, {"the event of SIGTERM", e[control.EventTaskSignaled].At}, {"signaled", at("signaled")},
	}
	for i := 1; i < len(order); i++ {
		if before, after := order[i-1], order[i]; after.at.Before(before.at) {
			t.Errorf("%s at %v is before %s at %v", after.what, after.at, before.what, before.at)
		}
	}
}
