package ec2api

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// The parameters of a stack that are acted on. The others are kept and given
// back; the template itself is not looked at.
const (
	parameterCluster = "EcsCluster"
	parameterSize    = "AsgMaxSize"
	parameterType    = "EcsInstanceType"
	parameterVPC     = "VpcId"
)

// The bounds and defaults of a stack.
const (
	mostStacks      = 100
	mostStackHosts  = 100
	defaultSize     = "1"
	defaultHostType = "t2.medium"
	keptEvents      = 200
	keptDeleted     = 50
)

// stack is the hosts of a cluster as CloudFormation's stack of them.
type stack struct {
	ID         string            `json:"id"` // ARN
	Name       string            `json:"name"`
	Status     string            `json:"status"`
	Reason     string            `json:"reason,omitempty"`
	Parameters map[string]string `json:"parameters"`
	Tags       map[string]string `json:"tags,omitempty"`
	Template   string            `json:"template,omitempty"`
	Created    time.Time         `json:"created"`
	Updated    time.Time         `json:"updated,omitzero"`
	Deleted    time.Time         `json:"deleted,omitzero"`
	Resources  []stackResource   `json:"resources,omitempty"`
	Events     []stackEvent      `json:"events,omitempty"` // the newest last
}

type stackResource struct {
	Logical, Physical, Type, Status string
	At                              time.Time
}

type stackEvent struct {
	ID, Logical, Physical, Type, Status, Reason string
	At                                          time.Time
}

// say adds an event of the stack itself or of one of its resources.
func (s *stack) say(logical, physical, kind, status, reason string, at time.Time) {
	s.Events = append(slices.Clone(s.Events), stackEvent{uuid.NewString(), logical, physical, kind, status, reason, at})
	s.Events = s.Events[max(0, len(s.Events)-keptEvents):]
}

const stackType = "AWS::CloudFormation::Stack"

// become sets the stack's status and says so.
func (s *stack) become(status, reason string, at time.Time) {
	s.Status, s.Reason = status, reason
	s.say(s.Name, s.ID, stackType, status, reason, at)
}

// wants are the hosts that a stack's parameters ask for.
func (s *stack) wants() (cluster string, count int, each plimsoll.Resources, err error) {
	cluster = s.Parameters[parameterCluster]
	if cluster == "" {
		return "", 0, each, invalidStack("the parameter %s must name the cluster that the hosts are for", parameterCluster)
	}
	count, problem := strconv.Atoi(s.Parameters[parameterSize])
	if problem != nil || count < 0 || count > mostStackHosts {
		return "", 0, each, invalidStack("the parameter %s is %q; 0 to %d are allowed", parameterSize, s.Parameters[parameterSize], mostStackHosts)
	}
	kind, ok := findType(s.Parameters[parameterType])
	if !ok {
		return "", 0, each, invalidStack("the parameter %s is %q, which is no instance type that this engine has: aws ec2 describe-instance-types lists them", parameterType, s.Parameters[parameterType])
	}
	return cluster, count, kind.resources(), nil
}

func invalidStack(format string, args ...any) error {
	return awsapi.Refuse("ValidationError", format, args...)
}

type stackParameter struct {
	ParameterKey, ParameterValue, ResolvedValue *string
	UsePreviousValue                            bool
}

type putStackInput struct {
	StackName, TemplateBody, TemplateURL, RoleARN, ClientRequestToken, OnFailure *string
	Parameters                                                                   []stackParameter
	Capabilities, NotificationARNs, ResourceTypes                                []string
	Tags                                                                         []tag
	DisableRollback, EnableTerminationProtection, UsePreviousTemplate            bool
	TimeoutInMinutes                                                             *int32
}

type putStackOutput struct{ StackId *string }

func (a *api) cloudFormation() *awsapi.Service {
	return &awsapi.Service{
		Name: "cloudformation", Version: "2010-05-15", Namespace: "http://cloudformation.amazonaws.com/doc/2010-05-15/", Codec: awsapi.NewCodec(nil),
		Operations: []awsapi.Operation{
			awsapi.Op("CreateStack", a.createStack),
			awsapi.Op("UpdateStack", a.updateStack),
			awsapi.Op("DeleteStack", a.deleteStack),
			awsapi.Op("DescribeStacks", a.describeStacks),
			awsapi.Op("DescribeStackEvents", a.describeStackEvents),
			awsapi.Op("DescribeStackResources", a.describeStackResources),
		},
	}
}

