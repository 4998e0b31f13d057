package app

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plimsoll"
	"plimsoll/discovery"
	"plimsoll/router"
)

func TestTheDirectoryNamesTheTasksThatMayGetNewWork(t *testing.T) {
	told, err := newTelling(project(t, `
name: shop
services:
  web: {command: [x], ports: ["8080", "9090"], x-plimsoll: {route: {host: shop.localhost, path: /, port: 9090}}}
  mailer: {command: [x]}
`), true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	told.standings = func(string) map[string]router.Standing {
		return map[string]router.Standing{"well": router.Used, "sick": router.LeftOut, "checked": router.Used, "far": router.Used, "new": router.Unproven}
	}
	task := func(id, service string, status plimsoll.Status) plimsoll.Task {
		return plimsoll.Task{
			ARN: "arn:aws:ecs:us-east-1:123456789012:task/shop/" + id, Service: service, Zone: "us-east-1a", ContainerInstance: "host", LastStatus: status, DesiredStatus: plimsoll.StatusRunning,
			Endpoints: []plimsoll.Endpoint{{ContainerPort: 8080, Host: "127.64.1.1", Port: 32768}, {ContainerPort: 9090, Host: "127.64.1.1", Port: 32769}},
		}
	}
	leaving, checked, lost, far := task("leaving", "web", plimsoll.StatusRunning), task("checked", "web", plimsoll.StatusRunning), task("lost", "web", plimsoll.StatusRunning), task("far", "web", plimsoll.StatusRunning)
	leaving.DesiredStatus = plimsoll.StatusStopped
	checked.Unwell = true
	lost.Endpoints[0].Host, lost.Endpoints[1].Host = "", ""
	far.ContainerInstance = "another"
	cluster := plimsoll.Cluster{Name: "shop", Services: []plimsoll.Service{{Name: "web", Registries: []string{"arn:group"}}, {Name: "other", Registries: []string{"arn:other"}}}, Tasks: []plimsoll.Task{
		task("well", "web", plimsoll.StatusRunning), task("sick", "web", plimsoll.StatusRunning),
		task("starting", "web", plimsoll.StatusPending), leaving, task("other", "unknown", plimsoll.StatusRunning), checked, lost, far, task("new", "web", plimsoll.StatusRunning),
	}, Instances: []plimsoll.ContainerInstance{
		{ARN: "host", InstanceID: "i-1", Address: "127.64.1.1"}, {ARN: "another", InstanceID: "i-2", Address: "127.64.1.2"},
	}}
	got, _ := told.directory(cluster)
	web := func(id, host string, healthy bool) discovery.Instance {
		return discovery.Instance{
			ID: id, Zone: "us-east-1a", Address: netip.MustParseAddr("127.64.1.1"), Host: host, Healthy: healthy,
			Ports: []discovery.Port{{Container: 9090, Host: 32769}, {Container: 8080, Host: 32768}},
		}
	}
	want := discovery.Directory{Cluster: "shop", Services: map[string][]discovery.Instance{
		"web": {web("well", "i-1", true), web("sick", "i-1", false), web("checked", "i-1", false), web("far", "", true), web("new", "i-1", false)}, "mailer": nil,
	}, Tags: map[string][]string{"web": {"urlprefix-shop.localhost/"}}, Kept: map[string][]string{"web": {"arn:group"}},
		Unsure: map[string]bool{"lost": true, "new": true}, Others: map[string]bool{"starting": true, "other": true}, Gone: map[string]bool{"leaving": true}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestALostHostIsFoundByTheTaskOnItThatIsCheckedFirst(t *testing.T) {
	told, err := newTelling(project(t, `
name: shop
services:
  often: {command: [x], ports: ["80"], x-plimsoll: {route: {path: /often, check: {interval: 100ms}}}}
  seldom: {command: [x], ports: ["80"], x-plimsoll: {route: {path: /seldom, check: {interval: 10m, unhealthy: 1}}}}
`), false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer told.close()
	cluster := plimsoll.Cluster{Name: "shop", At: time.Now()}
	var lost []net.Listener
	for i, service := range []string{"often", "seldom", "seldom", "seldom"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		host := "kept"
		if i < 2 {
			host, lost = "lost", append(lost, l)
		}
		cluster.Tasks = append(cluster.Tasks, plimsoll.Task{
			ARN: "arn:aws:ecs:us-east-1:123456789012:task/shop/" + strconv.Itoa(i), Service: service, ContainerInstance: host,
			LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
			Endpoints: []plimsoll.Endpoint{{ContainerPort: 80, Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}},
		})
	}
	await := func(what string, want ...string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			d, _ := told.directory(cluster)
			var got []string
			for _, i := range d.Services["seldom"] {
				if i.Healthy {
					got = append(got, i.ID)
				}
			}
			if slices.Equal(got, want) {
				return
			}
		}
		t.Fatalf("never came true: %s", what)
	}
	await("all are well", "1", "2", "3")
	for _, l := range lost {
		l.Close()
	}
	await("the task on the lost host is left out, ten minutes before its next check", "2", "3")
}
