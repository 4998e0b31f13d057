package cloudmap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery/types"
)

const (
	// pollEvery is how often an operation that is waited for is looked at.
	pollEvery = 500 * time.Millisecond
	// remembered is how long it is known how a task was taken out.
	remembered = 10 * time.Minute
)

// kind is what an operation does with an instance.
type kind string

const (
	joins  kind = "register"
	leaves kind = "deregister"
)

// operation is something that Cloud Map does when it gets to it. The registry's
// lock guards done.
type operation struct {
	kind       kind
	id         string
	attributes map[string]string // of an instance that joins
	ttl        time.Duration     // how long clients keep the address of one that leaves
	begun      time.Time
	done       time.Time // when it was seen to be done
}

// begun notes an operation that is under way.
func (r *registry) begun(i instance, op *operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending[i] = op
}

// left notes that an operation takes a task out.
func (r *registry) left(task string, op *operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaving[task] = append(r.leaving[task], op)
}

// underway tells whether an operation of this kind is.
func (r *registry) underway(i instance, k kind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	op := r.pending[i]
	return op != nil && op.kind == k
}

// follow looks at all operations that are under way, forgets those that are done,
// and tells of those that failed.
func (r *registry) follow(ctx context.Context, api *servicediscovery.Client) error {
	r.mu.Lock()
	pending := maps.Clone(r.pending)
	maps.DeleteFunc(r.leaving, func(_ string, ops []*operation) bool {
		return !slices.ContainsFunc(ops, func(op *operation) bool { return time.Since(op.begun) < remembered })
	})
	r.mu.Unlock()
	var problems []error
	for i, op := range pending {
		done, err := r.look(ctx, api, op)
		if err != nil {
			problems = append(problems, fmt.Errorf("service %q: %s %q: %w", i.in, op.kind, i.id, err))
		}
		if done {
			r.mu.Lock()
			if r.pending[i] == op {
				delete(r.pending, i)
			}
			r.mu.Unlock()
		}
	}
	return errors.Join(problems...)
}

// look asks whether an operation is done. One that Cloud Map does not know any more
// is; one that failed is, too, and the next comparison tries again.
func (r *registry) look(ctx context.Context, api *servicediscovery.Client, op *operation) (done bool, err error) {
	out, err := api.GetOperation(ctx, &servicediscovery.GetOperationInput{OperationId: &op.id})
	var unknown *types.OperationNotFound
	switch {
	case errors.As(err, &unknown):
		err = nil
	case err != nil:
		return false, fmt.Errorf("operation %q: %w", op.id, err)
	case out.Operation.Status == types.OperationStatusFail:
		err = fmt.Errorf("operation %q failed: %s: %s", op.id, aws.ToString(out.Operation.ErrorCode), aws.ToString(out.Operation.ErrorMessage))
	case out.Operation.Status != types.OperationStatusSuccess:
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if op.done.IsZero() {
		op.done = time.Now()
	}
	return true, err
}

// Wait returns when Cloud Map has taken a task out and no answer that named it may
// still be kept.
func (r *registry) Wait(ctx context.Context, task string) error {
	r.mu.Lock()
	ops := slices.Clone(r.leaving[task])
	r.mu.Unlock()
	if len(ops) == 0 {
		return nil
	}
	api, err := r.api(ctx)
	if err != nil {
		return err
	}
	var last time.Time
	for _, op := range ops {
		for {
			done, err := r.look(ctx, api, op)
			if err != nil {
				return fmt.Errorf("task %q: deregister in Cloud Map: %w", task, err)
			}
			if done {
				break
			}
			if err := pause(ctx); err != nil {
				return fmt.Errorf("task %q is not known to be out of Cloud Map: %w", task, err)
			}
		}
		r.mu.Lock()
		if until := op.done.Add(op.ttl); until.After(last) {
			last = until
		}
		r.mu.Unlock()
	}
	timer := time.NewTimer(time.Until(last))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("task %q: answers of Cloud Map's DNS that name it may be kept for %s more: %w", task, time.Until(last).Round(time.Second), context.Cause(ctx))
	}
}

// pause waits for the next look.
func pause(ctx context.Context) error {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
