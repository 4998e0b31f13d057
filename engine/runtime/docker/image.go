package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
)

// PullBehavior says when an image is pulled, in the words of the ECS agent's
// ECS_IMAGE_PULL_BEHAVIOR.
type PullBehavior string

// The pull behaviours. But for PullAlways, an image that cannot be pulled is taken
// from what is there.
const (
	// PullPreferCached pulls what is not there.
	PullPreferCached PullBehavior = "prefer-cached"
	// PullDefault pulls before every start.
	PullDefault PullBehavior = "default"
	// PullAlways does too, and fails if that fails.
	PullAlways PullBehavior = "always"
	// PullOnce pulls what this engine has not pulled yet, or has removed since.
	PullOnce PullBehavior = "once"
)

// PullBehaviors are all of them.
var PullBehaviors = []PullBehavior{PullPreferCached, PullDefault, PullAlways, PullOnce}

// ImageOptions say where images come from and when they go. The zero value pulls
// what is not there and cleans up as the ECS agent does.
type ImageOptions struct {
	Pull PullBehavior // empty: PullPreferCached
	// Mirrors are asked before the registry itself, by its name ("docker.io"):
	// host[:port], perhaps with a path.
	Mirrors map[string]string
	// Config is the folder of Docker's config.json with the credentials of the
	// registries, which is read anew for each pull; empty: $DOCKER_CONFIG, or
	// ~/.docker.
	Config string
	// Record is the file that remembers which images this engine has pulled, as
	// it removes no others. Empty: it remembers as long as it runs.
	Record string
	Clean  Cleaning
}

// images are those that this engine has pulled.
type images struct {
	o      ImageOptions
	r      *Runtime
	record *record

	mu    sync.Mutex
	pulls map[string]*pull
	held  map[string]int           // by reference: starts that are about to use it
	going map[string]chan struct{} // by reference: those being removed
	kept  map[string]bool          // by reference: fetched ahead of need
	had   map[string]bool          // by reference: pulled since this engine runs
}

// pull is one that is under way, for all who wait for it.
type pull struct {
	done chan struct{}
	err  error
}

func newImages(r *Runtime) *images {
	return &images{
		o: r.o.Images, r: r, record: openRecord(r.o.Images.Record, r.o.Log),
		pulls: map[string]*pull{}, held: map[string]int{}, going: map[string]chan struct{}{}, kept: map[string]bool{}, had: map[string]bool{},
	}
}

// hold keeps images from being removed until the release is called.
func (m *images) hold(refs []string) (release func()) {
	for _, ref := range refs {
		m.mu.Lock()
		for m.going[ref] != nil {
			gone := m.going[ref]
			m.mu.Unlock()
			<-gone
			m.mu.Lock()
		}
		m.held[ref]++
		m.mu.Unlock()
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, ref := range refs {
			if m.held[ref]--; m.held[ref] == 0 {
				delete(m.held, ref)
			}
		}
		m.record.used(refs, m.r.o.Now())
	}
}

// find gives what Docker knows the image by here; empty if it is not here.
func (m *images) find(ctx context.Context, ref string) (string, error) {
	names := []string{ref}
	if named, err := reference.ParseNormalizedNamed(ref); err == nil {
		if mirrored := m.mirrored(named); mirrored != nil && isDigested(named) {
			names = append(names, mirrored.String())
		}
	}
	for _, name := range names {
		_, err := m.r.docker.ImageInspect(ctx, name)
		if err == nil {
			return name, nil
		}
		if !errdefs.IsNotFound(err) {
			return "", err
		}
	}
	return "", nil
}

// wanted tells whether the image is to be pulled before a start.
func (m *images) wanted(ref string, here bool) bool {
	switch m.o.Pull {
	case PullDefault, PullAlways:
		return true
	case PullOnce:
		m.mu.Lock()
		defer m.mu.Unlock()
		return !here || !m.had[ref] && !m.record.has(ref)
	}
	return !here
}

// pull pulls an image, or waits for who does so already; not beyond until.
func (m *images) pull(ref string, until <-chan struct{}) error {
	m.mu.Lock()
	p := m.pulls[ref]
	if p == nil {
		p = &pull{done: make(chan struct{})}
		m.pulls[ref] = p
		m.r.spawn(func() {
			p.err = m.fetch(m.r.ctx, ref)
			m.mu.Lock()
			delete(m.pulls, ref)
			m.mu.Unlock()
			close(p.done)
		})
	}
	m.mu.Unlock()
	select {
	case <-p.done:
		return p.err
	case <-until:
		return errUnwanted
	case <-m.r.ctx.Done():
		return m.r.ctx.Err()
	}
}

var errUnwanted = errors.New("the task was stopped before the image was there")

// fetch gets an image, from the mirror first if there is one.
func (m *images) fetch(ctx context.Context, ref string) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fmt.Errorf("image %q: %w", ref, err)
	}
	before := m.idOf(ctx, ref)
	name, err := ref, errors.ErrUnsupported
	if mirrored := m.mirrored(named); mirrored != nil {
		if err = m.fetchMirrored(ctx, mirrored, named); err != nil {
			m.r.o.Log.Warn("the mirror does not give an image; its own registry is asked", "image", ref, "mirror", mirrored, "error", err)
		} else if isDigested(named) {
			name = mirrored.String()
		}
	}
	if err != nil {
		if err := m.fetchFrom(ctx, named); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.had[ref] = true
	m.mu.Unlock()
	if now := m.idOf(ctx, name); now != "" {
		m.record.pulled(ref, name, before, now, m.r.o.Now())
	}
	return nil
}

