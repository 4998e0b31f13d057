package app_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const namedShop = `
name: %[2]s
services:
  web:
    command: [%[1]q]
    environment: {PLIMSOLL_TEST_NAME: %[2]q, PLIMSOLL_TEST_ON: %[3]q}
    ports: ["8080"]
    deploy: {resources: {reservations: {cpus: "0.1", memory: 64M}}}
    x-plimsoll: {priority: 1, min: 4, max: 4, route: {host: web.localhost, path: /}}
`

// Two engines have the same addresses of hosts, and the same range of ports.
func TestTwoEnginesOnOneMachineAnswerWithTheirOwnTasksOnly(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test builds the program and runs tasks")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary := build(t)
	var asked sync.WaitGroup
	for name, on := range map[string]string{"ours": "", "theirs": "127.0.0.1"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "compose.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, namedShop, self, name, on), 0o600); err != nil {
			t.Fatal(err)
		}
		p := up(t, binary, filepath.Join(dir, "state"), "-f", file)
		t.Cleanup(func() {
			_ = p.cmd.Process.Signal(os.Interrupt)
			err := <-p.ended
			p.ended <- err
		})
		asked.Go(func() { p.asksFor(name) })
	}
	asked.Wait()
}

// asksFor asks the router until the tasks have answered often, while they start
// and after: with their name, or not at all.
func (p *program) asksFor(name string) {
	request, err := http.NewRequest(http.MethodGet, p.run.Router+"/", nil)
	if err != nil {
		p.t.Error(err)
		return
	}
	request.Host = "web.localhost"
	own := 0
	for end := time.Now().Add(90 * time.Second); own < 300 || len(p.running()) < 4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Errorf("%s: %d answers, %d tasks", name, own, len(p.running()))
			return
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			continue
		}
		got, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		switch {
		case err != nil || answer.StatusCode != http.StatusOK:
		case string(got) == name:
			own++
		default:
			p.t.Errorf("the router of %s answered with a task of %s", name, got)
			return
		}
	}
}
