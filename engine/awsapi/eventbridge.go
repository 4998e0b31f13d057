package awsapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"plimsoll/engine/events"
)

// EventBridge is the service of the rules given: those of one event bus, whose
// targets are queues. What is put on the bus goes to box.
func EventBridge(rules *events.Rules, box Postbox) *Service {
	s := &eventService{rules: rules, box: box, codec: NewCodec(nil)}
	return &Service{
		Name: "events", Target: "AWSEvents", JSONVersion: "1.1", Codec: s.codec,
		Operations: []Operation{
			Op("PutEvents", s.putEvents),
			Op("PutRule", s.putRule),
			Op("DescribeRule", s.describeRule),
			Op("ListRules", s.listRules),
			Op("DeleteRule", s.deleteRule),
			Op("EnableRule", s.enableRule),
			Op("DisableRule", s.disableRule),
			Op("PutTargets", s.putTargets),
			Op("ListTargetsByRule", s.listTargets),
			Op("RemoveTargets", s.removeTargets),
			Op("ListTagsForResource", s.listTags),
			Op("TagResource", s.tag),
			Op("UntagResource", s.untag),
		},
	}
}

// Postbox takes events durably and gives their ids.
type Postbox interface {
	Post([]events.Event) (ids []string, err error)
}

type eventService struct {
	rules *events.Rules
	box   Postbox
	codec *Codec
}

const defaultBus = "default"

// eventError puts an error of the rules into the wire's words.
func eventError(err error) error {
	var e *events.Error
	if errors.As(err, &e) {
		return &Error{Code: e.Code, Message: e.Message}
	}
	return err
}

// onBus refuses every event bus but the default one.
func onBus(call *Call, bus *string) error {
	if name := deref(bus); name != "" && name != defaultBus && name != busARN(call) {
		return Refuse("ResourceNotFoundException", "Event bus %s does not exist: this engine has the bus \"default\" alone.", name)
	}
	return nil
}

func busARN(call *Call) string {
	return "arn:aws:events:" + call.Region + ":" + call.Account + ":event-bus/" + defaultBus
}

func ruleARN(call *Call, name string) *string {
	return text("arn:aws:events:" + call.Region + ":" + call.Account + ":rule/" + name)
}

// beyond refuses what an input says and is not known here.
func (s *eventService) beyond(in any, known ...string) error {
	set := map[string]bool{}
	for _, path := range known {
		set[path] = true
	}
	if beyond := s.codec.Beyond(in, set); len(beyond) > 0 {
		return Refuse("ValidationException", "%s is not supported by this engine: rules here have event patterns, and queues as targets.", beyond[0])
	}
	return nil
}

func (s *eventService) putRule(_ context.Context, call *Call, in *eventbridge.PutRuleInput) (*eventbridge.PutRuleOutput, error) {
	err := errors.Join(onBus(call, in.EventBusName),
		s.beyond(in, "Name", "Description", "EventBusName", "EventPattern", "RoleArn", "State", "Tags"))
	if err != nil {
		return nil, err
	}
	if in.EventPattern == nil {
		return nil, Refuse("ValidationException", "Parameter(s) EventPattern must be specified.")
	}
	rule := events.Rule{
		Name: deref(in.Name), Description: deref(in.Description), Pattern: *in.EventPattern,
		State: string(in.State), RoleARN: deref(in.RoleArn), Tags: eventTags(in.Tags),
	}
	if err := s.rules.Put(rule); err != nil {
		return nil, eventError(err)
	}
	return &eventbridge.PutRuleOutput{RuleArn: ruleARN(call, rule.Name)}, nil
}

func eventTags(tags []types.Tag) map[string]string {
	var set map[string]string
	for _, t := range tags {
		if set == nil {
			set = map[string]string{}
		}
		set[deref(t.Key)] = deref(t.Value)
	}
	return set
}

