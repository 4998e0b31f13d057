package process

import (
	"errors"
	"fmt"
	"os"
	osuser "os/user"
	"strconv"
	"strings"
)

// user is whom a container runs as.
type user struct {
	uid, gid uint32
	home     string
}

// userFor gives the user of a container that names one, or does not.
func (r *Runtime) userFor(name string) (user, error) {
	if !r.root {
		self := user{uid: uint32(os.Getuid()), gid: uint32(os.Getgid()), home: "/"}
		if home, err := os.UserHomeDir(); err == nil {
			self.home = home
		}
		if name == "" {
			return self, nil
		}
		u, err := lookupUser(name)
		if err == nil && u.uid != self.uid {
			err = fmt.Errorf("user %q: only root may run a task as another user; run the engine as root or leave the user out", name)
		}
		return u, err
	}
	if name == "" {
		return r.user, nil
	}
	return lookupUser(name)
}

// lookupUser reads "name", "uid", "name:group" or "uid:gid".
func lookupUser(name string) (user, error) {
	who, group, hasGroup := strings.Cut(name, ":")
	u := user{home: "/"}
	entry, err := osuser.Lookup(who)
	if err != nil {
		entry, err = osuser.LookupId(who)
	}
	id, bad := strconv.ParseUint(who, 10, 32)
	switch {
	case err == nil:
		uid, _ := strconv.ParseUint(entry.Uid, 10, 32)
		gid, _ := strconv.ParseUint(entry.Gid, 10, 32)
		u = user{uid: uint32(uid), gid: uint32(gid), home: entry.HomeDir}
	case bad == nil:
		u.uid, u.gid = uint32(id), uint32(id) // a number needs no entry
	case who == DefaultUser:
		u.uid, u.gid = 65534, 65534
	default:
		return u, fmt.Errorf("user %q is not known on this machine; a known name, \"uid\" or \"uid:gid\" is allowed", who)
	}
	if !hasGroup {
		return u, nil
	}
	if id, err := strconv.ParseUint(group, 10, 32); err == nil {
		u.gid = uint32(id)
		return u, nil
	}
	g, err := osuser.LookupGroup(group)
	if err != nil {
		return u, fmt.Errorf("group %q of user %q is not known on this machine; a known name or a number is allowed", group, name)
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		return u, errors.New("group " + group + ": " + err.Error())
	}
	u.gid = uint32(gid)
	return u, nil
}