var stackName = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]{0,127}$`)

// findStack finds a stack by name, or by ARN, deleted ones too then.
func (a *api) findStack(ref string) (stack, error) {
	for _, s := range a.stacks.All() {
		if s.ID == ref || s.Name == ref && s.Deleted.IsZero() {
			return s, nil
		}
	}
	return stack{}, invalidStack("Stack with id %s does not exist", ref)
}

// withParameters gives the parameters of an input over those that were before.
func withParameters(before map[string]string, list []stackParameter) (map[string]string, error) {
	all := map[string]string{}
	for key, text := range before {
		all[key] = text
	}
	for _, p := range list {
		key := value(p.ParameterKey)
		if _, known := before[key]; p.UsePreviousValue {
			if !known {
				return nil, invalidStack("Parameters: [%s] has no previous value", key)
			}
			continue
		}
		all[key] = value(p.ParameterValue)
	}
	return all, nil
}

func (a *api) createStack(ctx context.Context, call *awsapi.Call, in *putStackInput) (*putStackOutput, error) {
	err := a.ready(ctx)
	defer a.changing.Unlock()
	if err != nil {
		return nil, err
	}
	name := value(in.StackName)
	if !stackName.MatchString(name) {
		return nil, invalidStack("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: a letter, then letters, digits and hyphens, 128 at most", name)
	}
	if s, err := a.findStack(name); err == nil {
		return nil, awsapi.Refuse("AlreadyExistsException", "Stack [%s] already exists", s.Name)
	}
	if value(in.TemplateBody)+value(in.TemplateURL) == "" {
		return nil, invalidStack("Either Template URL or Template Body must be specified.")
	}
	if a.stacks.Len() >= mostStacks {
		return nil, awsapi.Refuse("LimitExceededException", "Limit for stack has been exceeded: %d", mostStacks)
	}
	given, err := withParameters(map[string]string{parameterSize: defaultSize, parameterType: defaultHostType}, in.Parameters)
	if err != nil {
		return nil, err
	}
	now := a.o.Now().UTC()
	s := stack{
		ID:   "arn:aws:cloudformation:" + call.Region + ":" + call.Account + ":stack/" + name + "/" + uuid.NewString(),
		Name: name, Parameters: given, Template: value(in.TemplateBody), Created: now, Tags: map[string]string{},
	}
	for _, t := range in.Tags {
		s.Tags[value(t.Key)] = value(t.Value)
	}
	cluster, count, each, err := s.wants()
	if err != nil {
		return nil, err
	}
	if err := a.haveCluster(cluster); err != nil {
		return nil, err
	}
	s.become("CREATE_IN_PROGRESS", "User Initiated", now)
	// The stack is kept first: what it makes is then found again, and removed
	// with it, whatever happens.
	if err := a.stacks.Put(s.ID, s); err != nil {
		return nil, err
	}
	err = a.makeNetworkOf(&s)
	if err == nil {
		err = a.o.Hosts.SetHosts(ctx, cluster, s.group(), count, each)
	}
	if err != nil {
		err = errors.Join(err, a.clear(ctx, &s))
	}
	a.settle(&s, "CREATE", err)
	return &putStackOutput{StackId: &s.ID}, a.stacks.Put(s.ID, s)
}

// clear removes what a stack has made: its hosts, and the records that carry its
// name.
func (a *api) clear(ctx context.Context, s *stack) error {
	cluster := s.Parameters[parameterCluster]
	if a.haveCluster(cluster) == nil { // with its cluster, its hosts have gone too
		if err := a.o.Hosts.SetHosts(ctx, cluster, s.group(), 0, plimsoll.Resources{}); err != nil {
			return err
		}
	}
	own := map[string]bool{}
	for _, r := range a.resources.All() {
		if r.Tags[stackTagID] == s.ID || own[r.VPC] {
			own[r.ID] = true
		}
	}
	for _, r := range a.resources.All() {
		if own[r.ID] || own[r.VPC] {
			if err := a.resources.Delete(r.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

const stackTagID = "aws:cloudformation:stack-id"

// ready finishes, once, what an engine that was ended in the middle of it has
// left, and has no other stack change meanwhile. The caller unlocks changing.
func (a *api) ready(ctx context.Context) error {
	a.changing.Lock()
	if a.resumed {
		return nil
	}
	for _, s := range a.stacks.All() {
		change, inProgress := strings.CutSuffix(s.Status, "_IN_PROGRESS")
		if !inProgress {
			continue
		}
		var err error
		switch change {
		case "UPDATE":
			var cluster string
			var count int
			var each plimsoll.Resources
			if cluster, count, each, err = s.wants(); err == nil {
				err = a.o.Hosts.SetHosts(ctx, cluster, s.group(), count, each)
			}
		case "CREATE":
			err = errors.Join(errors.New("the engine ended while the stack was created"), a.clear(ctx, &s))
		default:
			if err = a.clear(ctx, &s); err == nil {
				s.Deleted = a.o.Now().UTC()
			}
		}
		a.settle(&s, change, err)
		if err := a.stacks.Put(s.ID, s); err != nil {
			return err
		}
	}
	a.resumed = true
	return nil
}

// group is the name of the stack's hosts.
func (s *stack) group() string { return "stack-" + s.Name }

func (a *api) haveCluster(name string) error {
	found := false
	a.o.Engine.Read(func(v engine.View) {
		c, ok := v.Cluster(name)
		found = ok && c.Status == "ACTIVE"
	})
	if !found {
		return invalidStack("the parameter %s is %q: there is no such cluster", parameterCluster, name)
	}
	return nil
}

// settle ends a change of a stack: as a rollback, if it has failed.
func (a *api) settle(s *stack, change string, err error) {
	now := a.o.Now().UTC()
	if err == nil {
		s.put(stackResource{"EcsInstanceAsg", s.Name + "-EcsInstanceAsg", "AWS::AutoScaling::AutoScalingGroup", change + "_COMPLETE", now})
		s.become(change+"_COMPLETE", "", now)
		return
	}
	s.put(stackResource{"EcsInstanceAsg", "", "AWS::AutoScaling::AutoScalingGroup", change + "_FAILED", now})
	s.say("EcsInstanceAsg", "", "AWS::AutoScaling::AutoScalingGroup", change+"_FAILED", err.Error(), now)
	failed := map[string]string{"CREATE": "ROLLBACK_COMPLETE", "UPDATE": "UPDATE_ROLLBACK_COMPLETE", "DELETE": "DELETE_FAILED"}
	s.become(failed[change], err.Error(), now)
}

// put notes a resource, in place of the one of the same name.
func (s *stack) put(r stackResource) {
	s.Resources = slices.DeleteFunc(slices.Clone(s.Resources), func(o stackResource) bool { return o.Logical == r.Logical })
	s.Resources = append(s.Resources, r)
	if r.Physical != "" {
		s.say(r.Logical, r.Physical, r.Type, r.Status, "", r.At)
	}
}

// makeNetworkOf makes the records of a stack's own network, unless it is told to
// use one that is there.
func (a *api) makeNetworkOf(s *stack) error {
	if s.Parameters[parameterVPC] != "" {
		return nil
	}
	if err := a.ensureNetwork(); err != nil {
		return err
	}
	now := a.o.Now().UTC()
	tags := map[string]string{"Name": "ECS " + s.Name, "aws:cloudformation:stack-name": s.Name, stackTagID: s.ID}
	vpc, err := a.add(kindVPC, resource{CIDR: "10.0.0.0/16", Tags: tags})
	if err != nil {
		return err
	}
	s.put(stackResource{"Vpc", vpc.ID, "AWS::EC2::VPC", "CREATE_COMPLETE", now})
	for i, zone := range a.zones()[:2] {
		subnet, err := a.newSubnet(vpc.ID, fmt.Sprintf("10.0.%d.0/24", i), zone, tags)
		if err != nil {
			return err
		}
		s.put(stackResource{fmt.Sprintf("PubSubnetAz%d", i+1), subnet.ID, "AWS::EC2::Subnet", "CREATE_COMPLETE", now})
	}
	group, err := a.newGroup(s.Name+"-EcsSecurityGroup", "ECS Allowed Ports", vpc.ID, tags)
	if err != nil {
		return err
	}
	s.put(stackResource{"EcsSecurityGroup", group.ID, "AWS::EC2::SecurityGroup", "CREATE_COMPLETE", now})
	return a.stacks.Put(s.ID, *s)
}

func (a *api) updateStack(ctx context.Context, _ *awsapi.Call, in *putStackInput) (*putStackOutput, error) {
	err := a.ready(ctx)
	defer a.changing.Unlock()
	if err != nil {
		return nil, err
	}
	s, err := a.findStack(value(in.StackName))
	if err != nil {
		return nil, err
	}
	if !s.Deleted.IsZero() || strings.HasPrefix(s.Status, "ROLLBACK") {
		return nil, invalidStack("Stack:%s is in %s state and can not be updated.", s.ID, s.Status)
	}
	if value(in.TemplateBody)+value(in.TemplateURL) == "" && !in.UsePreviousTemplate {
		return nil, invalidStack("Either Template URL or Template Body must be specified.")
	}
	before := s.Parameters
	if s.Parameters, err = withParameters(before, in.Parameters); err != nil {
		return nil, err
	}
	if body := value(in.TemplateBody); !changedMap(before, s.Parameters) && (body == "" || body == s.Template) {
		return nil, invalidStack("No updates are to be performed.")
	}
	if s.Parameters[parameterCluster] != before[parameterCluster] {
		return nil, invalidStack("the parameter %s cannot be changed from %q: make another stack", parameterCluster, before[parameterCluster])
	}
	cluster, count, each, err := s.wants()
	if err != nil {
		return nil, err
	}
	now := a.o.Now().UTC()
	s.Updated = now
	if value(in.TemplateBody) != "" {
		s.Template = *in.TemplateBody
	}
	s.become("UPDATE_IN_PROGRESS", "User Initiated", now)
	if err := a.stacks.Put(s.ID, s); err != nil {
		return nil, err
	}
	err = a.o.Hosts.SetHosts(ctx, cluster, s.group(), count, each)
	if err != nil {
		s.Parameters = before
	}
	a.settle(&s, "UPDATE", err)
	return &putStackOutput{StackId: &s.ID}, a.stacks.Put(s.ID, s)
}

func changedMap(a, b map[string]string) bool {
	if len(a) != len(b) {
		return true
	}
	for key, text := range a {
		if got, ok := b[key]; !ok || got != text {
			return true
		}
	}
	return false
}

type deleteStackInput struct {
	StackName, RoleARN, ClientRequestToken, DeletionMode *string
	RetainResources                                      []string
}

type deleteStackOutput struct{}

func (a *api) deleteStack(ctx context.Context, _ *awsapi.Call, in *deleteStackInput) (*deleteStackOutput, error) {
	err := a.ready(ctx)
	defer a.changing.Unlock()
	if err != nil {
		return nil, err
	}
	s, err := a.findStack(value(in.StackName))
	if err != nil || !s.Deleted.IsZero() {
		return &deleteStackOutput{}, nil // as CloudFormation has it
	}
	if len(in.RetainResources) > 0 {
		return nil, invalidStack("RetainResources is not supported by this engine")
	}
	now := a.o.Now().UTC()
	s.become("DELETE_IN_PROGRESS", "User Initiated", now)
	if err := a.stacks.Put(s.ID, s); err != nil {
		return nil, err
	}
	if err = a.clear(ctx, &s); err == nil {
		s.Deleted = now
	}
	a.settle(&s, "DELETE", err)
	if err := a.stacks.Put(s.ID, s); err != nil {
		return nil, err
	}
	return &deleteStackOutput{}, a.forgetStacks()
}

// forgetStacks keeps the newest of the deleted stacks only.
func (a *api) forgetStacks() error {
	gone := slices.DeleteFunc(a.stacks.All(), func(s stack) bool { return s.Deleted.IsZero() })
	slices.SortFunc(gone, func(x, y stack) int { return x.Deleted.Compare(y.Deleted) })
	for _, s := range gone[:max(0, len(gone)-keptDeleted)] {
		if err := a.stacks.Delete(s.ID); err != nil {
			return err
		}
	}
	return nil
}
