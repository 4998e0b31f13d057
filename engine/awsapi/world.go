package awsapi

import (
	"context"
	"fmt"
)

// Worlds finds the services of an account in a region. Each pair has a world of
// its own: clusters, queues and hosts that no other sees.
type Worlds interface {
	World(ctx context.Context, account, region string) (*World, error)
}

// World is the services of one account in one region. Its services have the
// names of those that New was given, which stand for the wire alone then.
type World struct {
	operations map[string]map[string]Operation // by service and name
}

// NewWorld makes a world of its services. Two of one name, or two operations of
// one name in a service, are a mistake of the caller's and an error.
func NewWorld(services ...*Service) (*World, error) {
	w := &World{operations: map[string]map[string]Operation{}}
	for _, s := range services {
		if w.operations[s.Name] != nil {
			return nil, fmt.Errorf("two services have the name %q", s.Name)
		}
		rows := make(map[string]Operation, len(s.Operations))
		for _, op := range s.Operations {
			if _, twice := rows[op.Name]; twice {
				return nil, fmt.Errorf("service %q has the operation %q twice", s.Name, op.Name)
			}
			rows[op.Name] = op
		}
		w.operations[s.Name] = rows
	}
	return w, nil
}

func (w *World) operation(service, name string) (Operation, bool) {
	op, ok := w.operations[service][name]
	return op, ok
}