func (s *eventService) describeRule(_ context.Context, call *Call, in *eventbridge.DescribeRuleInput) (*eventbridge.DescribeRuleOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	r, err := s.rules.Get(deref(in.Name))
	if err != nil {
		return nil, eventError(err)
	}
	return &eventbridge.DescribeRuleOutput{
		Arn: ruleARN(call, r.Name), Name: &r.Name, Description: text(r.Description), EventPattern: &r.Pattern,
		EventBusName: text(defaultBus), RoleArn: text(r.RoleARN), State: types.RuleState(r.State), CreatedBy: &call.Account,
	}, nil
}

func (s *eventService) listRules(_ context.Context, call *Call, in *eventbridge.ListRulesInput) (*eventbridge.ListRulesOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	prefix := deref(in.NamePrefix)
	got, next, err := eventPage(s.rules.All(prefix), func(r events.Rule) string { return r.Name }, "ListRules "+prefix, in.Limit, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &eventbridge.ListRulesOutput{Rules: []types.Rule{}, NextToken: next}
	for _, r := range got {
		out.Rules = append(out.Rules, types.Rule{
			Arn: ruleARN(call, r.Name), Name: &r.Name, Description: text(r.Description), EventPattern: &r.Pattern,
			EventBusName: text(defaultBus), RoleArn: text(r.RoleARN), State: types.RuleState(r.State),
		})
	}
	return out, nil
}

// eventPage gives one page of a listing, 100 items at most.
func eventPage[T any](items []T, key func(T) string, list string, limit *int32, token *string) ([]T, *string, error) {
	p := Paging{List: list, Max: 100, Token: deref(token)}
	if limit != nil {
		p.Max = int(*limit)
	}
	if p.Max < 1 || p.Max > 100 {
		return nil, nil, Refuse("ValidationException", "Limit %d is invalid: 1 to 100 is allowed.", p.Max)
	}
	got, next, err := Page(items, key, p)
	if err != nil {
		return nil, nil, Refuse("ValidationException", "The NextToken %q is not one that this listing gave.", p.Token)
	}
	return got, text(next), nil
}

func (s *eventService) deleteRule(_ context.Context, call *Call, in *eventbridge.DeleteRuleInput) (*eventbridge.DeleteRuleOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	return &eventbridge.DeleteRuleOutput{}, eventError(s.rules.Delete(deref(in.Name)))
}

func (s *eventService) enableRule(_ context.Context, call *Call, in *eventbridge.EnableRuleInput) (*eventbridge.EnableRuleOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	return &eventbridge.EnableRuleOutput{}, eventError(s.rules.SetState(deref(in.Name), events.Enabled))
}

func (s *eventService) disableRule(_ context.Context, call *Call, in *eventbridge.DisableRuleInput) (*eventbridge.DisableRuleOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	return &eventbridge.DisableRuleOutput{}, eventError(s.rules.SetState(deref(in.Name), events.Disabled))
}

func (s *eventService) putTargets(_ context.Context, call *Call, in *eventbridge.PutTargetsInput) (*eventbridge.PutTargetsOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	if len(in.Targets) == 0 {
		return nil, Refuse("ValidationException", "Parameter(s) Targets must be specified.")
	}
	out := &eventbridge.PutTargetsOutput{FailedEntries: []types.PutTargetsResultEntry{}}
	var targets []events.Target
	for _, t := range in.Targets {
		if err := s.checkTarget(call, t); err != nil {
			return nil, err
		}
		target := events.Target{ID: *t.Id, ARN: *t.Arn, Input: deref(t.Input)}
		if t.SqsParameters != nil {
			target.Group = deref(t.SqsParameters.MessageGroupId)
		}
		targets = append(targets, target)
	}
	if err := s.rules.PutTargets(deref(in.Rule), targets); err != nil {
		return nil, eventError(err)
	}
	return out, nil
}

func (s *eventService) checkTarget(call *Call, t types.Target) error {
	if deref(t.Id) == "" || deref(t.Arn) == "" {
		return Refuse("ValidationException", "A target must have an Id and an Arn.")
	}
	if queues := "arn:aws:sqs:" + call.Region + ":" + call.Account + ":"; !strings.HasPrefix(*t.Arn, queues) || *t.Arn == queues {
		return Refuse("ValidationException", "The target %s is not supported by this engine: targets are queues of this account and region, %sNAME.", *t.Arn, queues)
	}
	if fifo := strings.HasSuffix(*t.Arn, ".fifo"); fifo != (t.SqsParameters != nil && deref(t.SqsParameters.MessageGroupId) != "") {
		return Refuse("ValidationException", "The target %s: SqsParameters.MessageGroupId is for FIFO queues, and they need it.", *t.Arn)
	}
	return s.beyond(t, "Id", "Arn", "Input", "RoleArn", "SqsParameters")
}

func (s *eventService) listTargets(_ context.Context, call *Call, in *eventbridge.ListTargetsByRuleInput) (*eventbridge.ListTargetsByRuleOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	r, err := s.rules.Get(deref(in.Rule))
	if err != nil {
		return nil, eventError(err)
	}
	got, next, err := eventPage(r.Targets, func(t events.Target) string { return t.ID }, "ListTargetsByRule "+r.Name, in.Limit, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &eventbridge.ListTargetsByRuleOutput{Targets: []types.Target{}, NextToken: next}
	for _, t := range got {
		target := types.Target{Id: &t.ID, Arn: &t.ARN, Input: text(t.Input)}
		if t.Group != "" {
			target.SqsParameters = &types.SqsParameters{MessageGroupId: &t.Group}
		}
		out.Targets = append(out.Targets, target)
	}
	return out, nil
}

func (s *eventService) removeTargets(_ context.Context, call *Call, in *eventbridge.RemoveTargetsInput) (*eventbridge.RemoveTargetsOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	unknown, err := s.rules.RemoveTargets(deref(in.Rule), in.Ids)
	if err != nil {
		return nil, eventError(err)
	}
	out := &eventbridge.RemoveTargetsOutput{FailedEntries: []types.RemoveTargetsResultEntry{}, FailedEntryCount: int32(len(unknown))}
	for _, id := range unknown {
		out.FailedEntries = append(out.FailedEntries, types.RemoveTargetsResultEntry{
			TargetId: &id, ErrorCode: text("ResourceNotFoundException"), ErrorMessage: text(fmt.Sprintf("The rule has no target %q.", id)),
		})
	}
	return out, nil
}

// ruleOf reads a rule's name out of its ARN.
func ruleOf(call *Call, arn *string) (string, error) {
	name, ok := strings.CutPrefix(deref(arn), *ruleARN(call, ""))
	if !ok || name == "" {
		return "", Refuse("ResourceNotFoundException", "The resource %q does not exist: rules here are %sNAME.", deref(arn), *ruleARN(call, ""))
	}
	return name, nil
}

func (s *eventService) listTags(_ context.Context, call *Call, in *eventbridge.ListTagsForResourceInput) (*eventbridge.ListTagsForResourceOutput, error) {
	name, err := ruleOf(call, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	r, err := s.rules.Get(name)
	if err != nil {
		return nil, eventError(err)
	}
	out := &eventbridge.ListTagsForResourceOutput{Tags: []types.Tag{}}
	for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
		out.Tags = append(out.Tags, types.Tag{Key: text(key), Value: text(r.Tags[key])})
	}
	return out, nil
}

func (s *eventService) tag(_ context.Context, call *Call, in *eventbridge.TagResourceInput) (*eventbridge.TagResourceOutput, error) {
	name, err := ruleOf(call, in.ResourceARN)
	if err == nil {
		err = eventError(s.rules.Tag(name, eventTags(in.Tags), nil))
	}
	return &eventbridge.TagResourceOutput{}, err
}

func (s *eventService) untag(_ context.Context, call *Call, in *eventbridge.UntagResourceInput) (*eventbridge.UntagResourceOutput, error) {
	name, err := ruleOf(call, in.ResourceARN)
	if err == nil {
		err = eventError(s.rules.Tag(name, nil, in.TagKeys))
	}
	return &eventbridge.UntagResourceOutput{}, err
}
