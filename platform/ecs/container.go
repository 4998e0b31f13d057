package ecs

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
	"plimsoll/platform"
)

// surround puts the setting of the container into ECS's words.
func surround(to *types.ContainerDefinition, from platform.ContainerSpec) {
	if h := from.HealthCheck; h != nil {
		to.HealthCheck = &types.HealthCheck{
			Command: h.Command, Interval: wholeSeconds(h.Interval), Timeout: wholeSeconds(h.Timeout), StartPeriod: wholeSeconds(h.StartPeriod),
		}
		if h.Retries > 0 {
			to.HealthCheck.Retries = aws.Int32(int32(h.Retries))
		}
	}
	for _, u := range from.Ulimits {
		to.Ulimits = append(to.Ulimits, types.Ulimit{Name: types.UlimitName(u.Name), SoftLimit: int32(u.Soft), HardLimit: int32(u.Hard)})
	}
	if from.ReadOnlyRoot {
		to.ReadonlyRootFilesystem = aws.Bool(true)
	}
	linux := types.LinuxParameters{InitProcessEnabled: from.Init}
	for _, t := range from.Tmpfs {
		linux.Tmpfs = append(linux.Tmpfs, types.Tmpfs{ContainerPath: aws.String(t.Path), Size: int32(t.Size), MountOptions: t.Options})
	}
	if len(from.AddCapabilities)+len(from.DropCapabilities) > 0 {
		linux.Capabilities = &types.KernelCapabilities{Add: from.AddCapabilities, Drop: from.DropCapabilities}
	}
	if linux.InitProcessEnabled != nil || linux.Tmpfs != nil || linux.Capabilities != nil {
		to.LinuxParameters = &linux
	}
}

// wholeSeconds is nil for the default.
func wholeSeconds(d time.Duration) *int32 {
	if d <= 0 {
		return nil
	}
	return aws.Int32(int32(d / time.Second))
}

// mountsOf gives a volume for each mount. The same shared volume at two paths is
// one volume.
func mountsOf(mounts []plimsoll.Mount) (volumes []types.Volume, points []types.MountPoint) {
	shared := map[string]bool{}
	for i, m := range mounts {
		name := fmt.Sprintf("volume-%d", i)
		v := types.Volume{}
		switch {
		case m.HostPath != "":
			v.Host = &types.HostVolumeProperties{SourcePath: aws.String(m.HostPath)}
		case m.Volume != "":
			name = m.Volume
			v.DockerVolumeConfiguration = &types.DockerVolumeConfiguration{
				Scope: types.ScopeShared, Autoprovision: aws.Bool(!m.External), Driver: optional(m.Driver), DriverOpts: m.Options,
			}
		}
		points = append(points, types.MountPoint{SourceVolume: aws.String(name), ContainerPath: aws.String(m.Path), ReadOnly: aws.Bool(m.ReadOnly)})
		if m.Volume != "" && shared[name] {
			continue
		}
		shared[name] = true
		v.Name = aws.String(name)
		volumes = append(volumes, v)
	}
	return volumes, points
}
