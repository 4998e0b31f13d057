package docker_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/docker"
)

// imageBench is a bench with a registry; the images of it are removed at the end.
func imageBench(t *testing.T, r *registry, o docker.ImageOptions) *bench {
	if o.Config == "" {
		o.Config = t.TempDir() // not that of whoever runs the tests
	}
	b := openBench(t, docker.Options{Owner: t.Name(), Images: o})
	b.forgetImages(r)
	return b
}

// forgetImages has Docker forget the registry's images when the test ends; they
// are removed after the containers, as cleanups run in reverse.
func (b *bench) forgetImages(r *registry) {
	c := b.docker
	b.t.Cleanup(func() {
		list, err := c.ImageList(context.Background(), client.ImageListOptions{Filters: client.Filters{}.Add("reference", r.host()+"/*", r.host()+"/*:*")})
		if err != nil {
			return
		}
		for _, item := range list.Items {
			c.ImageRemove(context.Background(), item.ID, client.ImageRemoveOptions{Force: true})
		}
	})
}

func (b *bench) has(image string) bool {
	_, err := b.docker.ImageInspect(b.t.Context(), image)
	return err == nil
}

// says runs a task of the image that shows its word.
func says(id, image string) runtime.Spec {
	spec := shell(id, "cat /word; echo; echo ready")
	spec.Containers[0].Image = image
	return spec
}

// runs starts a task, which ends by itself, and gives the event of its start.
func (b *bench) runs(spec runtime.Spec) runtime.Event {
	b.t.Helper()
	b.Start(spec)
	started := b.next(runtime.Started)
	code(b.t, b.next(runtime.Exited), 0)
	return started
}

func TestAnImageIsPulledWithTheCredentialsOfDockersConfig(t *testing.T) {
	r := newRegistry(t)
	r.password = "a-token-of-ecr"
	r.push("private:1", "secret")
	image := r.host() + "/private:1"
	config := t.TempDir()
	b := imageBench(t, r, docker.ImageOptions{Config: config})
	contains(t, b.fails(says("without", image)), "CannotPullContainerError", "no basic auth credentials")
	login := func(password string) {
		auth := base64.StdEncoding.EncodeToString([]byte("AWS:" + password))
		text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.host(), auth)
		if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	login("wrong")
	contains(t, b.fails(says("wrong", image)), "CannotPullContainerError")
	login(r.password) // a login is seen without a restart
	e := b.runs(says("with", image))
	if e.PullBegan.IsZero() || e.PullEnded.Before(e.PullBegan) || e.At.Before(e.PullEnded) {
		t.Errorf("pulled from %s to %s, started at %s", e.PullBegan, e.PullEnded, e.At)
	}
	if e := b.runs(says("again", image)); !e.PullBegan.IsZero() {
		t.Errorf("it was there, and is said to have been pulled at %s", e.PullBegan)
	}
	if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(`{"auths":`), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, b.fails(says("torn", r.host()+"/private:2")), "CannotPullContainerError", "config.json")
}

func TestTheMirrorIsAskedFirst(t *testing.T) {
	r, mirror := newRegistry(t), newRegistry(t)
	mirror.push("at/mine:1", "of the mirror")
	r.push("mine:1", "of the registry")
	r.push("only:1", "of the registry")
	pinned := mirror.push("at/pinned:1", "pinned")
	b := imageBench(t, r, docker.ImageOptions{Mirrors: map[string]string{r.host(): mirror.host() + "/at"}})
	b.forgetImages(mirror)
	b.runs(says("both", r.host()+"/mine:1"))
	if r.pulls() != 0 || mirror.pulls() == 0 || b.has(mirror.host()+"/at/mine:1") || !b.has(r.host()+"/mine:1") {
		t.Error("the image was not taken from the mirror under its own name")
	}
	contains(t, b.printed("both"), "of the mirror")
	b.runs(says("only", r.host()+"/only:1"))
	if mirror.pulls() == 0 || r.pulls() == 0 {
		t.Error("the registry was not asked after the mirror")
	}
	b.runs(says("pinned", r.host()+"/pinned@"+pinned))
	if mirror.pulls() == 0 {
		t.Error("the mirror was not asked for a digest")
	}
	b.runs(says("pinned-again", r.host()+"/pinned@"+pinned))
	if mirror.pulls()+r.pulls() != 0 {
		t.Error("an image of the mirror was not found again by its digest")
	}
}

