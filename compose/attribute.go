package compose

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// verdict is what becomes of an attribute of the Compose Specification.
type verdict string

const (
	honoured verdict = "honoured"
	noted    verdict = "noted"   // has no effect, and none on what runs
	refused  verdict = "refused" // would change what runs, and cannot be done
)

// attribute is what is done with one attribute of the specification. All that
// are not listed are refused, those that the specification gains included.
type attribute struct {
	path    string // services.*.build
	verdict verdict
	// note says what to do instead, or why it has no effect.
	note string
	// harmless are the values of a refused attribute that change nothing.
	harmless []string
}

// attributes lists the top level, then what services have.
func attributes() []attribute {
	return append([]attribute{
		{path: "name", verdict: honoured},
		{path: "services", verdict: honoured},
		{path: "version", verdict: noted, note: "it is obsolete and ignored; remove it"},
		{path: "networks", verdict: refused, note: "all services share the network of their hosts; remove it", harmless: []string{"default"}},
		{path: "volumes", verdict: honoured},
		{path: "secrets", verdict: refused, note: "use environment or env_file, or let the program read its secret itself"},
		{path: "configs", verdict: refused, note: "use environment or env_file"},
		{path: "include", verdict: refused, note: "put all services into one file"},
	}, serviceAttributes()...)
}

func serviceAttributes() []attribute {
	const s = "services.*."
	return []attribute{
		{path: s + "image", verdict: honoured},
		{path: s + "command", verdict: honoured},
		{path: s + "entrypoint", verdict: honoured},
		{path: s + "working_dir", verdict: honoured},
		{path: s + "user", verdict: honoured},
		{path: s + "environment", verdict: honoured},
		{path: s + "env_file", verdict: honoured},
		{path: s + "ports", verdict: honoured},
		{path: s + "profiles", verdict: honoured},
		{path: s + "scale", verdict: honoured},
		{path: s + "stop_grace_period", verdict: honoured},
		{path: s + "mem_reservation", verdict: honoured},
		{path: s + "deploy", verdict: honoured},
		{path: s + "deploy.replicas", verdict: honoured},
		{path: s + "deploy.resources", verdict: honoured},
		{path: s + "deploy.resources.reservations", verdict: honoured},
		{path: s + "deploy.resources.reservations.cpus", verdict: honoured},
		{path: s + "deploy.resources.reservations.memory", verdict: honoured},
		{path: s + "deploy.resources.limits", verdict: refused, note: "a task is held to what it reserves; set deploy.resources.reservations"},
		{path: s + "deploy.mode", verdict: refused, note: "services are replicated", harmless: []string{"replicated"}},
		{path: s + "deploy.labels", verdict: noted, note: "labels have no effect"},
		{path: s + "deploy.update_config", verdict: noted, note: "deployments roll as ECS's do"},
		{path: s + "deploy.rollback_config", verdict: noted, note: "deployments roll as ECS's do"},
		{path: s + "deploy.placement", verdict: refused, note: "tasks are spread over the zones, then packed; remove it"},
		{path: s + "deploy.restart_policy", verdict: refused, note: "a task that ends is always replaced, with back-off; remove it"},
		{path: s + "healthcheck", verdict: honoured},
		{path: s + "healthcheck.test", verdict: honoured},
		{path: s + "healthcheck.disable", verdict: honoured},
		{path: s + "healthcheck.interval", verdict: honoured},
		{path: s + "healthcheck.timeout", verdict: honoured},
		{path: s + "healthcheck.retries", verdict: honoured},
		{path: s + "healthcheck.start_period", verdict: honoured},
		{path: s + "healthcheck.start_interval", verdict: noted, note: "until a task is healthy for the first time it is looked at every second"},
		{path: s + "depends_on", verdict: noted, note: "each service is a task of its own, and none waits for another's: a service that needs another tries again until it is there"},
		{path: s + "restart", verdict: refused, note: "a task that ends is always replaced, with back-off; remove it", harmless: []string{"always", "unless-stopped"}},
		{path: s + "networks", verdict: refused, note: "all services share the network of their hosts; remove it", harmless: []string{"default"}},
		{path: s + "network_mode", verdict: refused, note: "all services share the network of their hosts; remove it", harmless: []string{"bridge"}},
		{path: s + "stop_signal", verdict: refused, note: "tasks are stopped by SIGTERM; remove it", harmless: []string{"SIGTERM", "TERM", "15"}},
		{path: s + "container_name", verdict: noted, note: "tasks are named by their ids"},
		{path: s + "hostname", verdict: noted, note: "tasks have the name of their host"},
		{path: s + "expose", verdict: noted, note: "only ports are given to tasks"},
		{path: s + "labels", verdict: noted, note: "labels have no effect"},
		{path: s + "annotations", verdict: noted, note: "annotations have no effect"},
		{path: s + "logging", verdict: noted, note: "logs are kept by the engine: plimsoll logs"},
		{path: s + "attach", verdict: noted, note: "logs are kept by the engine: plimsoll logs"},
		{path: s + "develop", verdict: noted, note: "files are not watched"},
		{path: s + "init", verdict: honoured},
		{path: s + "pull_policy", verdict: noted, note: "the runtime's own policy holds"},
		{path: s + "build", verdict: refused, note: "build the image first and name it by image, or run the program by command"},
		{path: s + "extends", verdict: refused, note: "share keys by an anchor and a merge key (<<: *base)"},
		{path: s + "volumes", verdict: honoured},
		{path: s + "tmpfs", verdict: honoured},
		{path: s + "ulimits", verdict: honoured},
		{path: s + "cap_add", verdict: honoured},
		{path: s + "cap_drop", verdict: honoured},
		{path: s + "read_only", verdict: honoured},
		{path: s + "secrets", verdict: refused, note: "use environment or env_file, or let the program read its secret itself"},
		{path: s + "configs", verdict: refused, note: "use environment or env_file"},
		{path: s + "cpus", verdict: refused, note: "a task is held to what it reserves; set deploy.resources.reservations.cpus"},
		{path: s + "mem_limit", verdict: refused, note: "a task is held to what it reserves; set deploy.resources.reservations.memory"},
		{path: s + "links", verdict: refused, note: "reach a service by its route"},
		{path: s + "privileged", verdict: refused, note: "tasks run without privileges; remove it"},
	}
}

