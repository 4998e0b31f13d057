package app

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plimsoll"
	"plimsoll/router"
)

func TestTagsOfServicesAreRoutesAndABadOneHoldsUpNoOther(t *testing.T) {
	var log bytes.Buffer
	routes, err := newRouted(nil, slog.New(slog.NewTextHandler(&log, nil)), false)
	if err != nil {
		t.Fatal(err)
	}
	cluster := plimsoll.Cluster{
		Services: []plimsoll.Service{
			{Name: "shop", Tags: map[string]string{"plimsoll:route": "shop.example.com/", "plimsoll:route:2": ":5432 port=9090", "team": "a"}},
			{Name: "v1", Tags: map[string]string{"any": "urlprefix-/api strip=/api weight=0.9"}},
			{Name: "v2", Tags: map[string]string{"urlprefix-/api": "strip=/api"}},
			{Name: "bad", Tags: map[string]string{"plimsoll:route": "/ colour=red"}},
		},
		Tasks: []plimsoll.Task{{
			ARN: "arn:aws:ecs:us-east-1:1:task/c/t1", Service: "shop", LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
			Reserved:  plimsoll.Resources{CPU: 256},
			Endpoints: []plimsoll.Endpoint{{ContainerPort: 8080, Host: "10.0.0.1", Port: 20000}, {ContainerPort: 9090, Host: "10.0.0.1", Port: 20001}},
		}},
	}
	got := routes.table(cluster)
	want := router.Table{
		Routes: []router.Route{
			{Host: "shop.example.com", Path: "/", Service: "shop", Weight: 10_000},
			{TCP: 5432, Service: "shop:9090"},
			{Path: "/api", Service: "v1", Strip: true, Weight: 9000},
			{Path: "/api", Service: "v2", Strip: true, Weight: 1000},
		},
		Services: map[string][]router.Target{
			"shop":      {{ID: "t1", Address: "10.0.0.1:20000", Weight: 256}},
			"shop:9090": {{ID: "t1", Address: "10.0.0.1:20001", Weight: 256}},
			"v1":        nil, "v2": nil,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	routes.table(cluster)
	if n := strings.Count(log.String(), "a tag is no route"); n != 1 {
		t.Errorf("the bad tag is told %d times:\n%s", n, &log)
	}
}

// A table that the router refuses would keep the tasks of all services as they
// were: those that come would get nothing, and those that go would get it all.
func TestTagsThatClaimOnePlaceHoldUpNoOther(t *testing.T) {
	file := project(t, "name: c\nservices: {web: {command: [x], ports: ['80'], x-plimsoll: {route: {host: shop.localhost, path: /}}}}\n")
	var log bytes.Buffer
	routes, err := newRouted(file, slog.New(slog.NewTextHandler(&log, nil)), false)
	if err != nil {
		t.Fatal(err)
	}
	cluster := plimsoll.Cluster{
		Services: []plimsoll.Service{
			{Name: "web", Tags: map[string]string{"plimsoll:route": "shop.localhost/", "plimsoll:route:2": "/two", "x": "urlprefix-/two"}},
			{Name: "thief", Tags: map[string]string{"plimsoll:route": "SHOP.localhost/ weight=1"}},
			{Name: "db-b", Tags: map[string]string{"plimsoll:route": ":5432"}},
			{Name: "db-a", Tags: map[string]string{"plimsoll:route": ":5432", "plimsoll:route:2": "db.localhost proto=tcp+sni"}},
			{Name: "db-c", Tags: map[string]string{"plimsoll:route": "db.localhost proto=tcp+sni"}},
			{Name: "other", Tags: map[string]string{"plimsoll:route": "/other"}},
		},
	}
	r := router.New(router.Options{Listen: func(int) (net.Listener, error) { return nil, errors.New("no port in this test") }})
	defer r.Close()
	for range 2 {
		got := routes.table(cluster)
		if err := r.SetTable(got); err != nil {
			t.Fatal(err)
		}
		at := map[string]string{}
		for _, route := range got.Routes {
			key := fmt.Sprint(route.Host, route.Path, route.TCP)
			if at[key] != "" {
				t.Errorf("%s is said twice", key)
			}
			at[key] = route.Service
		}
		want := map[string]string{"shop.localhost/0": "web", "/two0": "web", "5432": "db-a", "db.localhost0": "db-a", "/other0": "other"}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Error(diff)
		}
	}
	if n := strings.Count(log.String(), "is taken by another"); n != 3 {
		t.Errorf("it is told %d times, want once of each of the 3:\n%s", n, &log)
	}
}

func TestUsersAreReadWithTheirHashesAndNothingWeaker(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	for text, want := range map[string]string{
		"# staff\nali:$2y$05$abc\n": "", "ali:plain\n": ":1: ", "ali\n": ":1: ", "# nobody\n": "names no user",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		users, err := readUsers(file)
		if want == "" && (err != nil || users["ali"] != "$2y$05$abc") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v %v", text, users, err)
		}
	}
}

func TestAMirrorNeedsNoRouteOfItsOwn(t *testing.T) {
	file := project(t, "name: c\nservices: {web: {command: [x], ports: ['80'], x-plimsoll: {route: {host: shop.localhost, mirror: {service: shadow, share: 1}}}}, shadow: {command: [x], ports: ['80']}}\n")
	routes, err := newRouted(file, slog.New(slog.DiscardHandler), false)
	if err != nil {
		t.Fatal(err)
	}
	r := router.New(router.Options{})
	defer r.Close()
	table := routes.table(plimsoll.Cluster{Tasks: []plimsoll.Task{{
		ARN: "arn:aws:ecs:us-east-1:1:task/c/t1", Service: "shadow", LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
		Endpoints: []plimsoll.Endpoint{{ContainerPort: 80, Host: "127.0.0.1", Port: 1}},
	}}})
	if err := r.SetTable(table); err != nil {
		t.Fatal(err)
	}
	if got := table.Services["shadow"]; len(got) != 1 || got[0].ID != "t1" {
		t.Errorf("the mirror's tasks are %+v", got)
	}
}
