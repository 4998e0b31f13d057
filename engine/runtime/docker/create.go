package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
)

// start begins a task: what of its images is not there is waited for outside the
// queue of the starts, so that a slow pull is in no other start's way.
func (t *task) start() {
	if t.r.broken != nil {
		t.fail("CannotCreateContainerError: " + t.r.broken.Error())
		return
	}
	if reason := t.refusal(); reason != "" {
		t.fail(reason)
		return
	}
	refs := make([]string, len(t.spec.Containers))
	for i, c := range t.spec.Containers {
		if refs[i] = c.Image; c.Image == "" {
			reason := fmt.Sprintf("CannotCreateContainerError: container %q has no image; name one, or use the process runtime, which runs the command", c.Name)
			t.fail(reason, t.blame(i, reason)...)
			return
		}
	}
	release := t.r.images.hold(refs)
	names, at, err := t.r.images.look(refs)
	if err != nil {
		release()
		t.cannotPull(at, err)
		return
	}
	if names != nil {
		t.make(names)
		release()
		return
	}
	t.r.spawn(func() { t.pullAll(refs, release) })
}

// refusal is why a task is not started at all.
func (t *task) refusal() string {
	switch bad := order.Check(t.spec.Order()); {
	case t.wantsStop():
		return "TaskFailedToStart: it was stopped before it was started"
	case len(t.spec.Containers) == 0:
		return "CannotCreateContainerError: the task has no containers"
	case bad != "":
		return "TaskFailedToStart: " + bad
	}
	if err := t.r.checkSpec(t.spec); err != nil {
		return "CannotCreateContainerError: " + err.Error()
	}
	return ""
}

// pullAll gets the images that are not there, and has the task go on.
func (t *task) pullAll(refs []string, release func()) {
	began := t.r.o.Now()
	names, at, err := t.r.images.need(refs, t.unwanted)
	if err != nil {
		release()
		t.cannotPull(at, err)
		return
	}
	t.mu.Lock()
	t.pullBegan, t.pullEnded = began, t.r.o.Now()
	t.mu.Unlock()
	t.r.starts.Put(func() {
		t.make(names)
		release()
	})
}

func (t *task) cannotPull(at int, err error) {
	if t.r.ctx.Err() != nil {
		return // whoever adopts it sees that nothing was made
	}
	if errors.Is(err, errUnwanted) {
		t.fail("TaskFailedToStart: " + err.Error())
		return
	}
	reason := "CannotPullContainerError: " + err.Error()
	t.fail(reason, t.blame(at, reason)...)
}

// make creates all containers of the task, of the images by the names given, and
// starts those that wait for none.
func (t *task) make(images []string) {
	if t.wantsStop() {
		t.fail("TaskFailedToStart: it was stopped before it was started")
		return
	}
	reason, states := t.create(images)
	if t.r.ctx.Err() != nil {
		return // whoever adopts it sees how far it came
	}
	if reason != "" {
		t.remove()
		t.r.mu.Lock()
		t.r.tasks[t.spec.TaskID] = t // the id stays used
		t.r.mu.Unlock()
		t.fail(reason, states...)
		return
	}
	t.mu.Lock()
	t.acting = true
	starts := t.act()
	t.mu.Unlock()
	t.begin(starts)
}

// create makes all containers, each after those that it refers to. It gives the
// reason if it could not, and whose it is.
func (t *task) create(images []string) (string, []runtime.State) {
	if err := t.makeVolumes(); err != nil {
		return "CannotCreateVolumeError: " + err.Error(), nil
	}
	for _, i := range order.Sequence(t.spec.Order()) {
		if err := t.createContainer(i, images[i]); err != nil {
			reason := "CannotCreateContainerError: " + err.Error()
			return reason, t.blame(i, reason)
		}
	}
	return "", nil
}

// blame says of a container that the task failed for it.
func (t *task) blame(i int, reason string) []runtime.State {
	states := make([]runtime.State, len(t.spec.Containers))
	for j, c := range t.spec.Containers {
		states[j] = runtime.State{Container: c.Name, Phase: order.Never}
	}
	states[i].Reason = reason
	return states
}

func (t *task) createContainer(i int, image string) error {
	c := t.spec.Containers[i]
	c.Image = image
	config, host, err := t.r.configure(t.spec, c)
	if err != nil {
		return err
	}
	// The name makes a second start of the same id impossible.
	made, err := t.r.docker.ContainerCreate(t.r.ctx, client.ContainerCreateOptions{
		Config: config, HostConfig: host, Name: containerName(t.spec.TaskID, c.Name),
	})
	if err != nil {
		return err
	}
	t.has(i, made.ID)
	return nil
}

func containerName(taskID, container string) string { return "plimsoll-" + taskID + "-" + container }

// startTimeout bounds how long Docker may take to start a container, as ECS's
// agent does.
const startTimeout = 3 * time.Minute

// startContainer starts a container and gives its ports.
func (t *task) startContainer(i int) ([]runtime.Binding, error) {
	t.mu.Lock()
	id := t.containers[i].id
	t.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(t.r.ctx, startTimeout, errSlow)
	defer cancel()
	if _, err := t.r.docker.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		if context.Cause(ctx) == errSlow {
			return nil, errSlow
		}
		return nil, err
	}
	bindings, err := t.bindingsOf(i)
	if err != nil {
		t.r.o.Log.Warn("the ports of a container cannot be read", "task", t.spec.TaskID, "error", err)
	}
	return bindings, nil
}

var errSlow = fmt.Errorf("it could not be started within %s", startTimeout)

