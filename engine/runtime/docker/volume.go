package docker

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
)

// volumeName is what Docker knows a volume of the task by.
func volumeName(spec runtime.Spec, v runtime.Volume) string {
	if v.Shared {
		return v.Name
	}
	return "plimsoll-" + spec.TaskID + "-" + v.Name
}

// makeVolumes makes the task's volumes that Docker is to keep.
func (t *task) makeVolumes() error {
	for _, v := range t.spec.Volumes {
		// The definition may have been registered when more was allowed.
		if err := t.r.o.Allow.CheckVolume(v); err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
		if v.HostPath != "" {
			continue
		}
		name := volumeName(t.spec, v)
		if v.Shared {
			_, err := t.r.docker.VolumeInspect(t.r.ctx, name, client.VolumeInspectOptions{})
			if err == nil {
				continue
			}
			if !errdefs.IsNotFound(err) || !v.Provision {
				return fmt.Errorf("shared volume %q: %w (autoprovision makes one that is not there)", v.Name, err)
			}
		}
		labels := map[string]string{}
		for k, value := range v.Labels {
			labels[k] = value
		}
		if !v.Shared {
			labels[labelOwner], labels[labelTask] = t.r.o.Owner, t.spec.TaskID
		}
		if _, err := t.r.docker.VolumeCreate(t.r.ctx, client.VolumeCreateOptions{
			Name: name, Driver: v.Driver, DriverOpts: v.Options, Labels: labels,
		}); err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
	}
	return nil
}

// removeVolumes removes those that were made for the task. The task is not known
// to have any where an earlier engine ran it, so Docker is asked.
func (t *task) removeVolumes() {
	list, err := t.r.docker.VolumeList(t.r.ctx, client.VolumeListOptions{Filters: t.r.filter(t.spec.TaskID)})
	if err != nil {
		t.r.o.Log.Warn("the volumes of an ended task cannot be listed", "task", t.spec.TaskID, "error", err)
		return
	}
	for _, v := range list.Items {
		if _, err := t.r.docker.VolumeRemove(t.r.ctx, v.Name, client.VolumeRemoveOptions{}); err != nil && !gone(err) {
			t.r.o.Log.Warn("a volume of an ended task cannot be removed", "task", t.spec.TaskID, "volume", v.Name, "error", err)
		}
	}
}

// mounts are the volumes of a container, as Docker has them.
func mounts(spec runtime.Spec, c runtime.Container) ([]mount.Mount, error) {
	var all []mount.Mount
	for _, m := range c.Setting.Mounts {
		v, err := findVolume(spec, m.Volume)
		if err != nil {
			return nil, err
		}
		made := mount.Mount{Type: mount.TypeVolume, Source: volumeName(spec, v), Target: m.Path, ReadOnly: m.ReadOnly}
		if v.HostPath != "" {
			made.Type, made.Source = mount.TypeBind, v.HostPath
			// As ECS has it: a path that is not there is made, as a folder.
			if _, err := os.Stat(v.HostPath); errors.Is(err, os.ErrNotExist) {
				made.BindOptions = &mount.BindOptions{CreateMountpoint: true}
			}
		}
		all = append(all, made)
	}
	return all, nil
}

func findVolume(spec runtime.Spec, name string) (runtime.Volume, error) {
	for _, v := range spec.Volumes {
		if v.Name == name {
			return v, nil
		}
	}
	return runtime.Volume{}, fmt.Errorf("volume %q is not one of the task's", name)
}
