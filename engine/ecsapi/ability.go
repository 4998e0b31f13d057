package ecsapi

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine/awsapi"
	"plimsoll/engine/runtime"
)

// abilities are what a runtime honours of a task definition, in the wire's words.
type abilities struct {
	runtime.Abilities
	architecture types.CPUArchitecture
	// known are the paths of RegisterTaskDefinition's members that are honoured,
	// or that only describe and ask for nothing.
	known map[string]bool
}

// common is what every runtime honours.
var common = []string{
	"family", "taskRoleArn", "executionRoleArn", "networkMode", "cpu", "memory", "tags",
	"requiresCompatibilities", "runtimePlatform", "placementConstraints",
	"containerDefinitions.name", "containerDefinitions.image", "containerDefinitions.entryPoint",
	"containerDefinitions.command", "containerDefinitions.workingDirectory", "containerDefinitions.environment",
	"containerDefinitions.cpu", "containerDefinitions.memory", "containerDefinitions.memoryReservation",
	"containerDefinitions.essential", "containerDefinitions.dockerLabels", "containerDefinitions.user",
	"containerDefinitions.portMappings.containerPort", "containerDefinitions.portMappings.hostPort",
	"containerDefinitions.portMappings.protocol", "containerDefinitions.portMappings.name",
	"containerDefinitions.portMappings.appProtocol",
	"containerDefinitions.dependsOn", "containerDefinitions.startTimeout", "containerDefinitions.stopTimeout",
	"containerDefinitions.healthCheck", "containerDefinitions.restartPolicy", "containerDefinitions.ulimits",
	"containerDefinitions.linuxParameters.initProcessEnabled",
}

// byAbility is what a runtime honours that has the ability.
var byAbility = map[runtime.Ability][]string{
	runtime.HostPID: {"pidMode"},
	runtime.HostIPC: {"ipcMode"},
	runtime.Volumes: {"volumes.name", "volumes.host", "volumes.dockerVolumeConfiguration",
		"containerDefinitions.mountPoints", "containerDefinitions.volumesFrom"},
	runtime.Temporary:    {"containerDefinitions.linuxParameters.tmpfs"},
	runtime.Capabilities: {"containerDefinitions.linuxParameters.capabilities"},
	runtime.Privileged:   {"containerDefinitions.privileged"},
	runtime.ReadOnlyRoot: {"containerDefinitions.readonlyRootFilesystem"},
	runtime.SharedMemory: {"containerDefinitions.linuxParameters.sharedMemorySize"},
	runtime.Swap:         {"containerDefinitions.linuxParameters.maxSwap"},
	runtime.Sysctls:      {"containerDefinitions.systemControls"},
	runtime.Names: {"containerDefinitions.hostname", "containerDefinitions.extraHosts", "containerDefinitions.links",
		"containerDefinitions.dnsServers", "containerDefinitions.dnsSearchDomains"},
	runtime.StandardInput: {"containerDefinitions.interactive"},
	runtime.LogDrivers:    {"containerDefinitions.logConfiguration.logDriver", "containerDefinitions.logConfiguration.options"},
}

func abilitiesOf(able runtime.Abilities, architecture string) (abilities, error) {
	a := abilities{Abilities: able, known: set(common...), architecture: types.CPUArchitectureX8664}
	if able.Runtime == "" {
		return a, errors.New("the ECS API needs to know what the runtime can do")
	}
	if architecture == "arm64" {
		a.architecture = types.CPUArchitectureArm64
	}
	for ability, paths := range byAbility {
		if a.knows(ability) {
			for _, path := range paths {
				a.known[path] = true
			}
		}
	}
	return a, nil
}

// knows tells whether the runtime has the ability at all.
func (a *abilities) knows(ability runtime.Ability) bool {
	_, known := a.Can[ability]
	return known || a.Anything
}

// need refuses what the runtime has not the ability for, or is not allowed.
func (a *abilities) need(path string, ability runtime.Ability, flag string) error {
	switch {
	case a.Anything || a.Can[ability]:
		return nil
	case a.knows(ability):
		return awsapi.Refuse(codeClient, "%s is not allowed by this engine: %s has to be allowed at its start (--allow %s).", path, ability, flag)
	}
	return awsapi.Refuse(codeClient, "%s is not supported by this engine with the %s runtime.", path, a.Runtime)
}