func startReason(err error) string {
	if errors.Is(err, errSlow) {
		return "DockerTimeoutError: " + err.Error()
	}
	return "CannotStartContainerError: " + err.Error()
}

// configure is what Docker is told of a container.
func (r *Runtime) configure(spec runtime.Spec, c runtime.Container) (*container.Config, *container.HostConfig, error) {
	timeout, withInit := seconds(c.StopTimeout), false
	config := &container.Config{
		Image: c.Image, Entrypoint: c.EntryPoint, Cmd: c.Command, WorkingDir: c.WorkingDir, User: c.User,
		StopTimeout: &timeout, Labels: map[string]string{}, Healthcheck: healthCheck(c.HealthCheck),
	}
	for k, v := range c.Labels {
		config.Labels[k] = v
	}
	for k, v := range map[string]string{
		labelCluster: spec.Cluster, labelName: c.Name, labelTaskARN: spec.TaskARN, labelFamily: spec.Family,
		labelRevision: strconv.Itoa(spec.Revision), labelOwner: r.o.Owner, labelTask: spec.TaskID,
		labelStopTimeout: strconv.Itoa(timeout),
	} {
		config.Labels[k] = v
	}
	host := &container.HostConfig{
		// As ECS has it, none unless it is asked for. An init would be started
		// even if the command is not there, and the start would seem to succeed.
		Init:        &withInit,
		NetworkMode: networkMode(spec.Network),
		Resources:   container.Resources{CPUShares: max(c.CPU, 2), Memory: c.Memory << 20, MemorySwap: c.Memory << 20},
	}
	if err := publish(spec, c, config, host); err != nil {
		return nil, nil, err
	}
	if err := surround(spec, c, config, host); err != nil {
		return nil, nil, err
	}
	config.Env = environment(spec, c)
	return config, host, nil
}

func networkMode(ecs string) container.NetworkMode {
	if ecs == "host" || ecs == "none" {
		return container.NetworkMode(ecs)
	}
	return "bridge"
}

// publish maps the container's ports to the host's address.
func publish(spec runtime.Spec, c runtime.Container, config *container.Config, host *container.HostConfig) error {
	if networkMode(spec.Network) != "bridge" || len(c.Ports) == 0 {
		return nil
	}
	address, err := netip.ParseAddr(spec.Address)
	if err != nil {
		return fmt.Errorf("the host's address %q is not an IP address", spec.Address)
	}
	config.ExposedPorts, host.PortBindings = network.PortSet{}, network.PortMap{}
	for _, p := range c.Ports {
		port, err := containerPort(p)
		if err != nil {
			return err
		}
		config.ExposedPorts[port] = struct{}{}
		host.PortBindings[port] = append(host.PortBindings[port], network.PortBinding{HostIP: address, HostPort: strconv.Itoa(p.HostPort)})
	}
	return nil
}

func containerPort(p runtime.Port) (network.Port, error) {
	protocol := p.Protocol
	if protocol == "" {
		protocol = "tcp"
	}
	port, err := network.ParsePort(strconv.Itoa(p.ContainerPort) + "/" + protocol)
	if err != nil {
		return port, fmt.Errorf("container port %d/%s: %w", p.ContainerPort, protocol, err)
	}
	return port, nil
}

// environment is the container's own. PORT is the port to listen on, inside
// the container; HOST is every address of it.
func environment(spec runtime.Spec, c runtime.Container) []string {
	env := map[string]string{"HOST": "0.0.0.0"}
	if networkMode(spec.Network) == "host" && spec.Address != "" {
		env["HOST"] = spec.Address
	}
	for i, p := range c.Ports {
		port := strconv.Itoa(p.ContainerPort)
		if i == 0 {
			env["PORT"] = port
		}
		env["PORT_"+port] = port
	}
	for k, v := range c.Env {
		env[k] = v
	}
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// bindingsOf reads which host ports a container has.
func (t *task) bindingsOf(i int) ([]runtime.Binding, error) {
	c := t.spec.Containers[i]
	if len(c.Ports) == 0 {
		return nil, nil
	}
	t.mu.Lock()
	id := t.containers[i].id
	t.mu.Unlock()
	published := network.PortMap{}
	if networkMode(t.spec.Network) == "bridge" {
		got, err := t.r.inspect(t.r.ctx, id)
		if err != nil {
			return nil, err
		}
		if got.NetworkSettings != nil {
			published = got.NetworkSettings.Ports
		}
	}
	var all []runtime.Binding
	for _, p := range c.Ports {
		all = append(all, binding(t.spec, c.Name, p, published))
	}
	return all, nil
}

func binding(spec runtime.Spec, name string, p runtime.Port, published network.PortMap) runtime.Binding {
	b := runtime.Binding{Container: name, ContainerPort: p.ContainerPort, Address: spec.Address, HostPort: p.HostPort, Protocol: p.Protocol}
	if b.Protocol == "" {
		b.Protocol = "tcp"
	}
	if networkMode(spec.Network) == "host" {
		b.HostPort = p.ContainerPort // there is no mapping
	}
	port, err := containerPort(p)
	if err != nil {
		return b
	}
	for _, at := range published[port] {
		if n, err := strconv.Atoi(at.HostPort); err == nil && n > 0 {
			b.HostPort = n
			if at.HostIP.IsValid() && !at.HostIP.IsUnspecified() {
				b.Address = at.HostIP.String()
			}
			break
		}
	}
	return b
}

func (r *Runtime) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	got, err := r.docker.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	return got.Container, err
}
