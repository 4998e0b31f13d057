package ec2api

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/store"
)

// yard is an engine with one cluster, and the hosts that were asked for.
type yard struct {
	machine *engine.Machine
	count   map[string]int // by group
	fail    error
}

func newYard() *yard {
	m := engine.New(engine.Config{Seed: "yard"})
	m.Step(time.Now(), []engine.Event{engine.Call{ID: 1, Command: engine.CreateCluster{Name: "shop"}}})
	return &yard{machine: m, count: map[string]int{}}
}

func (y *yard) Read(f func(engine.View)) { f(y.machine) }

func (y *yard) SetHosts(_ context.Context, _, group string, count int, _ plimsoll.Resources) error {
	if y.fail != nil {
		return y.fail
	}
	y.count[group] = count
	return nil
}

func open(t *testing.T, dir string, y *yard) (*api, *store.Log) {
	t.Helper()
	log, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := &api{o: Options{Engine: y, Hosts: y, Log: log, Account: "1", Region: "us-east-1", Now: time.Now, Random: rand.Reader}}
	if a.resources, err = store.NewTable[resource](log, "ec2/"); err == nil {
		a.stacks, err = store.NewTable[stack](log, "stack/")
	}
	if err != nil {
		t.Fatal(err)
	}
	return a, log
}

func TestAStackThatAnEndedEngineLeftIsFinished(t *testing.T) {
	dir, y := t.TempDir(), newYard()
	a, log := open(t, dir, y)
	half := func(name, status string) {
		s := stack{ID: "id-" + name, Name: name, Status: status, Parameters: map[string]string{
			parameterCluster: "shop", parameterSize: "3", parameterType: "t2.micro",
		}}
		if err := a.makeNetworkOf(&s); err != nil { // which a crash may have left
			t.Fatal(err)
		}
		if err := a.stacks.Put(s.ID, s); err != nil {
			t.Fatal(err)
		}
		y.count["stack-"+name] = 1
	}
	half("creating", "CREATE_IN_PROGRESS")
	half("updating", "UPDATE_IN_PROGRESS")
	half("deleting", "DELETE_IN_PROGRESS")
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	a, log = open(t, dir, y)
	defer func() { _ = log.Close() }()
	if _, err := a.describeStacks(t.Context(), &awsapi.Call{}, &describeStacksInput{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		status  string
		hosts   int
		network bool
	}{
		"creating": {"ROLLBACK_COMPLETE", 0, false}, "updating": {"UPDATE_COMPLETE", 3, true}, "deleting": {"DELETE_COMPLETE", 0, false},
	} {
		s, _ := a.stacks.Get("id-" + name)
		network := false
		for _, r := range a.resources.All() {
			network = network || r.Tags[stackTagID] == s.ID
		}
		if s.Status != want.status || y.count["stack-"+name] != want.hosts || network != want.network {
			t.Errorf("%s: %s with %d hosts, network %v", name, s.Status, y.count["stack-"+name], network)
		}
	}
}

func TestADeleteThatFailsCanBeDoneAgain(t *testing.T) {
	y := newYard()
	a, log := open(t, t.TempDir(), y)
	defer func() { _ = log.Close() }()
	call, in := &awsapi.Call{}, &putStackInput{StackName: of("s"), TemplateBody: of("{}"), Parameters: []stackParameter{
		{ParameterKey: of(parameterCluster), ParameterValue: of("shop")}, {ParameterKey: of(parameterSize), ParameterValue: of("2")},
	}}
	if _, err := a.createStack(t.Context(), call, in); err != nil || y.count["stack-s"] != 2 {
		t.Fatal(err, y.count)
	}
	y.fail = errors.New("the disk is full")
	for _, want := range []string{"DELETE_FAILED", "DELETE_COMPLETE"} {
		s, _ := a.findStack("s")
		if _, err := a.deleteStack(t.Context(), call, &deleteStackInput{StackName: of("s")}); err != nil {
			t.Fatal(err)
		}
		if s, _ = a.findStack(s.ID); s.Status != want {
			t.Errorf("the stack is %s, want %s", s.Status, want)
		}
		y.fail = nil
	}
}

func TestPatternsOfFiltersMatchWholeValues(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c*e", "abcde", true}, {"a?c", "abc", true},
		{"a?c", "ac", false}, {"*", "", true}, {"**", "x", true}, {"", "", true}, {"", "x", false}, {"a*b*c", "acb", false},
	} {
		if wild(c.pattern, c.text) != c.want {
			t.Errorf("%q and %q: want %v", c.pattern, c.text, c.want)
		}
	}
}
