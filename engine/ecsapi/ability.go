package ecsapi

import (
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine/awsapi"
)

// abilities are what a runtime honours of a task definition.
type abilities struct {
	runtime      string
	needsImage   bool
	needsCommand bool
	networkModes []types.NetworkMode
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
	"containerDefinitions.essential", "containerDefinitions.stopTimeout", "containerDefinitions.dockerLabels",
	"containerDefinitions.portMappings.containerPort", "containerDefinitions.portMappings.hostPort",
	"containerDefinitions.portMappings.protocol", "containerDefinitions.portMappings.name",
	"containerDefinitions.portMappings.appProtocol",
	"containerDefinitions.user",
}

func abilitiesOf(runtime, architecture string) (abilities, error) {
	a := abilities{
		runtime: runtime, known: set(common...),
		networkModes: []types.NetworkMode{types.NetworkModeBridge, types.NetworkModeHost},
	}
	switch runtime {
	case "process":
		a.needsCommand = true
	case "docker":
		a.needsImage = true
		a.networkModes = append(a.networkModes, types.NetworkModeNone)
	case "fake":
		a.networkModes = append(a.networkModes, types.NetworkModeNone)
	default:
		return a, fmt.Errorf("runtime %q is unknown: process, docker and fake are allowed", runtime)
	}
	a.architecture = types.CPUArchitectureX8664
	if architecture == "arm64" {
		a.architecture = types.CPUArchitectureArm64
	}
	return a, nil
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
	if mode != "" && !slices.Contains(a.networkModes, mode) {
		return awsapi.Refuse(codeClient, "networkMode %q is not supported by this engine with the %s runtime: %v are.",
			mode, a.runtime, a.networkModes)
	}
	if platform == nil {
		return nil
	}
	if os := platform.OperatingSystemFamily; os != "" && os != types.OSFamilyLinux {
		return awsapi.Refuse(codeClient, "runtimePlatform.operatingSystemFamily %q is not supported by this engine: LINUX is.", os)
	}
	if cpu := platform.CpuArchitecture; cpu != "" && cpu != a.architecture {
		return awsapi.Refuse(codeClient, "runtimePlatform.cpuArchitecture %q is not that of this machine, which is %s.", cpu, a.architecture)
	}
	return nil
}

// checkContainer refuses a container that the runtime could not start.
func (a *abilities) checkContainer(i int, c *types.ContainerDefinition) error {
	if a.needsImage && value(c.Image) == "" {
		return awsapi.Refuse(codeClient, "containerDefinitions[%d].image is required: Container.image should not be null or empty.", i)
	}
	if a.needsCommand && len(c.Command)+len(c.EntryPoint) == 0 {
		return awsapi.Refuse(codeClient, "containerDefinitions[%d].command is required: the %s runtime starts a program of this machine, "+
			"and there is no image whose own command it could run.", i, a.runtime)
	}
	return nil
}
