package ecs

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
)

// mapped is a definition of one container with a GPU and three ports.
func mapped(mode types.NetworkMode) *types.TaskDefinition {
	return &types.TaskDefinition{
		NetworkMode: mode,
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("main"), Cpu: 100, Memory: aws.Int32(64),
			ResourceRequirements: []types.ResourceRequirement{{Type: types.ResourceTypeGpu, Value: aws.String("2")}},
			PortMappings: []types.PortMapping{
				{ContainerPort: aws.Int32(8080), HostPort: aws.Int32(443)},
				{ContainerPort: aws.Int32(53), HostPort: aws.Int32(53), Protocol: types.TransportProtocolUdp},
				{ContainerPort: aws.Int32(9000), HostPort: aws.Int32(0)},
			},
		}},
	}
}

func TestATaskReservesItsGPUsAndTheHostsFixedPorts(t *testing.T) {
	for mode, want := range map[types.NetworkMode][]int{
		types.NetworkModeBridge: {53, 443}, types.NetworkModeHost: {53, 443, 9000}, types.NetworkModeAwsvpc: nil,
	} {
		d, err := newDefinition(mapped(mode))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.hostPorts, want) {
			t.Errorf("%s: the host ports are %v, want %v", mode, d.hostPorts, want)
		}
		if got, want := d.reserved(nil), (plimsoll.Resources{CPU: 100, Memory: 64, GPU: 2}); got != want {
			t.Errorf("reserves %v, want %v", got, want)
		}
	}
}

func TestANumberOfGPUsThatIsNoneIsAnError(t *testing.T) {
	broken := mapped(types.NetworkModeBridge)
	broken.ContainerDefinitions[0].ResourceRequirements[0].Value = aws.String("many")
	if d, err := newDefinition(broken); err == nil {
		t.Errorf("taken as %v", d.reserved(nil))
	}
}
