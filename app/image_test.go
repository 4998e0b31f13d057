package app

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"plimsoll/engine/runtime/docker"
)

func TestWhereImagesComeFromIsReadStrictly(t *testing.T) {
	got, err := ImageOptions{
		Pull: "once", Mirrors: []string{"127.0.0.1:5000", "ghcr.io=mirror.example/ghcr"}, MinAge: 2 * time.Hour, Keep: 3, KeepSize: "10GB",
	}.options()
	want := docker.ImageOptions{
		Pull: docker.PullOnce, Mirrors: map[string]string{"docker.io": "127.0.0.1:5000", "ghcr.io": "mirror.example/ghcr"},
		Clean: docker.Cleaning{MinAge: 2 * time.Hour, MaxImages: 3, MaxBytes: 10_000_000_000},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for words, o := range map[string]ImageOptions{
		"default, always, once":  {Pull: "never"},
		"--image-mirror \"a b\"": {Mirrors: []string{"a b"}},
		"--image-mirror \"\"":    {Mirrors: []string{""}},
		"x=":                     {Mirrors: []string{"x="}},
		"word":                   {Mirrors: []string{"word"}},
		"10GB":                   {KeepSize: "much"},
		"--prefetch":             {Prefetch: []string{"UPPER"}},
		"below 0":                {Keep: -1},
	} {
		if _, err := o.options(); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
