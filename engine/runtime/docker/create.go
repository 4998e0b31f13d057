package docker

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
)

// start creates and starts all containers of the task, or none.
func (t *task) start() {
	if t.r.broken != nil {
		t.fail("CannotCreateContainerError: " + t.r.broken.Error())
		return
	}
	if t.wantsStop() {
		t.fail("TaskFailedToStart: it was stopped before it was started")
		return
	}
	reason := t.startAll()
	if t.r.ctx.Err() != nil {
		return // whoever adopts it sees how far it came
	}
	if reason != "" {
		t.remove()
		t.r.mu.Lock()
		t.r.tasks[t.spec.TaskID] = t // the id stays used
		t.r.mu.Unlock()
		t.fail(reason)
		return
	}
	bindings, err := t.bindings()
	if err != nil {
		t.r.o.Log.Warn("the ports of a task cannot be read", "task", t.spec.TaskID, "error", err)
	}
	t.began(bindings)
}

// startAll gives the reason if it could not.
func (t *task) startAll() string {
	for _, c := range t.spec.Containers {
		if c.Image == "" {
			return fmt.Sprintf("CannotCreateContainerError: container %q has no image; name one, or use the process runtime, which runs the command", c.Name)
		}
		if err := t.r.pull(c.Image); err != nil {
			return "CannotPullContainerError: " + err.Error()
		}
		config, host, err := t.r.configure(t.spec, c)
		if err != nil {
			return "CannotCreateContainerError: " + err.Error()
		}
		// The name makes a second start of the same id impossible.
		made, err := t.r.docker.ContainerCreate(t.r.ctx, client.ContainerCreateOptions{
			Config: config, HostConfig: host, Name: "plimsoll-" + t.spec.TaskID + "-" + c.Name,
		})
		if err != nil {
			return "CannotCreateContainerError: " + err.Error()
		}
		t.has(c.Name, made.ID, seconds(c.StopTimeout), false)
	}
	for _, c := range t.spec.Containers {
		t.mu.Lock()
		id := t.ids[c.Name]
		t.running[c.Name] = true // before it is: its end may be told at once
		t.mu.Unlock()
		if _, err := t.r.docker.ContainerStart(t.r.ctx, id, client.ContainerStartOptions{}); err != nil {
			return "CannotStartContainerError: " + err.Error()
		}
	}
	if len(t.spec.Containers) == 0 {
		return "CannotCreateContainerError: the task has no containers"
	}
	return ""
}

// pull gets the image if it is not there.
func (r *Runtime) pull(image string) error {
	_, err := r.docker.ImageInspect(r.ctx, image)
	if err == nil || !errdefs.IsNotFound(err) {
		return err
	}
	r.o.Log.Info("an image is being pulled", "image", image)
	progress, err := r.docker.ImagePull(r.ctx, image, client.ImagePullOptions{})
	if err != nil {
		return err
	}
	defer progress.Close()
	return progress.Wait(r.ctx)
}

// configure is what Docker is told of a container.
func (r *Runtime) configure(spec runtime.Spec, c runtime.Container) (*container.Config, *container.HostConfig, error) {
	timeout, withInit := seconds(c.StopTimeout), true
	config := &container.Config{
		Image: c.Image, Entrypoint: c.EntryPoint, Cmd: c.Command, WorkingDir: c.WorkingDir, User: c.User,
		StopTimeout: &timeout, Labels: map[string]string{},
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
		Init:        &withInit,
		NetworkMode: networkMode(spec.Network),
		Resources:   container.Resources{CPUShares: max(c.CPU, 2), Memory: c.Memory << 20, MemorySwap: c.Memory << 20},
	}
	if err := publish(spec, c, config, host); err != nil {
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

// bindings reads which host ports the containers have.
func (t *task) bindings() ([]runtime.Binding, error) {
	var all []runtime.Binding
	for _, c := range t.spec.Containers {
		if len(c.Ports) == 0 {
			continue
		}
		t.mu.Lock()
		id := t.ids[c.Name]
		t.mu.Unlock()
		published := network.PortMap{}
		if networkMode(t.spec.Network) == "bridge" {
			got, err := t.r.inspect(t.r.ctx, id)
			if err != nil {
				return all, err
			}
			if got.NetworkSettings != nil {
				published = got.NetworkSettings.Ports
			}
		}
		for _, p := range c.Ports {
			all = append(all, binding(t.spec, c.Name, p, published))
		}
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
