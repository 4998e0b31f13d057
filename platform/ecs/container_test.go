package ecs_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plimsoll"
	"plimsoll/platform/ecs"
)

func TestTheSettingOfTheContainerIsRegistered(t *testing.T) {
	yes := true
	spec := webSpec()
	c := &spec.Container
	c.HealthCheck = &plimsoll.HealthCheck{Command: []string{"CMD", "ok"}, Interval: 10 * time.Second, Retries: 2}
	c.Ulimits = []plimsoll.Ulimit{{Name: "nofile", Soft: 1, Hard: 2}}
	c.Tmpfs = []plimsoll.Tmpfs{{Path: "/tmp", Size: 64, Options: []string{"noexec"}}}
	c.AddCapabilities, c.DropCapabilities, c.Init, c.ReadOnlyRoot = []string{"NET_RAW"}, []string{"ALL"}, &yes, true
	c.Mounts = []plimsoll.Mount{
		{Volume: "shop_data", Path: "/data"}, {Volume: "shop_data", Path: "/again", ReadOnly: true}, {HostPath: "/srv", Path: "/srv"}, {Path: "/scratch"},
		{Volume: "kept", Path: "/kept", External: true, Driver: "local", Options: map[string]string{"type": "nfs"}},
	}
	w := registry(&wire{})
	if err := w.open(t, ecs.Options{Project: "shop"}).Deploy(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	registered := w.inputs("RegisterTaskDefinition")[0]
	container := registered["containerDefinitions"].([]any)[0].(body)
	got := map[string]any{"volumes": registered["volumes"]}
	for _, key := range []string{"healthCheck", "ulimits", "linuxParameters", "mountPoints", "readonlyRootFilesystem"} {
		got[key] = container[key]
	}
	want := `{
		"healthCheck": {"command": ["CMD", "ok"], "interval": 10, "retries": 2},
		"ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
		"linuxParameters": {"initProcessEnabled": true, "capabilities": {"add": ["NET_RAW"], "drop": ["ALL"]},
			"tmpfs": [{"containerPath": "/tmp", "size": 64, "mountOptions": ["noexec"]}]},
		"readonlyRootFilesystem": true,
		"mountPoints": [
			{"sourceVolume": "shop_data", "containerPath": "/data", "readOnly": false},
			{"sourceVolume": "shop_data", "containerPath": "/again", "readOnly": true},
			{"sourceVolume": "volume-2", "containerPath": "/srv", "readOnly": false},
			{"sourceVolume": "volume-3", "containerPath": "/scratch", "readOnly": false},
			{"sourceVolume": "kept", "containerPath": "/kept", "readOnly": false}],
		"volumes": [
			{"name": "shop_data", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": true}},
			{"name": "volume-2", "host": {"sourcePath": "/srv"}},
			{"name": "volume-3"},
			{"name": "kept", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": false, "driver": "local", "driverOpts": {"type": "nfs"}}}]
	}`
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, a); diff != "" {
		t.Error(diff)
	}
}
