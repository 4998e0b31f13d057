package app_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const growing = `
name: grow
x-plimsoll:
  deregistrationDelay: 0s
  hosts: {min: 1, max: 4, zones: 2, launchTime: 500ms, scaleIn: {stable: 2s}}
services:
  web:
    command: [sleep, "1000"]
    deploy: {resources: {reservations: {cpus: "0.5", memory: 64M}}}
    x-plimsoll: {min: 1, max: 8}
`

// TestHostsComeAndGoWithWhatIsWanted runs a file whose hosts have bounds: they
// come when tasks find no room, drain and go when nobody wants them, and never
// below the minimum; a kill in between changes nothing of that, and a host that is to be taken
// away is drained and replaced.
func TestHostsComeAndGoWithWhatIsWanted(t *testing.T) {
	binary, dir := build(t), t.TempDir()
	file, state := filepath.Join(dir, "compose.yaml"), filepath.Join(dir, "state")
	if err := os.WriteFile(file, []byte(growing), 0o600); err != nil {
		t.Fatal(err)
	}
	p := up(t, binary, state, "-f", file)
	ids := func() (ids []string) {
		answer, err := http.Get(p.run.UI + "/v1/hosts")
		if err != nil {
			return nil
		}
		defer func() { _ = answer.Body.Close() }()
		var list struct{ Hosts []struct{ ID string } }
		if json.NewDecoder(answer.Body).Decode(&list) != nil {
			return nil
		}
		for _, h := range list.Hosts {
			ids = append(ids, h.ID)
		}
		return ids
	}
	hosts := func() int { return len(ids()) }
	p.await("the first host and task", func() bool { return hosts() == 1 && count(p.running(), "web") == 1 })
	scale := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(binary, append([]string{"scale", "--state", state}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("plimsoll scale %v: %v\n%s", args, err, out)
		}
	}
	scale("web=7", "--for", "10m")
	p.await("four hosts with seven tasks", func() bool { return hosts() == 4 && count(p.running(), "web") == 7 })
	_ = p.cmd.Process.Kill()
	<-p.ended
	p = up(t, binary, state, "-f", file)
	p.await("the same after a kill", func() bool { return hosts() == 4 && count(p.running(), "web") == 7 })
	scale("web=5", "--for", "10m")
	p.await("three hosts with five tasks", func() bool { return hosts() == 3 && count(p.running(), "web") == 5 })
	taken := ids()[0]
	(&engineStand{t: t, state: state, url: p.run.AWS}).takeAway(taken)
	p.await("the tasks on other hosts than the one that is taken away", func() bool {
		return !slices.Contains(ids(), taken) && hosts() == 3 && count(p.running(), "web") == 5
	})
	scale("web=0")
	p.await("one host with one task", func() bool { return hosts() == 1 && count(p.running(), "web") == 1 })
	for _, words := range []string{"hosts/grow-hosts", "drain i-", "terminate i-"} {
		if !strings.Contains(p.log.String(), words) {
			t.Errorf("the program did not say %q", words)
		}
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	p.await("the end", func() bool {
		select {
		case err := <-p.ended:
			p.ended <- err
			return true
		default:
			return false
		}
	})
}
