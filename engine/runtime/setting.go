package runtime

import "strings"

// Setting is what surrounds a container beside its command: limits, rights,
// files and names. The zero value asks for nothing. Which of it a runtime can
// honour is in its Abilities.
type Setting struct {
	Ulimits []Ulimit `json:",omitzero"`
	// Init asks for a small process 1 that passes signals on and reaps orphans;
	// nil is the runtime's own way. (The process runtime always has one.)
	Init *bool `json:",omitzero"`
	// AddCapabilities and DropCapabilities are Linux capabilities without CAP_,
	// or ALL.
	AddCapabilities  []string     `json:",omitzero"`
	DropCapabilities []string     `json:",omitzero"`
	Privileged       bool         `json:",omitzero"`
	Tmpfs            []Tmpfs      `json:",omitzero"`
	Mounts           []Mount      `json:",omitzero"`
	VolumesFrom      []VolumeFrom `json:",omitzero"`
	ReadOnlyRoot     bool         `json:",omitzero"`
	SharedMemory     int64        `json:",omitzero"` // MiB; 0: the default
	// Swap is what may be swapped out beside Memory, in MiB; nil is none.
	Swap          *int64            `json:",omitzero"`
	Sysctls       map[string]string `json:",omitzero"`
	Hostname      string            `json:",omitzero"`
	ExtraHosts    []string          `json:",omitzero"` // name:address
	Links         []string          `json:",omitzero"` // container or container:alias
	DNSServers    []string          `json:",omitzero"`
	SearchDomains []string          `json:",omitzero"`
	Stdin         bool              `json:",omitzero"`
	// LogDriver and LogOptions are Docker's; empty: the default.
	LogDriver  string            `json:",omitzero"`
	LogOptions map[string]string `json:",omitzero"`
}

// neighbours are the containers of the task that are named.
func (s *Setting) neighbours() []string {
	var names []string
	for _, l := range s.Links {
		name, _, _ := strings.Cut(l, ":")
		names = append(names, name)
	}
	for _, v := range s.VolumesFrom {
		names = append(names, v.Container)
	}
	return names
}

// Ulimit bounds a resource of a container's processes; -1 is no bound.
type Ulimit struct {
	Name       string `json:",omitzero"` // nofile, …
	Soft, Hard int64  `json:",omitzero"`
}

// Tmpfs is a file system in memory.
type Tmpfs struct {
	Path    string   `json:",omitzero"`
	Size    int64    `json:",omitzero"` // MiB
	Options []string `json:",omitzero"`
}

// Mount is a volume of the task at a path of the container.
type Mount struct {
	Volume   string `json:",omitzero"`
	Path     string `json:",omitzero"`
	ReadOnly bool   `json:",omitzero"`
}

// VolumeFrom mounts all that another container of the task has mounted.
type VolumeFrom struct {
	Container string `json:",omitzero"`
	ReadOnly  bool   `json:",omitzero"`
}

// Volume is a volume of a task.
type Volume struct {
	Name string `json:",omitzero"`
	// HostPath is a path of the machine; if it is empty, the runtime keeps the
	// volume.
	HostPath string `json:",omitzero"`
	// Shared volumes outlive the task, under their own name; the others are made
	// and removed with it.
	Shared bool `json:",omitzero"`
	// Provision makes a shared volume that is not there; without it that is an
	// error.
	Provision bool              `json:",omitzero"`
	Driver    string            `json:",omitzero"` // empty: local
	Options   map[string]string `json:",omitzero"`
	Labels    map[string]string `json:",omitzero"`
}

// Ability is one thing that not every runtime, or not every machine, can do for
// a container.
type Ability string

// The abilities.
const (
	NoNetwork     Ability = "networkMode none"
	HostNetwork   Ability = "networkMode host"
	HostPID       Ability = "pidMode host"
	HostIPC       Ability = "ipcMode host"
	Volumes       Ability = "volumes"
	Temporary     Ability = "tmpfs"
	Capabilities  Ability = "capabilities"
	Privileged    Ability = "privileged"
	ReadOnlyRoot  Ability = "readonlyRootFilesystem"
	SharedMemory  Ability = "sharedMemorySize"
	Swap          Ability = "maxSwap"
	Sysctls       Ability = "systemControls"
	Names         Ability = "hostname, extraHosts, links, dnsServers, dnsSearchDomains"
	StandardInput Ability = "interactive"
	LogDrivers    Ability = "logConfiguration"
)

// Abilities are what a runtime can do beside running a command as a user in a
// folder, with an environment, ports, ulimits, dependencies, health checks and
// restarts, which every one can.
type Abilities struct {
	// Runtime is its name, for people.
	Runtime string
	// Images are run, so that each container has to name one; without it each
	// has to give a command.
	Images bool
	// Anything takes both and needs neither: nothing is really run.
	Anything bool
	// Can has the abilities that it knows; false is one that Allow withholds.
	Can map[Ability]bool
	// Allow bounds what tasks may ask of the machine: AddCapabilities has all that
	// may be added.
	Allow Allow
}