// check refuses values of the task definition that the runtime cannot honour.
// The members that it does not know at all have been refused before.
func (a *abilities) check(compatibilities []types.Compatibility, mode types.NetworkMode, platform *types.RuntimePlatform) error {
	for i, c := range compatibilities {
		if c == types.CompatibilityFargate {
			return awsapi.Refuse(codeClient, "requiresCompatibilities[%d]: FARGATE is not supported by this engine: "+
				"its tasks run on container instances. Use EC2.", i)
		}
		if c != types.CompatibilityEc2 && c != types.CompatibilityExternal {
			return awsapi.Refuse(codeClient, "requiresCompatibilities[%d]: %q is not supported by this engine. Use EC2.", i, c)
		}
	}
	if err := a.checkNetwork(mode); err != nil || platform == nil {
		return err
	}
	if os := platform.OperatingSystemFamily; os != "" && os != types.OSFamilyLinux {
		return awsapi.Refuse(codeClient, "runtimePlatform.operatingSystemFamily %q is not supported by this engine: LINUX is.", os)
	}
	if cpu := platform.CpuArchitecture; cpu != "" && cpu != a.architecture {
		return awsapi.Refuse(codeClient, "runtimePlatform.cpuArchitecture %q is not that of this machine, which is %s.", cpu, a.architecture)
	}
	return nil
}

func (a *abilities) checkNetwork(mode types.NetworkMode) error {
	path := fmt.Sprintf("networkMode %q", mode)
	switch mode {
	case "", types.NetworkModeBridge:
		return nil
	case types.NetworkModeHost:
		return a.need(path, runtime.HostNetwork, "host-network")
	case types.NetworkModeNone:
		return a.need(path, runtime.NoNetwork, "")
	}
	return awsapi.Refuse(codeClient, "%s is not supported by this engine with the %s runtime: bridge is.", path, a.Runtime)
}

// checkModes refuses namespaces that cannot be shared.
func (a *abilities) checkModes(pid types.PidMode, ipc types.IpcMode) error {
	if pid != "" && pid != types.PidModeHost {
		return awsapi.Refuse(codeClient, "pidMode %q is not supported by this engine: host is.", pid)
	}
	if ipc != "" && ipc != types.IpcModeHost {
		return awsapi.Refuse(codeClient, "ipcMode %q is not supported by this engine: host is.", ipc)
	}
	if pid != "" {
		if err := a.need("pidMode", runtime.HostPID, "host-pid"); err != nil {
			return err
		}
	}
	if ipc != "" {
		return a.need("ipcMode", runtime.HostIPC, "host-ipc")
	}
	return nil
}

// checkContainer refuses a container that the runtime could not start.
func (a *abilities) checkContainer(i int, c *types.ContainerDefinition) error {
	if a.Images && value(c.Image) == "" {
		return awsapi.Refuse(codeClient, "containerDefinitions[%d].image is required: Container.image should not be null or empty.", i)
	}
	if !a.Images && !a.Anything && len(c.Command)+len(c.EntryPoint) == 0 {
		return awsapi.Refuse(codeClient, "containerDefinitions[%d].command is required: the %s runtime starts a program of this machine, "+
			"and there is no image whose own command it could run.", i, a.Runtime)
	}
	if value(c.Privileged) {
		if err := a.need(fmt.Sprintf("containerDefinitions[%d].privileged", i), runtime.Privileged, "privileged"); err != nil {
			return err
		}
	}
	return nil
}

// checkCapabilities refuses those that are none, or that may not be added.
func (a *abilities) checkCapabilities(at string, add, drop []string) error {
	for j, name := range slices.Concat(add, drop) {
		if name != "ALL" && !slices.Contains(capabilityNames, name) {
			return awsapi.Refuse(codeClient, "%s.capabilities: %q is no capability; ALL and %v are.", at, name, capabilityNames)
		}
		if j < len(add) && !a.Anything && !slices.Contains(a.Allow.Capabilities, name) {
			return awsapi.Refuse(codeClient, "%s.capabilities.add: %s is not allowed by this engine: start it with --allow-capability %s. Allowed are %v.",
				at, name, name, a.Allow.Capabilities)
		}
	}
	return nil
}

// capabilityNames are those that ECS knows.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KernelCapabilities.html
var capabilityNames = []string{
	"AUDIT_CONTROL", "AUDIT_WRITE", "BLOCK_SUSPEND", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID",
	"IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_BOOT",
	"SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME",
	"SYS_TTY_CONFIG", "SYSLOG", "WAKE_ALARM",
}
