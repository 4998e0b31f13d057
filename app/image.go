package app

import (
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/go-units"

	"plimsoll/compose"
	"plimsoll/engine/runtime/docker"
)

// ImageOptions say where the images of tasks in Docker come from and when they go.
type ImageOptions struct {
	// Pull is one of PullBehaviors.
	Pull string
	// Mirrors are host[:port][/path] for docker.io, or REGISTRY=host[:port][/path].
	Mirrors []string
	// Prefetch are images to have ahead of need.
	Prefetch []string
	// MinAge is for how long an image has to be unused before it is removed; Keep
	// and KeepSize ("10GB") are how many unused ones are kept, and how large all
	// may be, where not every unused one is to go.
	MinAge   time.Duration
	Keep     int
	KeepSize string
}

// PullBehaviors are what ImageOptions.Pull may name; the first is the default.
var PullBehaviors = func() (names []string) {
	for _, b := range docker.PullBehaviors {
		names = append(names, string(b))
	}
	return names
}()

// dockerRegistry is the registry of images that name none.
const dockerRegistry = "docker.io"

func (o ImageOptions) options() (docker.ImageOptions, error) {
	made := docker.ImageOptions{Pull: docker.PullBehavior(o.Pull), Mirrors: map[string]string{}}
	made.Clean.MinAge, made.Clean.MaxImages = o.MinAge, o.Keep
	if o.Pull != "" && !slices.Contains(PullBehaviors, o.Pull) {
		return made, misusef("--image-pull %q: allowed are %s", o.Pull, strings.Join(PullBehaviors, ", "))
	}
	if o.MinAge < 0 || o.Keep < 0 {
		return made, misusef("--image-min-age %s, --image-keep %d: neither can be below 0", o.MinAge, o.Keep)
	}
	for _, text := range o.Mirrors {
		of, mirror, named := strings.Cut(text, "=")
		if !named {
			of, mirror = dockerRegistry, text
		}
		at, err := reference.ParseNormalizedNamed(mirror + "/x")
		if err != nil || of == "" || strings.Contains(of, "/") || !strings.HasPrefix(mirror+"/", reference.Domain(at)+"/") {
			return made, misusef("--image-mirror %q: a registry is needed, such as mirror.example:5000, or ghcr.io=mirror.example:5000/ghcr", text)
		}
		made.Mirrors[of] = mirror
	}
	if o.KeepSize != "" {
		size, err := units.FromHumanSize(o.KeepSize)
		if err != nil || size <= 0 {
			return made, misusef("--image-keep-size %q: a size is needed, such as 10GB", o.KeepSize)
		}
		made.Clean.MaxBytes = size
	}
	for _, image := range o.Prefetch {
		if _, err := reference.ParseNormalizedNamed(image); err != nil {
			return made, misusef("--prefetch %q: an image is needed, such as nginx:1.27: %v", image, err)
		}
	}
	return made, nil
}

// imagesOf are the images of the project's services, those at zero too.
func imagesOf(services []compose.Service) []string {
	var all []string
	for _, s := range services {
		if s.Image != "" && !slices.Contains(all, s.Image) {
			all = append(all, s.Image)
		}
	}
	return all
}
