package events

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"plimsoll/engine/store"
)

// EventBridge's own bounds.
const (
	mostRules   = 300
	mostTargets = 5
)

// The states of a rule.
const (
	Enabled  = "ENABLED"
	Disabled = "DISABLED"
)

// Rule says which events go where.
type Rule struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	Pattern     string            `json:"pattern"`
	State       string            `json:"state"`
	RoleARN     string            `json:"role,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Created     time.Time         `json:"created"`
	Targets     []Target          `json:"targets,omitempty"`
}

// Target is a queue that a rule's events go to.
type Target struct {
	ID    string `json:"id"`
	ARN   string `json:"arn"`             // of a queue of the same account and region
	Input string `json:"input,omitempty"` // sent in place of the event; empty: the event
	Group string `json:"group,omitempty"` // the message group in a FIFO queue
}

// Error is a refusal in EventBridge's words.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func refuse(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *Error {
	return refuse("ValidationException", format, args...)
}

// Rules are the rules of an account in a region, on the one event bus that it
// has. It is safe for concurrent use.
type Rules struct {
	table *store.Table[Rule]
	now   func() time.Time

	mu       sync.Mutex // held while the rules are read to be compiled
	compiled atomic.Pointer[[]compiledRule]
}

// compiledRule is an enabled rule with targets.
type compiledRule struct {
	Rule
	pattern *Pattern
	// detailTypes are those that the pattern can match; nil: any.
	detailTypes []string
}

// OpenRules reads the rules from the log.
func OpenRules(log *store.Log, now func() time.Time) (*Rules, error) {
	table, err := store.NewTable[Rule](log, "rule/")
	if err != nil {
		return nil, err
	}
	r := &Rules{table: table, now: now}
	return r, r.compile()
}

// compile makes what events are matched with.
func (r *Rules) compile() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	compiled := []compiledRule{}
	for _, rule := range r.table.All() {
		if rule.State != Enabled || len(rule.Targets) == 0 {
			continue
		}
		p, err := ParsePattern(rule.Pattern)
		if err != nil {
			return fmt.Errorf("the event pattern of rule %q: %w", rule.Name, err)
		}
		compiled = append(compiled, compiledRule{Rule: rule, pattern: p, detailTypes: detailTypes(rule.Pattern)})
	}
	r.compiled.Store(&compiled)
	return nil
}

// detailTypes are the detail types that a pattern names, if it names them whole.
func detailTypes(pattern string) []string {
	var p struct {
		Types []any `json:"detail-type"`
	}
	if json.Unmarshal([]byte(pattern), &p) != nil {
		return nil
	}
	var types []string
	for _, t := range p.Types {
		name, ok := t.(string)
		if !ok {
			return nil
		}
		types = append(types, name)
	}
	return types
}

// Any tells whether there is an enabled rule with a target at all.
func (r *Rules) Any() bool { return len(*r.compiled.Load()) > 0 }

// Wants tells whether some rule may match events of the detail type: what no
// rule asks for needs not be made.
func (r *Rules) Wants(detailType string) bool {
	return slices.ContainsFunc(*r.compiled.Load(), func(c compiledRule) bool {
		return c.detailTypes == nil || slices.Contains(c.detailTypes, detailType)
	})
}

// Match gives the targets of an event, each once for each rule that matches.
func (r *Rules) Match(event map[string]any) []Target {
	var targets []Target
	for _, c := range *r.compiled.Load() {
		if c.pattern.Matches(event) {
			targets = append(targets, c.Targets...)
		}
	}
	return targets
}

var ruleName = regexp.MustCompile(`^[.\-_A-Za-z0-9]{1,64}$`)

// Put makes a rule, or changes all of it but its targets.
func (r *Rules) Put(in Rule) error {
	if !ruleName.MatchString(in.Name) {
		return invalid("The rule name %q is not valid: 1 to 64 letters, digits, '.', '-' and '_' are allowed.", in.Name)
	}
	if _, err := ParsePattern(in.Pattern); err != nil {
		return refuse("InvalidEventPatternException", "Event pattern is not valid. Reason: %s", err)
	}
	if in.State == "" {
		in.State = Enabled
	}
	if in.State != Enabled && in.State != Disabled {
		return invalid("The state %q is not valid: ENABLED and DISABLED are allowed.", in.State)
	}
	return r.change(in.Name, func(old Rule, there bool) (Rule, error) {
		if !there && r.table.Len() >= mostRules {
			return old, refuse("LimitExceededException", "The requested resource exceeds the maximum number allowed: %d rules.", mostRules)
		}
		in.Targets, in.Created = old.Targets, old.Created
		if !there {
			in.Created = r.now().UTC()
		} else if in.Tags == nil {
			in.Tags = old.Tags
		}
		return in, nil
	})
}

// change changes a rule and compiles the rules anew.
func (r *Rules) change(name string, f func(Rule, bool) (Rule, error)) error {
	if err := r.table.Update(name, f); err != nil {
		return err
	}
	return r.compile()
}

// Get gives the rule of a name.
func (r *Rules) Get(name string) (Rule, error) {
	rule, ok := r.table.Get(name)
	if !ok {
		return rule, unknownRule(name)
	}
	return rule, nil
}

func unknownRule(name string) *Error {
	return refuse("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", name)
}

// All gives the rules whose names begin with a prefix, in order.
func (r *Rules) All(prefix string) []Rule {
	return slices.DeleteFunc(r.table.All(), func(rule Rule) bool { return !strings.HasPrefix(rule.Name, prefix) })
}

// SetState enables or disables a rule.
func (r *Rules) SetState(name, state string) error {
	return r.change(name, func(rule Rule, there bool) (Rule, error) {
		if !there {
			return rule, unknownRule(name)
		}
		rule.State = state
		return rule, nil
	})
}

// Delete takes a rule without targets away; one that is not there is no error.
func (r *Rules) Delete(name string) error {
	if rule, ok := r.table.Get(name); ok && len(rule.Targets) > 0 {
		return invalid("Rule can't be deleted since it has targets.")
	}
	if err := r.table.Delete(name); err != nil {
		return err
	}
	return r.compile()
}

// PutTargets adds targets to a rule, or changes those of the same id.
func (r *Rules) PutTargets(name string, targets []Target) error {
	return r.change(name, func(rule Rule, there bool) (Rule, error) {
		if !there {
			return rule, unknownRule(name)
		}
		byID := map[string]Target{}
		for _, t := range slices.Concat(rule.Targets, targets) {
			byID[t.ID] = t
		}
		if len(byID) > mostTargets {
			return rule, refuse("LimitExceededException", "The requested resource exceeds the maximum number allowed: %d targets of a rule.", mostTargets)
		}
		rule.Targets = nil
		for _, id := range slices.Sorted(maps.Keys(byID)) {
			rule.Targets = append(rule.Targets, byID[id])
		}
		return rule, nil
	})
}

// RemoveTargets takes targets off a rule, and gives the ids that it has not.
func (r *Rules) RemoveTargets(name string, ids []string) (unknown []string, err error) {
	err = r.change(name, func(rule Rule, there bool) (Rule, error) {
		if !there {
			return rule, unknownRule(name)
		}
		for _, id := range ids {
			if !slices.ContainsFunc(rule.Targets, func(t Target) bool { return t.ID == id }) {
				unknown = append(unknown, id)
			}
		}
		rule.Targets = slices.DeleteFunc(slices.Clone(rule.Targets), func(t Target) bool { return slices.Contains(ids, t.ID) })
		return rule, nil
	})
	return unknown, err
}

// Tag sets and removes tags of a rule.
func (r *Rules) Tag(name string, set map[string]string, remove []string) error {
	return r.change(name, func(rule Rule, there bool) (Rule, error) {
		if !there {
			return rule, unknownRule(name)
		}
		tags := maps.Clone(rule.Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		maps.Copy(tags, set)
		for _, key := range remove {
			delete(tags, key)
		}
		rule.Tags = tags
		return rule, nil
	})
}
