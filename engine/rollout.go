package engine

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Rollout is one service deployment, as ECS's list of them has it: from the call
// that asked for it to its end. A Deployment is what of it still has tasks.
type Rollout struct {
	// ID is that of its Deployment; it names the revision of the service too.
	ID             string          `json:",omitzero"`
	Status         string          `json:",omitzero"` // IN_PROGRESS, SUCCESSFUL, STOPPED, ROLLBACK_…
	Reason         string          `json:",omitzero"`
	TaskDefinition string          `json:",omitzero"`
	Strategy       []ProviderShare `json:",omitzero"`
	// Sources are the revisions that had tasks when it began.
	Sources     []string  `json:",omitzero"`
	FailedTasks int       `json:",omitzero"` // at its end
	CreatedAt   time.Time `json:",omitzero"`
	UpdatedAt   time.Time `json:",omitzero"`
	FinishedAt  time.Time `json:",omitzero"` // zero: it goes on
	// BackTo is the revision that a rollback goes back to, since RollbackAt.
	BackTo     string    `json:",omitzero"`
	RollbackAt time.Time `json:",omitzero"`
}

// The states of a Rollout.
const (
	RolloutInProgress         = "IN_PROGRESS"
	RolloutSuccessful         = "SUCCESSFUL"
	RolloutStopped            = "STOPPED"
	RolloutRollbackInProgress = "ROLLBACK_IN_PROGRESS"
	RolloutRollbackSuccessful = "ROLLBACK_SUCCESSFUL"
	RolloutRollbackFailed     = "ROLLBACK_FAILED"
)

// keptRollouts bounds a service's history: it is part of the service's record.
const keptRollouts = 10

// beginRollout notes that the service's first deployment has been asked for.
func (m *Machine) beginRollout(e *Service) {
	m.endRollout(e, RolloutStopped, "Service deployment was superseded by a newer one.")
	d := &e.Deployments[0]
	r := Rollout{
		ID: d.ID, Status: RolloutInProgress, TaskDefinition: d.TaskDefinition, Strategy: d.Strategy, CreatedAt: m.now, UpdatedAt: m.now,
	}
	for _, former := range e.Deployments[1:] {
		r.Sources = append(r.Sources, former.RevisionOf())
	}
	e.Rollouts = append([]Rollout{r}, e.Rollouts[:min(len(e.Rollouts), keptRollouts-1)]...)
}

// endRollout ends the newest rollout, if it goes on.
func (m *Machine) endRollout(e *Service, status, reason string) {
	if len(e.Rollouts) == 0 || !e.Rollouts[0].FinishedAt.IsZero() {
		return
	}
	r := m.editRollout(e)
	r.Status, r.Reason, r.FinishedAt = status, reason, m.now
	r.FailedTasks = e.failedOf(r.ID)
}

// editRollout gives the newest rollout to be changed.
func (m *Machine) editRollout(e *Service) *Rollout {
	e.Rollouts = slices.Clone(e.Rollouts)
	r := &e.Rollouts[0]
	r.UpdatedAt = m.now
	return r
}

// failedOf is how many tasks of a revision have failed.
func (e *Service) failedOf(id string) int {
	for _, d := range e.Deployments {
		if d.ID == id {
			return d.FailedTasks
		}
	}
	return 0
}

// FailedTasks is how many tasks of a rollout have failed so far.
func (e *Service) FailedTasks(r *Rollout) int {
	if r.FinishedAt.IsZero() {
		return e.failedOf(r.ID)
	}
	return r.FailedTasks
}

// rolloutGoesBack notes that the newest rollout is being rolled back.
func (m *Machine) rolloutGoesBack(e *Service, to, reason string) {
	if len(e.Rollouts) == 0 {
		return
	}
	failed := e.failedOf(e.Rollouts[0].ID)
	r := m.editRollout(e)
	r.Status, r.Reason, r.BackTo, r.RollbackAt, r.FailedTasks = RolloutRollbackInProgress, reason, to, m.now, failed
	r.FinishedAt = time.Time{}
}

// completedRollout notes that the service's first deployment is completed.
func (m *Machine) completedRollout(e *Service) {
	if len(e.Rollouts) > 0 && e.Rollouts[0].Status == RolloutRollbackInProgress {
		failed := e.Rollouts[0].FailedTasks
		m.endRollout(e, RolloutRollbackSuccessful, e.Rollouts[0].Reason)
		e.Rollouts[0].FailedTasks = failed
		return
	}
	m.endRollout(e, RolloutSuccessful, "")
}

// stopRollout rolls the rollout back that the service is in.
func (m *Machine) stopRollout(c StopServiceDeployment) (*Service, *Error) {
	s, refusal := m.service(c.Cluster, c.Service)
	if refusal != nil {
		return nil, refusal
	}
	at := slices.IndexFunc(s.Rollouts, func(r Rollout) bool { return RevisionID(r.ID) == c.Deployment })
	switch {
	case at < 0:
		return nil, refuse("ServiceDeploymentNotFoundException", "The service deployment %q was not found.", c.Deployment)
	case at == 0 && s.Rollouts[0].Status == RolloutRollbackInProgress:
		return s.Service, nil // it is what was asked for
	case at > 0 || s.Rollouts[0].Status != RolloutInProgress:
		return nil, refuse(codeConflict, "The service deployment %q is %s: only one that is in progress can be stopped.", c.Deployment, s.Rollouts[at].Status)
	case s.LastGood == nil || s.LastGood.ID == s.Deployments[0].ID || m.findDefinition(s.LastGood.TaskDefinition) == nil:
		return nil, refuse(codeConflict, "The service deployment %q cannot be rolled back: no deployment before it has been completed.", c.Deployment)
	}
	e := m.editService(s)
	d := &e.Deployments[0]
	d.RolloutState, d.Reason, d.UpdatedAt = rolloutFailed, "Service deployment rolled back because of a StopServiceDeployment API call.", m.now
	m.rollBack(s, "StopServiceDeployment API call")
	m.unsettle(s)
	return s.Service, nil
}

// RevisionOf is the ID of the rollout that made what the deployment deploys.
func (d *Deployment) RevisionOf() string { return cmp.Or(d.Revision, d.ID) }

// RevisionID is a deployment's id as the ARNs of service deployments and service
// revisions end in it.
func RevisionID(deployment string) string { return strings.TrimPrefix(deployment, "ecs-svc/") }
