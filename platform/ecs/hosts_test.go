package ecs_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/daemon"
	"plimsoll/engine/ec2api"
	"plimsoll/engine/ecsapi"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/fake"
	"plimsoll/engine/store"
	"plimsoll/platform/ecs"
	"plimsoll/platform/platformtest"
)

// startHostEngine starts an engine with a cluster "shop" and a group "fleet" of its
// hosts, and gives its AWS endpoint.
func startHostEngine(t *testing.T, group engine.Group) string {
	t.Helper()
	open := func() *store.Log {
		log, err := store.Open(t.TempDir(), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	d, err := daemon.Start(t.Context(), daemon.Options{
		Machine: engine.New(engine.Config{Seed: t.Name()}), Store: open(),
		Runtime: func(sink runtime.Sink) (runtime.Runtime, error) { return fake.New(fake.Options{}, sink), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	for _, command := range []engine.Command{engine.CreateCluster{Name: "shop"}, engine.CreateGroup{Group: group}} {
		if _, err := d.Do(t.Context(), command); err != nil {
			t.Fatal(err)
		}
	}
	service, err := ecsapi.New(ecsapi.Options{Engine: d, Abilities: fake.Abilities()})
	if err != nil {
		t.Fatal(err)
	}
	records := open()
	t.Cleanup(func() { _ = records.Close() })
	around, err := ec2api.New(ec2api.Options{Engine: d, Commands: d, Log: records, Account: "123456789012", Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	api, err := awsapi.New(awsapi.Options{
		Region: "us-east-1", Credentials: awsapi.Keys{AccessKeyID: testKey, Secret: testSecret, Account: "123456789012"},
	}, append(around, service)...)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, api)
}

func fleet() engine.Group {
	return engine.Group{
		Name: "fleet", Cluster: "shop", Min: 1, Max: 5, Desired: 1, Zones: []string{"us-east-1a", "us-east-1b"}, Type: "m5.large",
		Each: plimsoll.Resources{CPU: 2048, Memory: 8192}, LaunchTime: 100 * time.Millisecond,
	}
}

func TestTheEmbeddedEnginePassesTheContractOfHosts(t *testing.T) {
	for name, groups := range map[string][]string{"a group that is named": {"fleet"}, "the group of the hosts": nil} {
		t.Run(name, func(t *testing.T) {
			platformtest.RunHosts(t, platformtest.HostHarness{
				Platform: newCluster(t, ecs.Options{Cluster: "shop", Endpoint: startHostEngine(t, fleet()), HostGroups: groups}), Group: "fleet",
			})
		})
	}
}

func TestWhatANewHostHasIsAskedOfEC2(t *testing.T) {
	empty := fleet()
	empty.Min, empty.Desired = 0, 0
	empty.Tags = map[string]string{plimsoll.TagHostCPU: "4096", plimsoll.TagHostMemory: "1000", plimsoll.TagHostPrice: "0.5"}
	c := newCluster(t, ecs.Options{Cluster: "shop", Endpoint: startHostEngine(t, empty), HostGroups: []string{"fleet"}})
	groups, err := c.HostGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := groups[0].Types; len(got) != 1 || got[0].Resources != (plimsoll.Resources{CPU: 4096, Memory: 1000}) || got[0].Price != 0.5 {
		t.Errorf("what the tags say: %+v", got)
	}

	slow := fleet()
	slow.LaunchTime = time.Hour
	c = newCluster(t, ecs.Options{Cluster: "shop", Endpoint: startHostEngine(t, slow), HostGroups: []string{"fleet"}})
	if groups, err = c.HostGroups(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := groups[0].Types; len(got) != 1 || got[0].Resources.CPU != 2048 || got[0].Resources.Memory != 7700 {
		t.Errorf("what EC2 says of an m5.large, less the agent's share: %+v", got)
	}
	if _, err := newCluster(t, ecs.Options{Cluster: "shop", Endpoint: startHostEngine(t, fleet()), HostGroups: []string{"none"}}).HostGroups(t.Context()); err == nil {
		t.Error("a group that there is not is no error")
	}
}

func TestAnInstanceOfWhichANoticeHasComeIsInterruptedForAWhile(t *testing.T) {
	var late atomic.Int64
	c := newCluster(t, ecs.Options{
		Cluster: "shop", Endpoint: startHostEngine(t, fleet()), HostGroups: []string{"fleet"},
		Now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) },
	})
	if !c.Hear(notice("i-1")) {
		t.Error("a notice that comes before the first snapshot is not kept, though nobody knows yet whose it is")
	}
	id := ""
	for range 500 {
		seen, err := c.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(seen.Instances) == 1 {
			id = seen.Instances[0].InstanceID
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	interrupted := func() bool {
		groups, err := c.HostGroups(t.Context())
		if err != nil || len(groups) != 1 || len(groups[0].Hosts) != 1 || groups[0].Hosts[0].InstanceID != id {
			t.Fatalf("host %q: %+v, %v", id, groups, err)
		}
		return groups[0].Hosts[0].Interrupted
	}
	if c.Hear(notice("i-of-another-cluster")) || interrupted() {
		t.Error("the notice of another cluster's host is kept, or interrupts this one")
	}
	stale := strings.Replace(notice(id), "{", fmt.Sprintf("{%q:%q,", "time", time.Now().Add(-20*time.Minute).Format(time.RFC3339)), 1)
	if c.Hear(stale) || interrupted() {
		t.Error("a notice of twenty minutes ago is kept, or shows")
	}
	if !c.Hear(notice(id)) || !interrupted() {
		t.Error("the notice is not kept, or does not show")
	}
	late.Store(int64(20 * time.Minute))
	if interrupted() {
		t.Error("a notice of twenty minutes ago, whose instance is there still, holds for ever")
	}
}

// notice is how EC2 says that it takes an instance away.
func notice(instanceID string) string {
	return fmt.Sprintf(`{"source":"aws.ec2","detail-type":"EC2 Spot Instance Interruption Warning","detail":{"instance-id":%q}}`, instanceID)
}