// screen reports the attributes that cannot be honoured, and notes those that
// have no effect.
func (r *report) screen(root *node) {
	listed := map[string]attribute{}
	for _, a := range attributes() {
		listed[a.path] = a
	}
	r.screenMapping(root, "", listed)
	if services := root.get("services"); services != nil {
		for _, service := range services.entries {
			r.screenMapping(service.value, "services.*", listed)
		}
	}
}

func (r *report) screenMapping(n *node, pattern string, listed map[string]attribute) {
	for _, e := range n.entries {
		path := join(pattern, e.key)
		if strings.HasPrefix(e.key, "x-") {
			r.screenExtension(e)
			continue
		}
		known := attributesUnder(pattern)
		if !slices.Contains(known, e.key) {
			continue // the schema says so already
		}
		a, ok := listed[path]
		switch {
		case !ok:
			r.atKey(e, "%q is not supported; remove it", e.key)
		case a.verdict == honoured && path != "services" && path != "volumes":
			r.screenMapping(e.value, path, listed)
		case a.verdict == noted:
			r.warn(e.line, e.column, e.value.path, "%q has no effect: %s", e.key, a.note)
		case a.verdict == refused && !e.value.only(a.harmless):
			what := e.key
			if len(a.harmless) > 0 && e.value.kind == yaml.ScalarNode {
				what += ": " + e.value.text
			}
			r.atKey(e, "%q is not supported: %s", what, a.note)
		}
	}
}

// screenExtension passes what is somebody else's (x-…), and reports what looks
// like a slip of ours.
func (r *report) screenExtension(e entry) {
	const ours = "x-plimsoll"
	if e.key != ours && nearest(e.key, []string{ours}) != "" {
		r.atKey(e, "unknown key %q; did you mean %q?", e.key, ours)
	}
}

// only tells whether a value says nothing but the harmless words.
func (n *node) only(harmless []string) bool {
	switch n.kind {
	case yaml.ScalarNode:
		return n.text == "false" || n.isNull() || slices.Contains(harmless, n.text)
	case yaml.SequenceNode:
		for _, item := range n.items {
			if !slices.Contains(harmless, item.text) {
				return false
			}
		}
	default:
		for _, e := range n.entries {
			if !slices.Contains(harmless, e.key) || !e.value.isNull() && len(e.value.entries) > 0 {
				return false
			}
		}
	}
	return true
}

// honouredUnder are the keys of a mapping that are honoured; all that the
// specification has where none is listed.
func honouredUnder(pattern string) []string {
	var keys []string
	for _, a := range attributes() {
		parent, key := "", a.path
		if i := strings.LastIndexByte(key, '.'); i >= 0 {
			parent, key = key[:i], key[i+1:]
		}
		if parent == pattern && a.verdict == honoured {
			keys = append(keys, key)
		}
	}
	if keys == nil {
		return attributesUnder(pattern)
	}
	if pattern == "" || pattern == "services.*" {
		keys = append(keys, "x-plimsoll")
	}
	return keys
}
