package app

import (
	"context"
	"fmt"

	"plimsoll/compose"
	"plimsoll/demand"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/docker"
	"plimsoll/engine/runtime/fake"
	"plimsoll/engine/runtime/process"
)

// The runtimes that --runtime may name.
const (
	runtimeProcess = "process"
	runtimeDocker  = "docker"
	runtimeFake    = "fake"
)

// chooseRuntime gives the name of the runtime to use: the one asked for; else
// Docker where its engine answers and every service names an image; else plain
// processes.
func chooseRuntime(ctx context.Context, asked string, services []compose.Service) (string, error) {
	switch asked {
	case runtimeFake:
		return asked, nil
	case runtimeProcess:
		return asked, needCommands(services, "--runtime process")
	case runtimeDocker:
		if err := docker.Available(ctx); err != nil {
			return "", fmt.Errorf("--runtime docker: %w; start the Docker Engine, or use --runtime process", err)
		}
		return asked, nil
	case "":
	default:
		return "", misusef("--runtime %q: allowed are %s, %s and %s", asked, runtimeProcess, runtimeDocker, runtimeFake)
	}
	for _, s := range services {
		if s.Image == "" {
			return runtimeProcess, needCommands(services, fmt.Sprintf("service %q, which has no image,", s.Name))
		}
	}
	err := docker.Available(ctx)
	if err == nil {
		return runtimeDocker, nil
	}
	return runtimeProcess, needCommands(services, fmt.Sprintf("no Docker Engine (%v)", err))
}

// needCommands refuses services that only their image could run. The words say
// why there are plain processes.
func needCommands(services []compose.Service, why string) error {
	for _, s := range services {
		if len(s.NeedsDocker) > 0 {
			return misusef("%s; with %s tasks are plain processes", s.NeedsDocker[0], why)
		}
		if len(s.Command)+len(s.EntryPoint) == 0 {
			return misusef("service %q has the image %q and no command, and with %s tasks are plain processes: start the Docker Engine and name an image in every service, or give a command",
				s.Name, s.Image, why)
		}
	}
	return nil
}

// abilitiesOf is what a runtime can do for tasks, by its name.
func abilitiesOf(name string, allow runtime.Allow) runtime.Abilities {
	switch name {
	case runtimeDocker:
		return docker.Abilities(allow)
	case runtimeFake:
		return fake.Abilities()
	}
	return process.Abilities()
}

// runtimePorts are the host ports that the worlds of one engine share. Another
// engine of the machine, which has another folder, begins with others.
type runtimePorts struct{ process *process.Ports }

func newRuntimePorts(state stateDir) runtimePorts {
	return runtimePorts{process: process.NewPorts(process.DefaultFirstPort, process.DefaultLastPort, string(state))}
}

// recorded are the image options, with the world's own record of what was pulled.
func (o worldOptions) recorded() docker.ImageOptions {
	images := o.images
	images.Record = o.dir.path("images.json")
	return images
}

// makeRuntime makes a world's runtime by its name.
func makeRuntime(o worldOptions, ports runtimePorts, sink runtime.Sink) (runtime.Runtime, error) {
	switch o.runtime {
	case runtimeDocker:
		return docker.New(docker.Options{Owner: string(o.dir), Allow: o.allow, Images: o.recorded(), Log: o.log}, sink), nil
	case runtimeFake:
		return fake.New(fake.Options{Fate: scripted}, sink), nil
	}
	return process.New(process.Options{Dir: o.dir.path("tasks"), Ports: ports.process, Log: o.log}, sink)
}

// scripted is the life of a fake task. The environment of its first container
// says what each of them seems to use: FAKE_CPU in CPU units, FAKE_MEMORY in MiB;
// what is no number of 0 or more counts as none.
func scripted(spec runtime.Spec) fake.Fate {
	if len(spec.Containers) == 0 {
		return fake.Fate{}
	}
	number := func(name string) float64 {
		n, err := demand.ParseValue(spec.Containers[0].Env[name])
		if err != nil {
			return 0
		}
		return n
	}
	return fake.Fate{CPU: number("FAKE_CPU"), Memory: int64(min(number("FAKE_MEMORY"), 1<<30)) << 20}
}
