package docker_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"plimsoll/engine/runtime/docker/dockertest"
)

// registry is a small image registry: what pulls need of the distribution API.
type registry struct {
	t        *testing.T
	server   *httptest.Server
	password string // of the user AWS; empty: everybody may pull

	mu    sync.Mutex
	blobs map[string][]byte // by digest
	tags  map[string]string // name:tag to the manifest's digest
	asked []string          // manifests
	gate  chan struct{}     // blobs wait for it; nil: they do not
	down  bool
}

func newRegistry(t *testing.T) *registry {
	needsDocker(t)
	r := &registry{t: t, blobs: map[string][]byte{}, tags: map[string]string{}}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

// host is its address, by which images are named.
func (r *registry) host() string { return strings.TrimPrefix(r.server.URL, "http://") }

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

func (r *registry) blob(data []byte) map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[digest(data)] = data
	return map[string]any{"digest": digest(data), "size": len(data)}
}

// push makes an image with a file /word and gives the digest of its manifest.
func (r *registry) push(name, word string) string {
	r.t.Helper()
	var layer, packed bytes.Buffer
	if err := dockertest.WriteLayer(&layer, map[string][]byte{"/word": []byte(word)}); err != nil {
		r.t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := z.Write(layer.Bytes()); err != nil {
		r.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		r.t.Fatal(err)
	}
	text := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			r.t.Fatal(err)
		}
		return data
	}
	config := r.blob(text(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Env": []string{"PATH=/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer.Bytes())}},
	}))
	config["mediaType"] = "application/vnd.docker.container.image.v1+json"
	content := r.blob(packed.Bytes())
	content["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	manifest := text(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []any{content},
	})
	r.blob(manifest)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tags[name] = digest(manifest)
	return digest(manifest)
}

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

// ServeHTTP implements http.Handler.
func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	down, gate := r.down, r.gate
	r.mu.Unlock()
	if user, password, _ := q.BasicAuth(); r.password != "" && (user != "AWS" || password != r.password) {
		w.Header().Set("Www-Authenticate", `Basic realm="registry"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no credentials"}]}`, http.StatusUnauthorized)
		return
	}
	path := strings.TrimPrefix(q.URL.Path, "/v2/")
	switch name, last, isBlob := strings.Cut(path, "/blobs/"); {
	case down:
		http.Error(w, "down", http.StatusServiceUnavailable)
	case path == "":
	case isBlob && name != "":
		if gate != nil {
			select {
			case <-gate:
			case <-q.Context().Done():
			}
		}
		r.answer(w, last, "application/octet-stream")
	default:
		r.manifest(w, path)
	}
}

func (r *registry) manifest(w http.ResponseWriter, path string) {
	name, tag, _ := strings.Cut(path, "/manifests/")
	r.mu.Lock()
	r.asked = append(r.asked, path)
	if !strings.HasPrefix(tag, "sha256:") {
		tag = r.tags[name+":"+tag]
	}
	r.mu.Unlock()
	r.answer(w, tag, manifestType)
}

func (r *registry) answer(w http.ResponseWriter, digest, kind string) {
	r.mu.Lock()
	data, ok := r.blobs[digest]
	r.mu.Unlock()
	if !ok {
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	if _, err := w.Write(data); err != nil {
		return // the one who asked has gone
	}
}

// pulls is how often the manifest was asked for since the last time.
func (r *registry) pulls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.asked)
	r.asked = nil
	return n
}

func (r *registry) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}
