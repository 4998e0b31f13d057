package app

import (
	"path/filepath"
	"strings"

	"plimsoll/engine/runtime"
)

// AllowOptions name what tasks may have of the machine, beside what harms nobody.
// They matter where containers are isolated, which plain processes are not.
type AllowOptions struct {
	// Rights are of AllowedRights.
	Rights []string
	// HostPaths are absolute paths; Capabilities are Linux's, without CAP_.
	HostPaths, Capabilities []string
}

// AllowedRights are what AllowOptions.Rights may name.
var AllowedRights = []string{"host-network", "host-pid", "host-ipc", "privileged"}

func (o AllowOptions) allow() (runtime.Allow, error) {
	var a runtime.Allow
	for _, right := range o.Rights {
		to, known := map[string]*bool{
			"host-network": &a.HostNetwork, "host-pid": &a.HostPID, "host-ipc": &a.HostIPC, "privileged": &a.Privileged,
		}[right]
		if !known {
			return a, misusef("--allow %q: allowed are %s", right, strings.Join(AllowedRights, ", "))
		}
		*to = true
	}
	for _, path := range o.HostPaths {
		if !filepath.IsAbs(path) {
			return a, misusef("--allow-host-path %q: an absolute path is needed", path)
		}
		// Both names of a path that is reached by a symbolic link are allowed.
		a.HostPaths = append(a.HostPaths, filepath.Clean(path))
		if real, err := filepath.EvalSymlinks(path); err == nil && real != filepath.Clean(path) {
			a.HostPaths = append(a.HostPaths, real)
		}
	}
	for _, name := range o.Capabilities {
		name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c != '_' && (c < 'A' || c > 'Z') }) {
			return a, misusef("--allow-capability %q: a capability such as SYS_PTRACE, or ALL, is needed", name)
		}
		a.Capabilities = append(a.Capabilities, name)
	}
	return a, nil
}