func (m *images) fetchMirrored(ctx context.Context, mirrored, named reference.Named) error {
	was := m.idOf(ctx, mirrored.String())
	if err := m.fetchFrom(ctx, mirrored); err != nil || isDigested(named) {
		return err
	}
	_, err := m.r.docker.ImageTag(ctx, client.ImageTagOptions{Source: mirrored.String(), Target: reference.TagNameOnly(named).String()})
	if err == nil && was == "" {
		_, err = m.r.docker.ImageRemove(ctx, mirrored.String(), client.ImageRemoveOptions{}) // the name, not the image
	}
	return err
}

func (m *images) fetchFrom(ctx context.Context, named reference.Named) error {
	m.r.o.Log.Info("an image is being pulled", "image", named)
	auth, err := m.credentials(reference.Domain(named))
	if err != nil {
		return fmt.Errorf("image %q: %w", named, err)
	}
	progress, err := m.r.docker.ImagePull(ctx, named.String(), client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer progress.Close()
	return progress.Wait(ctx)
}

// mirrored is the image's name at the mirror of its registry; nil without one.
func (m *images) mirrored(named reference.Named) reference.Named {
	mirror := m.o.Mirrors[reference.Domain(named)]
	if mirror == "" {
		return nil
	}
	full := reference.TagNameOnly(named).String()
	there, err := reference.ParseNormalizedNamed(mirror + strings.TrimPrefix(full, reference.Domain(named)))
	if err != nil {
		m.r.o.Log.Warn("an image has no name at the mirror", "image", full, "mirror", mirror, "error", err)
		return nil
	}
	return there
}

func isDigested(named reference.Named) bool {
	_, is := named.(reference.Digested)
	return is
}

// idOf is the image's id; empty if it is not there.
func (m *images) idOf(ctx context.Context, name string) string {
	got, err := m.r.docker.ImageInspect(ctx, name)
	if err != nil {
		return ""
	}
	return got.ID
}

// dockerHub is what Docker's config.json calls docker.io.
const dockerHub = "https://index.docker.io/v1/"

// credentials are those of a registry in Docker's config.json or its helpers, which
// is where `docker login` and ECR's helper keep them; empty without.
func (m *images) credentials(domain string) (string, error) {
	file, err := m.configFile()
	if err != nil {
		return "", err
	}
	if domain == "docker.io" {
		domain = dockerHub
	}
	found, err := file.GetAuthConfig(domain)
	if err != nil {
		return "", fmt.Errorf("credentials of %s in %s: %w", domain, file.Filename, err)
	}
	if found.Username == "" && found.Password == "" && found.IdentityToken == "" && found.RegistryToken == "" && found.Auth == "" {
		return "", nil
	}
	return authconfig.Encode(registry.AuthConfig{
		Username: found.Username, Password: found.Password, Auth: found.Auth, ServerAddress: found.ServerAddress,
		IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
	})
}

func (m *images) configFile() (*configfile.ConfigFile, error) {
	dir := m.o.Config
	if dir == "" {
		dir = config.Dir()
	}
	return config.Load(dir)
}

// prefetch pulls an image that is not there, and keeps it.
func (m *images) prefetch(ref string) {
	m.mu.Lock()
	m.kept[ref] = true
	m.mu.Unlock()
	release := m.hold([]string{ref})
	defer release()
	names, _, err := m.look([]string{ref})
	if names != nil {
		return
	}
	if err == nil {
		err = m.pull(ref, nil)
	}
	if err != nil && m.r.ctx.Err() == nil {
		m.r.o.Log.Warn("an image cannot be fetched ahead of need", "image", ref, "error", err)
	}
}

// reserve marks a reference as being removed; nil if a start is about to use it.
func (m *images) reserve(ref string) (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[ref] > 0 || m.pulls[ref] != nil || m.going[ref] != nil {
		return nil
	}
	gone := make(chan struct{})
	m.going[ref] = gone
	return func() {
		m.mu.Lock()
		delete(m.going, ref)
		m.mu.Unlock()
		close(gone)
	}
}

// prefetched are the references that are kept.
func (m *images) prefetched() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.kept)
}

// need pulls what a task's images are in need of. It gives what each is known by,
// or the index of the one that cannot be had.
func (m *images) need(refs []string, until <-chan struct{}) (names []string, at int, err error) {
	for i, ref := range refs {
		name, err := m.find(m.r.ctx, ref)
		if err != nil {
			return nil, i, err
		}
		if m.wanted(ref, name != "") {
			err := m.pull(ref, until)
			switch {
			case err != nil && (name == "" || m.o.Pull == PullAlways || errors.Is(err, errUnwanted) || m.r.ctx.Err() != nil):
				return nil, i, err
			case err != nil:
				m.r.o.Log.Warn("an image cannot be pulled; the one that is here is used", "image", ref, "error", err)
			default:
				if name, err = m.find(m.r.ctx, ref); err == nil && name == "" {
					err = fmt.Errorf("image %q was pulled and is not there", ref)
				}
				if err != nil {
					return nil, i, err
				}
			}
		}
		names = append(names, name)
	}
	return names, 0, nil
}

// look gives what the images are known by if nothing has to be pulled for them;
// at is the index of the one that an error is about.
func (m *images) look(refs []string) (names []string, at int, err error) {
	for i, ref := range refs {
		name, err := m.find(m.r.ctx, ref)
		if err != nil {
			return nil, i, err
		}
		if m.wanted(ref, name != "") {
			return nil, i, nil
		}
		names = append(names, name)
	}
	return names, 0, nil
}
