package engine

import (
	"time"

	"plimsoll"
)

// The bounds of a protection.
const (
	protectDefault = 120 * time.Minute
	protectMin     = time.Minute
	protectMax     = 2880 * time.Minute
)

func (m *Machine) updateTaskProtection(c UpdateTaskProtection) (*ProtectionResult, *Error) {
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	if len(c.Tasks) == 0 {
		return nil, refuse(codeInvalid, "Tasks can not be empty.")
	}
	if len(c.Tasks) > 10 {
		return nil, refuse(codeInvalid, "At most 10 tasks can be protected in one call, not %d.", len(c.Tasks))
	}
	expires := c.Expires
	if expires == 0 {
		expires = protectDefault
	}
	if c.Enabled && (expires < protectMin || expires > protectMax) {
		return nil, refuse(codeInvalid, "expiresInMinutes %g is invalid: 1 to 2880 is allowed.", expires.Minutes())
	}
	var until time.Time
	if c.Enabled {
		until = m.now.Add(expires)
	}
	result := &ProtectionResult{}
	for _, ref := range c.Tasks {
		t, failure := m.protectable(home, ref, c.Enabled)
		if failure != nil {
			result.Failures = append(result.Failures, *failure)
			continue
		}
		m.protect(t, until)
		result.Tasks = append(result.Tasks, t.Task)
	}
	return result, nil
}

// protectable finds a task whose protection may be changed, or says why not. A
// task that is protected already may always stay so; a further one may not be
// if more than the desired count would be protected then.
func (m *Machine) protectable(home *cluster, ref string, enabled bool) (*task, *Failure) {
	t := m.findTask(home, ref)
	if t == nil {
		return nil, &Failure{ARN: m.arn("task", home.Name+"/"+named(ref)), Reason: reasonMissing}
	}
	switch {
	case t.Service == "":
		return nil, &Failure{ARN: t.ARN, Reason: reasonNotValid, Detail: "The task is not part of a service."}
	case !t.staying():
		return nil, &Failure{ARN: t.ARN, Reason: reasonNotValid, Detail: "The task is stopping."}
	case t.LastStatus == plimsoll.StatusProvisioning:
		return nil, &Failure{ARN: t.ARN, Reason: reasonNotValid, Detail: "The task is not running yet."}
	case enabled && t.released():
		return nil, &Failure{ARN: t.ARN, Reason: reasonNotValid, Detail: "The task has been released."}
	case t.svc == nil: // its service's record is lost; it is spared anyway
		return t, nil
	case enabled && !t.Protected(m.now) && t.svc.protected(m.now) >= t.svc.Desired:
		return nil, &Failure{ARN: t.ARN, Reason: reasonBlocked,
			Detail: "As many tasks of the service are protected as it is to have. End the protection of others, or wait for it to expire."}
	}
	return t, nil
}

// protect sets until when a task is protected; zero ends it.
func (m *Machine) protect(t *task, until time.Time) {
	if t.ProtectedUntil.Equal(until) {
		return
	}
	m.editTask(t).ProtectedUntil = until
	if t.svc == nil {
		return
	}
	m.unsettle(t.svc)
	m.watchProtection(t)
	m.judge(t)
}

// watchProtection has the service look at the task when its protection expires.
// A timer that is set already and fires earlier sets itself anew: extending a
// protection again and again takes one timer.
func (m *Machine) watchProtection(t *task) {
	if t.ProtectedUntil.IsZero() || (!t.protectTimer.IsZero() && !t.protectTimer.After(t.ProtectedUntil)) {
		return
	}
	t.protectTimer = t.ProtectedUntil
	m.after(t.ProtectedUntil, func() {
		t.protectTimer = time.Time{}
		if t.svc == nil {
			return
		}
		if t.Protected(m.now) {
			m.watchProtection(t)
			return
		}
		m.unsettle(t.svc)
		m.judge(t)
	})
}
