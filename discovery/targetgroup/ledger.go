package targetgroup

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Ledger keeps a text over a restart. Load gives nothing where nothing was saved;
// what Save has taken is durable.
type Ledger interface {
	Load() ([]byte, error)
	Save([]byte) error
}

// own is what was registered: the tasks of the targets, by the group's ARN.
type own map[string]map[target]string

// entry is a line of the ledger.
type entry struct {
	ID   string `json:"id"`
	Port int32  `json:"port"`
	Task string `json:"task"`
}

// remember reads the ledger, once.
func (r *registry) remember() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own != nil {
		return nil
	}
	found := own{}
	if r.ledger != nil {
		text, err := r.ledger.Load()
		if err != nil {
			return fmt.Errorf("what was registered before is not known: %w", err)
		}
		lists := map[string][]entry{}
		if len(text) > 0 {
			if err := json.Unmarshal(text, &lists); err != nil {
				return fmt.Errorf("what was registered before cannot be read; remove the file targets.json from the state, and deregister by hand what is left of it: %w", err)
			}
		}
		for arn, list := range lists {
			found[arn] = map[target]string{}
			for _, e := range list {
				found[arn][target{e.ID, e.Port}] = e.Task
			}
		}
	}
	r.own = found
	return nil
}

// owned are the targets of a group that were registered here.
func (r *registry) owned(arn string) map[target]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if mine := maps.Clone(r.own[arn]); mine != nil {
		return mine
	}
	return map[target]string{}
}

// groupsOwned are the groups in which something was registered.
func (r *registry) groupsOwned() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.own))
}

// write has a group's targets known as registered here, durably.
func (r *registry) write(arn string, mine map[target]string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if maps.Equal(r.own[arn], mine) {
		return nil
	}
	next := maps.Clone(r.own)
	next[arn] = mine
	if len(mine) == 0 {
		delete(next, arn)
	}
	if r.ledger != nil {
		lists := map[string][]entry{}
		for arn, targets := range next {
			for t, task := range targets {
				lists[arn] = append(lists[arn], entry{t.id, t.port, task})
			}
			slices.SortFunc(lists[arn], func(a, b entry) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Port, b.Port)) })
		}
		text, err := json.MarshalIndent(lists, "", " ")
		if err != nil {
			return err
		}
		if err := r.ledger.Save(text); err != nil {
			return fmt.Errorf("write down what is to be registered: %w", err)
		}
	}
	r.own = next
	return nil
}