func TestImagesArePulledAsTheBehaviourSays(t *testing.T) {
	for _, c := range []struct {
		behavior          docker.PullBehavior
		again, afterwards bool // whether a second start pulls, and one of a new engine
		failsWithout      bool // whether a start fails though the image is there
	}{
		{docker.PullPreferCached, false, false, false},
		{docker.PullOnce, false, false, false},
		{docker.PullDefault, true, true, false},
		{docker.PullAlways, true, true, true},
	} {
		t.Run(string(c.behavior), func(t *testing.T) {
			r := newRegistry(t)
			r.push("app:1", "first")
			image, o := r.host()+"/app:1", docker.ImageOptions{Pull: c.behavior, Record: filepath.Join(t.TempDir(), "images.json")}
			b := imageBench(t, r, o)
			b.runs(says("one", image))
			if r.pulls() == 0 {
				t.Error("the first start pulled nothing")
			}
			r.push("app:1", "second")
			b.runs(says("two", image))
			if pulled := r.pulls() > 0; pulled != c.again {
				t.Errorf("the second start pulled: %t", pulled)
			}
			contains(t, b.printed("two"), map[bool]string{true: "second", false: "first"}[c.again])
			b.Close()
			b = imageBench(t, r, o)
			b.runs(says("three", image))
			if pulled := r.pulls() > 0; pulled != c.afterwards {
				t.Errorf("a start of a new engine pulled: %t", pulled)
			}
			r.set(func() { r.down = true })
			if c.failsWithout {
				contains(t, b.fails(says("four", image)), "CannotPullContainerError")
			} else {
				b.runs(says("four", image))
			}
		})
	}
}

func TestASlowPullIsInNoOtherStartsWay(t *testing.T) {
	r := newRegistry(t)
	r.push("slow:1", "late")
	gate := make(chan struct{})
	r.set(func() { r.gate = gate })
	b := imageBench(t, r, docker.ImageOptions{})
	const waiting = 8 // more than are started at a time
	for i := range waiting {
		b.Start(says(fmt.Sprintf("waits-%d", i), r.host()+"/slow:1"))
	}
	eventually(t, "the image is being pulled", func() bool { return r.pulls() > 0 })
	b.Start(shell("fast", trapping))
	if e := b.next(runtime.Started); e.TaskID != "fast" {
		t.Errorf("%s was started", e.TaskID)
	}
	b.Stop("waits-0")
	if e := b.next(runtime.StartFailed); e.TaskID != "waits-0" {
		t.Errorf("%s has not been started", e.TaskID)
	}
	b.ready("fast")
	b.Stop("fast")
	code(t, b.next(runtime.Exited), 0)
	close(gate)
	starts, ends := 0, 0
	for starts < waiting-1 || ends < waiting-1 {
		switch e := <-b.events; e.Kind {
		case runtime.Started:
			starts++
		case runtime.Exited:
			ends++
		default:
			t.Fatalf("%+v", e)
		}
	}
}

