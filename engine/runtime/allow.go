package runtime

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Allow lists what tasks may have of the machine that could harm others on it.
// The zero value is nothing of it.
type Allow struct {
	// HostPaths are files and folders of the machine, absolute and clean; what
	// is below a folder is allowed with it, but for sockets, each of which has to
	// be named itself.
	HostPaths []string
	// Capabilities are those, without CAP_, that tasks may add to the ones that
	// are harmless.
	Capabilities                              []string
	HostNetwork, HostPID, HostIPC, Privileged bool
}

// Path tells whether tasks may mount the path of the machine, which is absolute
// and clean.
func (a Allow) Path(path string) bool {
	for _, allowed := range a.HostPaths {
		if path == allowed || allowed == "/" || strings.HasPrefix(path, allowed+"/") {
			return true
		}
	}
	return false
}

// CheckHostPath refuses a path of the machine that tasks may not mount: one that
// is not allowed, that leads out of what is allowed by a symbolic link, or a
// socket that is not allowed by its own name.
func (a Allow) CheckHostPath(path string) error {
	for _, p := range []string{path, resolved(path)} {
		if !a.Path(p) {
			return fmt.Errorf("the path %q of the machine is not allowed: start the engine with --allow-host-path %s", p, p)
		}
		if info, err := os.Stat(p); err == nil && info.Mode()&fs.ModeSocket != 0 && !slices.Contains(a.HostPaths, p) {
			return fmt.Errorf("the socket %q is not allowed: start the engine with --allow-host-path %s", p, p)
		}
	}
	return nil
}

// resolved follows symbolic links as far as the path is there.
func resolved(path string) string {
	for rest := ""; ; {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(real, rest)
		}
		if path == "/" || path == "." {
			return filepath.Join(path, rest)
		}
		rest = filepath.Join(filepath.Base(path), rest)
		path = filepath.Dir(path)
	}
}

// CheckVolume refuses a volume that would give tasks a part of the machine that
// they may not have: Docker's local driver mounts whatever its options say.
func (a Allow) CheckVolume(v Volume) error {
	if v.HostPath != "" {
		return a.CheckHostPath(v.HostPath)
	}
	if v.Driver != "" && v.Driver != "local" {
		return nil
	}
	kind, device := v.Options["type"], v.Options["device"]
	if device == "" || kind == "tmpfs" || strings.HasPrefix(kind, "nfs") || kind == "cifs" {
		return nil
	}
	if !filepath.IsAbs(device) {
		return fmt.Errorf("the device %q of type %q is not allowed: tmpfs, nfs, cifs and allowed paths of the machine are", device, kind)
	}
	return a.CheckHostPath(filepath.Clean(device))
}
