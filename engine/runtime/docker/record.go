package docker

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// record remembers which images this engine has pulled: it removes no others.
type record struct {
	path string
	log  *slog.Logger

	mu  sync.Mutex
	all map[string]pulledImage // by reference; by id where another has its name now
}

// pulledImage is an image that this engine has pulled.
type pulledImage struct {
	ID string
	// Name is what Docker knows it by, where that is not the reference.
	Name string `json:",omitzero"`
	// Used is when a container was last seen to use it, or when it was pulled.
	Used time.Time
}

func openRecord(path string, log *slog.Logger) *record {
	r := &record{path: path, log: log, all: map[string]pulledImage{}}
	if path == "" {
		return r
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r
	}
	if err == nil {
		err = json.Unmarshal(text, &r.all)
	}
	if err != nil || r.all == nil {
		// What is forgotten here is kept for ever, which harms less than the loss
		// of an image that is somebody else's.
		log.Warn("the record of the pulled images cannot be read; those in it will not be removed", "error", err)
		r.all = map[string]pulledImage{}
	}
	return r
}

func (r *record) has(ref string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, has := r.all[ref]
	return has
}

// pulled notes a pull: ref, known to Docker by name, had the id before (empty:
// none), and has the id now. An image that was there already is not noted.
func (r *record) pulled(ref, name, before, now string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, ours := r.all[ref]
	switch {
	case before == now && !ours:
		return
	case ours && old.ID != now:
		r.all[old.ID] = pulledImage{ID: old.ID, Used: old.Used}
	}
	made := pulledImage{ID: now, Used: at}
	if name != ref {
		made.Name = name
	}
	r.all[ref] = made
	r.save()
}

// used notes that the images are used at the time.
func (r *record) used(refs []string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ref := range refs {
		if image, ours := r.all[ref]; ours && at.After(image.Used) {
			image.Used = at
			r.all[ref] = image
		}
	}
}

func (r *record) forget(ref string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, ref)
	r.save()
}

func (r *record) images() map[string]pulledImage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.all)
}

// flush writes down the times of use.
func (r *record) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.save()
}

// save replaces the file whole. r.mu is held.
func (r *record) save() {
	if r.path == "" {
		return
	}
	text, err := json.MarshalIndent(r.all, "", "\t")
	if err == nil {
		err = writeFile(r.path, text)
	}
	if err != nil {
		r.log.Warn("the record of the pulled images cannot be written", "error", err)
	}
}

func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