func TestAnImageThatWasFetchedAheadIsThereAndStays(t *testing.T) {
	r := newRegistry(t)
	r.push("ahead:1", "ahead")
	r.push("other:1", "other")
	ahead, other := r.host()+"/ahead:1", r.host()+"/other:1"
	var late atomic.Int64
	o := docker.Options{Owner: t.Name(), Now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }, Images: docker.ImageOptions{
		Config: t.TempDir(), Clean: docker.Cleaning{Every: 20 * time.Millisecond},
	}}
	b := openBench(t, o)
	b.forgetImages(r)
	b.Prefetch(ahead)
	b.Prefetch(r.host() + "/none:1") // is logged, and harms nothing
	eventually(t, "the image is there", func() bool { return b.has(ahead) })
	b.runs(says("other", other))
	b.Forget("other")
	eventually(t, "its container is gone", func() bool {
		_, err := b.docker.ContainerInspect(t.Context(), "plimsoll-other-main", client.ContainerInspectOptions{})
		return err != nil
	})
	late.Store(int64(2 * time.Hour))
	eventually(t, "an image that was not fetched ahead is removed", func() bool { return !b.has(other) })
	if !b.has(ahead) {
		t.Error("the image that was fetched ahead is removed too")
	}
	if e := b.runs(says("ahead", ahead)); !e.PullBegan.IsZero() {
		t.Error("it was pulled again")
	}
}

func TestOnlyWhatIsOldUnusedAndTheEnginesOwnIsRemoved(t *testing.T) {
	r := newRegistry(t)
	for _, name := range []string{"idle:1", "busy:1", "theirs:1", "shared:1"} {
		r.push(name, name)
	}
	var late atomic.Int64
	o := docker.Options{Owner: t.Name(), Now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }, Images: docker.ImageOptions{
		Config: t.TempDir(), Record: filepath.Join(t.TempDir(), "images.json"), Clean: docker.Cleaning{Every: 20 * time.Millisecond},
	}}
	b := openBench(t, o)
	b.forgetImages(r)
	idle, busy, theirs, shared := r.host()+"/idle:1", r.host()+"/busy:1", r.host()+"/theirs:1", r.host()+"/shared:1"
	pull, err := b.docker.ImagePull(t.Context(), theirs, client.ImagePullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := pull.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	pull.Close()
	for i, image := range []string{idle, theirs, shared} {
		b.runs(says(fmt.Sprintf("ended-%d", i), image))
	}
	if _, err := b.docker.ImageTag(t.Context(), client.ImageTagOptions{Source: shared, Target: r.host() + "/named:mine"}); err != nil {
		t.Fatal(err)
	}
	runs := shell("runs", trapping)
	runs.Containers[0].Image = busy
	b.Start(runs)
	b.next(runtime.Started)
	b.ready("runs")
	other, err := b.docker.ContainerCreate(t.Context(), client.ContainerCreateOptions{Config: &container.Config{Image: testImage, Cmd: []string{"true"}}, Name: "plimsoll-nobodys"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.docker.ContainerRemove(context.Background(), other.ID, client.ContainerRemoveOptions{Force: true})
	})
	containers := func() []string {
		list, err := b.docker.ContainerList(context.Background(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", "plimsoll.owner="+t.Name())})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, item := range list.Items {
			names = append(names, item.Names...)
		}
		return names
	}
	late.Store(int64(2 * time.Hour)) // not yet three: the stopped containers keep their images
	again := says("ended-3", testImage)
	again.Containers[0].Command = []string{"sh", "-c", "echo ready"}
	b.runs(again)
	if n := len(containers()); n != 5 || !b.has(idle) {
		t.Errorf("%d containers instead of 5 before their time, idle image there: %t", n, b.has(idle))
	}
	late.Store(int64(4 * time.Hour))
	eventually(t, "old containers are removed", func() bool { return len(containers()) == 1 })
	late.Store(int64(6 * time.Hour)) // since when a container was last seen to have one
	eventually(t, "old images are removed", func() bool { return !b.has(idle) && !b.has(shared) })
	for _, image := range []string{busy, theirs, r.host() + "/named:mine", testImage} {
		if !b.has(image) {
			t.Errorf("%s is removed", image)
		}
	}
	if _, err := b.docker.ContainerInspect(t.Context(), other.ID, client.ContainerInspectOptions{}); err != nil {
		t.Errorf("the container of somebody else: %v", err)
	}
	b.runs(says("back", idle)) // what was removed is pulled again
	b.Stop("runs")
	code(t, b.next(runtime.Exited), 0)
}
