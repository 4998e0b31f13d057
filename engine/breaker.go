package engine

import (
	"slices"
	"time"

	"plimsoll"
)

// The circuit breaker's bounds of a BOUNDED_PERCENT.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
const (
	breakerLow  = 3
	breakerHigh = 200
	// breakerProof is how long the tasks of a deployment have to have run before
	// it counts as completed, where the breaker is on: a program that ends right
	// after its start has been RUNNING too.
	breakerProof = 5 * time.Second
)

// Failures is how many failed tasks a deployment is ended at, of a service with
// that desired count.
func (b Breaker) Failures(desired int) int {
	value, kind := b.Threshold, b.Type
	if kind == "" {
		value, kind = 50, ThresholdBounded
	}
	if kind == ThresholdCount {
		return max(value, 1)
	}
	n := (desired*value + 99) / 100
	if kind == ThresholdBounded {
		return min(max(n, breakerLow), breakerHigh)
	}
	return max(n, 1)
}

// checkBreaker refuses a threshold that means nothing.
func checkBreaker(b Breaker) *Error {
	switch b.Type {
	case "":
		return nil
	case ThresholdCount, ThresholdBounded, ThresholdUnbounded:
	default:
		return refuse(codeInvalid, "thresholdConfiguration.type %q is invalid: %s, %s and %s are allowed.", b.Type, ThresholdCount, ThresholdBounded, ThresholdUnbounded)
	}
	if b.Threshold < 1 {
		return refuse(codeInvalid, "thresholdConfiguration.value %d is invalid: 1 or more is allowed.", b.Threshold)
	}
	return nil
}

// watchHealthy sets the count of failed tasks back when the task has run for
// long enough to be believed, and is healthy.
func (m *Machine) watchHealthy(t *task) {
	s := t.svc
	if !s.Breaker.Enable || s.Breaker.KeepCount || s.Deployments[0].RolloutState != rolloutInProgress {
		return
	}
	m.after(t.StartedAt.Add(breakerProof), func() {
		if t.svc != s || !t.sound() || s.Status != statusActive || t.stale() {
			return
		}
		if d := s.Deployments[0]; s.Breaker.Enable && !s.Breaker.KeepCount && d.FailedTasks > 0 && d.RolloutState == rolloutInProgress {
			m.editService(s).Deployments[0].FailedTasks = 0
		}
	})
}

// tripped ends the primary deployment if its circuit breaker says so, and rolls
// back if that is asked for.
func (m *Machine) tripped(s *service) bool {
	d := &s.Deployments[0]
	if d.RolloutState == rolloutFailed {
		return true
	}
	if !s.Breaker.Enable || d.RolloutState != rolloutInProgress || d.FailedTasks < s.Breaker.Failures(s.Desired) {
		return false
	}
	e := m.editService(s)
	d = &e.Deployments[0]
	d.RolloutState, d.Reason, d.UpdatedAt = rolloutFailed, "ECS deployment circuit breaker: tasks failed to start.", m.now
	m.say(s, "(service %s) (deployment %s) deployment failed: tasks failed to start.", s.Name, d.ID)
	if s.Breaker.Rollback {
		m.rollBack(s, "ECS deployment circuit breaker")
	} else {
		m.endRollout(m.editService(s), RolloutStopped, d.Reason)
	}
	m.unsettle(s)
	return true
}

// rollBack makes the last completed deployment the primary one again: itself if
// it still has tasks, else a new one like it. Without one nothing is changed.
func (m *Machine) rollBack(s *service, why string) {
	good := s.LastGood
	if good == nil || good.ID == s.Deployments[0].ID || m.findDefinition(good.TaskDefinition) == nil {
		m.say(s, "(service %s) cannot roll back: no deployment before (deployment %s) has been completed.", s.Name, s.Deployments[0].ID)
		m.endRollout(m.editService(s), RolloutRollbackFailed, why+": no deployment before has been completed.")
		return
	}
	e := m.editService(s)
	m.rolloutGoesBack(e, good.RevisionOf(), "Service deployment rolled back because of the "+why+".")
	for i := range e.Deployments {
		e.Deployments[i].Status = statusActive
	}
	back := *good
	if i := slices.IndexFunc(e.Deployments, func(d Deployment) bool { return d.ID == good.ID }); i >= 0 {
		back = e.Deployments[i]
		e.Deployments = slices.Delete(e.Deployments, i, i+1)
	} else {
		back.ID, back.Revision, back.CreatedAt, back.FailedTasks = m.deploymentID(m.number()), good.RevisionOf(), m.now, 0
	}
	back.Status, back.RolloutState, back.UpdatedAt = "PRIMARY", rolloutInProgress, m.now
	back.Reason = why + ": rolling back to deploymentId " + good.ID + "."
	e.Deployments = slices.Insert(e.Deployments, 0, back)
	if !slices.Equal(e.Strategy, back.Strategy) {
		e.Strategy, e.LaunchType = back.Strategy, ""
		if len(back.Strategy) == 0 {
			e.LaunchType = launchEC2
		}
	}
	m.say(s, "(service %s) rolling back to (deployment %s).", s.Name, good.ID)
	m.primaryChanged(s)
}

// provenRollout tells whether the primary deployment's tasks have run for long
// enough to be believed. Without a breaker it is enough that they run.
func (m *Machine) provenRollout(s *service) bool {
	if !s.Breaker.Enable {
		return true
	}
	var youngest time.Time
	for _, t := range s.tasks {
		if t.staying() && !t.stale() && t.LastStatus == plimsoll.StatusRunning && t.StartedAt.After(youngest) {
			youngest = t.StartedAt
		}
	}
	proof := youngest.Add(breakerProof)
	if youngest.IsZero() || !m.now.Before(proof) {
		return true
	}
	if !s.proofAt.Equal(proof) {
		s.proofAt = proof
		m.after(proof, func() {
			if s.Status == statusActive {
				m.unsettle(s)
			}
		})
	}
	return false
}
