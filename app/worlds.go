package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"plimsoll"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/ecsapi"
	"plimsoll/engine/tenants"
)

// mostWorlds bounds the pairs of account and region: each has a log of its own,
// and a block of loopback addresses.
const mostWorlds = 64

const (
	// worldsName is the folder of all worlds but the home one: worlds/ACCOUNT/REGION.
	worldsName = "worlds"
	worldFile  = "world.json"
	// agentPath is where the tasks of those worlds reach their own endpoints.
	agentPath = "/world/"
	// tenantCluster is the cluster that a tenant's first hosts are in.
	tenantCluster = "default"
	// removalTick is the time between two looks for tenants to remove.
	removalTick = time.Second
)

// worlds are all worlds of an engine: the home one, and one for each account
// and region that has been used, each opened at the start or when it is first
// used. It is safe for concurrent use.
type worlds struct {
	o         embeddedOptions
	secret    []byte
	directory *tenants.Directory
	ports     runtimePorts

	slots sync.Map // worldKey → *worldSlot
	// making is held while a folder is made for a new world.
	making sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

type worldKey struct{ account, region string }

// worldSlot is the place of a world. Its lock is held while the world is being
// opened, emptied or closed; whoever only uses the world needs it not.
type worldSlot struct {
	mu    sync.Mutex
	world atomic.Pointer[world] // nil: it is not open
	// leaving tells that the world is being emptied or closed: its tasks are
	// still answered, its clients wait for the next world.
	leaving atomic.Bool
}

func newWorlds(o embeddedOptions, secret []byte, directory *tenants.Directory) *worlds {
	w := &worlds{o: o, secret: secret, directory: directory, ports: newRuntimePorts(o.state)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

func (w *worlds) homeKey() worldKey { return worldKey{Account, w.o.region} }

func (w *worlds) home() *world {
	slot, ok := w.slots.Load(w.homeKey())
	if !ok {
		return nil
	}
	return slot.(*worldSlot).world.Load()
}

// start opens the home world, and all others that there are: their tasks may
// run still.
func (w *worlds) start(ctx context.Context) (*world, error) {
	home, err := w.open(ctx, w.homeKey())
	if err != nil {
		return nil, err
	}
	folders, err := filepath.Glob(w.o.state.path(filepath.Join(worldsName, "*", "*", worldFile)))
	if err != nil {
		return nil, err
	}
	for _, file := range folders {
		region := filepath.Dir(file)
		key := worldKey{filepath.Base(filepath.Dir(region)), filepath.Base(region)}
		if _, err := w.open(ctx, key); err != nil {
			return nil, err
		}
	}
	w.tasks.Go(w.removeTenants)
	return home, nil
}

// World implements awsapi.Worlds.
func (w *worlds) World(ctx context.Context, account, region string) (*awsapi.World, error) {
	one, err := w.open(ctx, worldKey{account, region})
	if err != nil {
		return nil, err
	}
	return one.api, nil
}

// open gives a world, and opens it if need be.
func (w *worlds) open(ctx context.Context, key worldKey) (*world, error) {
	got, ok := w.slots.Load(key)
	if !ok {
		got, _ = w.slots.LoadOrStore(key, &worldSlot{})
	}
	slot := got.(*worldSlot)
	if one := slot.world.Load(); one != nil && !slot.leaving.Load() {
		return one, nil
	}
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if one := slot.world.Load(); one != nil && !slot.leaving.Load() {
		return one, nil
	}
	if slot.leaving.Load() || w.ctx.Err() != nil {
		return nil, &awsapi.Error{
			Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable,
			Message: fmt.Sprintf("What account %s has in %s is being closed.", key.account, key.region),
		}
	}
	o, err := w.options(key)
	if err != nil {
		return nil, err
	}
	// The caller may go away; the world is opened for others too.
	one, err := openWorld(context.WithoutCancel(ctx), o, w.ports)
	if err != nil {
		return nil, err
	}
	if err := one.putHosts(ctx, w.hostsOf(key)); err != nil {
		return nil, errors.Join(err, one.parts.close(context.WithoutCancel(ctx)))
	}
	slot.world.Store(one)
	return one, nil
}

// options are a world's; its folder is made.
func (w *worlds) options(key worldKey) (worldOptions, error) {
	o := worldOptions{
		embeddedOptions: w.o, dir: w.o.state, account: key.account, region: key.region, block: firstBlock,
		agent: ecsapi.AgentOptions{
			Secret: w.secret, URL: "http://" + w.o.agent.Addr().String(), Endpoint: w.o.endpoint, Region: key.region,
			Keys: w.directory.Issuer(key.account), Releases: w.o.release != nil && key == w.homeKey(),
		},
		quota: func() tenants.Quota { return w.directory.Quota(key.account) },
	}
	if key.account == Account {
		o.quota = func() tenants.Quota { return tenants.Quota{} }
	}
	if key == w.homeKey() {
		return o, nil
	}
	o.dir = stateDir(w.o.state.path(filepath.Join(worldsName, key.account, key.region)))
	o.agent.URL += agentPath + key.account + "/" + key.region
	mac := hmac.New(sha256.New, w.secret)
	_, _ = fmt.Fprintf(mac, "world %s %s", key.account, key.region)
	o.agent.Secret = mac.Sum(nil)
	// Routers and queues' triggers of this machine are the home world's.
	o.drain, o.arrived, o.triggers = nil, nil, false
	var err error
	o.block, err = w.number(o.dir)
	return o, err
}

// worldRecord is what is kept of a world beside its state.
type worldRecord struct {
	Number int `json:"number"` // of its block of addresses
}

// number gives a world the lowest number that no other has, once and for all.
func (w *worlds) number(dir stateDir) (block int, err error) {
	w.making.Lock()
	defer w.making.Unlock()
	others, err := filepath.Glob(w.o.state.path(filepath.Join(worldsName, "*", "*", worldFile)))
	if err != nil {
		return 0, err
	}
	taken := map[int]bool{}
	for _, file := range others {
		var r worldRecord
		data, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		if filepath.Dir(file) == string(dir) {
			return worldBlock + r.Number, nil
		}
		taken[r.Number] = true
	}
	if len(others) >= mostWorlds {
		return 0, &awsapi.Error{
			Code: "LimitExceededException",
			Message: fmt.Sprintf("This engine has %d pairs of account and region in use, and no more are allowed; "+
				"use one of those, or remove a tenant.", len(others)),
		}
	}
	r := worldRecord{}
	for taken[r.Number] {
		r.Number++
	}
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		return 0, err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	return worldBlock + r.Number, dir.writeFile(worldFile, data)
}

// hostsOf are the hosts that a world has from the start. Those of the home
// world are the caller's to put.
func (w *worlds) hostsOf(key worldKey) grant {
	if key == w.homeKey() {
		return grant{}
	}
	if key.account == Account {
		return w.o.hosts
	}
	t, _ := w.directory.Tenant(key.account)
	return grant{
		cluster: tenantCluster, count: t.Hosts.Count, zones: t.Hosts.Zones,
		each: plimsoll.Resources{CPU: t.Hosts.CPU, Memory: t.Hosts.Memory},
	}
}

// serveHomeAgent answers the tasks of the home world.
func (w *worlds) serveHomeAgent(rw http.ResponseWriter, r *http.Request) {
	if home := w.home(); home != nil {
		home.agent.ServeHTTP(rw, r)
		return
	}
	http.Error(rw, "the engine is starting", http.StatusServiceUnavailable)
}

// serveAgent answers the tasks of the worlds that are not the home one.
func (w *worlds) serveAgent(rw http.ResponseWriter, r *http.Request) {
	key := worldKey{r.PathValue("account"), r.PathValue("region")}
	slot, ok := w.slots.Load(key)
	if !ok {
		http.NotFound(rw, r)
		return
	}
	one := slot.(*worldSlot).world.Load()
	if one == nil {
		http.Error(rw, "the engine is starting", http.StatusServiceUnavailable)
		return
	}
	http.StripPrefix(agentPath+key.account+"/"+key.region, one.agent).ServeHTTP(rw, r)
}

// each calls f for every open world, side by side.
func (w *worlds) each(f func(*worldSlot, *world) error) error {
	var group errgroup.Group
	w.slots.Range(func(_, value any) bool {
		slot := value.(*worldSlot)
		group.Go(func() error {
			slot.mu.Lock()
			defer slot.mu.Unlock()
			if one := slot.world.Load(); one != nil {
				return f(slot, one)
			}
			return nil
		})
		return true
	})
	return group.Wait()
}

// shutdown stops all tasks of all worlds and waits for them.
func (w *worlds) shutdown(ctx context.Context, reason string) error {
	return w.each(func(_ *worldSlot, one *world) error { return one.daemon.Shutdown(ctx, reason) })
}

// close closes all worlds; their tasks run on, if they have not been shut down.
func (w *worlds) close(ctx context.Context) error {
	w.cancel()
	w.tasks.Wait()
	return w.each(func(slot *worldSlot, one *world) error {
		slot.leaving.Store(true)
		return one.parts.close(ctx)
	})
}

// removeTenants takes out what tenants had that have been removed, until the
// worlds are closed.
func (w *worlds) removeTenants() {
	tick := time.NewTicker(removalTick)
	defer tick.Stop()
	for {
		for _, t := range w.directory.Removing() {
			if err := w.removeTenant(t); err != nil {
				w.o.log.Error("a tenant can not be removed yet", "tenant", t.Name, "error", err)
			}
		}
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// removeTenant stops all that a tenant runs, and forgets it when nothing is
// left. It can be interrupted at any point and done again.
func (w *worlds) removeTenant(t tenants.Tenant) error {
	ctx, cancel := context.WithTimeout(w.ctx, shutdownWait)
	defer cancel()
	var problems []error
	w.slots.Range(func(key, value any) bool {
		if key.(worldKey).account == t.Account {
			problems = append(problems, w.empty(ctx, key.(worldKey), value.(*worldSlot), "the tenant was removed"))
		}
		return true
	})
	if err := errors.Join(problems...); err != nil {
		return err
	}
	if err := os.RemoveAll(w.o.state.path(filepath.Join(worldsName, t.Account))); err != nil {
		return err
	}
	return tenants.Change(string(w.o.state), func(b *tenants.Book) error { b.Drop(t.Name); return nil })
}

// empty stops a world's tasks, closes it and removes its state.
func (w *worlds) empty(ctx context.Context, key worldKey, slot *worldSlot, reason string) error {
	slot.mu.Lock()
	defer slot.mu.Unlock()
	one := slot.world.Load()
	if one == nil {
		return nil
	}
	slot.leaving.Store(true)
	err := errors.Join(one.daemon.Shutdown(ctx, reason), one.parts.close(context.WithoutCancel(ctx)))
	slot.world.Store(nil)
	slot.leaving.Store(false)
	if err != nil {
		return err // its state stays: the world is opened again when it is asked for
	}
	dir := w.o.state
	if key != w.homeKey() {
		dir = stateDir(w.o.state.path(filepath.Join(worldsName, key.account, key.region)))
	}
	for _, name := range stateFolders {
		if err := os.RemoveAll(dir.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// stateFolders are a world's own.
var stateFolders = []string{"engine", "queues", "records", "tasks"}

// reset empties every world; the home world's hosts are put by the caller.
func (w *worlds) reset(ctx context.Context) error {
	var keys []worldKey
	w.slots.Range(func(key, _ any) bool { keys = append(keys, key.(worldKey)); return true })
	slices.SortFunc(keys, func(a, b worldKey) int {
		return slices.Compare([]string{a.account, a.region}, []string{b.account, b.region})
	})
	for _, key := range keys {
		slot, _ := w.slots.Load(key)
		if err := w.empty(ctx, key, slot.(*worldSlot), "the engine was reset"); err != nil {
			return err
		}
		if _, err := w.open(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
