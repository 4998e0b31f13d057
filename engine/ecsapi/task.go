package ecsapi

import (
	"cmp"
	"context"
	"fmt"
	"hash/crc32"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// taskFilter is what ListTasks asks for; empty fields ask for nothing.
type taskFilter struct {
	service, family, instance, startedBy string
	launchType, desired                  string
}

func (f taskFilter) matches(t *engine.Task) bool {
	return (f.service == "" || t.Service == f.service) &&
		(f.family == "" || t.Family == f.family) &&
		(f.instance == "" || t.ContainerInstance == f.instance) &&
		(f.startedBy == "" || t.StartedBy == f.startedBy) &&
		(f.launchType == "" || t.LaunchType == f.launchType) &&
		string(t.DesiredStatus) == f.desired
}

func (a *api) listTasks(_ context.Context, _ *awsapi.Call, in *ecs.ListTasksInput) (*ecs.ListTasksOutput, error) {
	if value(in.DaemonName) != "" {
		return nil, awsapi.Refuse(codeInvalid, "daemonName is not supported by this engine.")
	}
	desired := in.DesiredStatus
	if desired == "" {
		desired = types.DesiredStatusRunning
	}
	if !slices.Contains(desired.Values(), desired) {
		return nil, awsapi.Refuse(codeInvalid, "desiredStatus %q is invalid: %v are allowed.", desired, desired.Values())
	}
	if l := in.LaunchType; l != "" && !slices.Contains(l.Values(), l) {
		return nil, awsapi.Refuse(codeInvalid, "launchType %q is invalid: %v are allowed.", l, l.Values())
	}
	out := &ecs.ListTasksOutput{TaskArns: []string{}}
	err := a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		f, err := newTaskFilter(v, c, in)
		if err != nil {
			return err
		}
		f.desired = string(desired)
		p := awsapi.Paging{List: fmt.Sprintf("ListTasks %q %+v", c.Name, f)}
		got, next, err := pageFrom(f.tasks(v, c.Name), taskKey, p, in.MaxResults, 100, in.NextToken)
		if err != nil {
			return err
		}
		out.TaskArns = make([]string, len(got))
		for i, t := range got {
			out.TaskArns[i] = t.ARN
		}
		out.NextToken = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// newTaskFilter finds what ListTasks names, but for the desired status.
func newTaskFilter(v engine.View, c *engine.Cluster, in *ecs.ListTasksInput) (taskFilter, error) {
	f := taskFilter{family: value(in.Family), startedBy: value(in.StartedBy), launchType: string(in.LaunchType)}
	if name := value(in.ServiceName); name != "" {
		s, ok := v.Service(c.Name, name)
		if !ok {
			return f, awsapi.Refuse(codeServiceNotFound, "Service not found.")
		}
		f.service = s.Name
	}
	if name := value(in.ContainerInstance); name != "" {
		i, ok := v.Instance(c.Name, name)
		if !ok {
			return f, awsapi.Refuse(codeInvalid, "Container instance %q not found in the cluster %q.", name, c.Name)
		}
		f.instance = i.ARN
	}
	return f, nil
}

// tasks gives what the filter lets through after a key of taskKey.
func (f taskFilter) tasks(v engine.View, cluster string) func(after string) (iter.Seq[*engine.Task], error) {
	return func(after string) (iter.Seq[*engine.Task], error) {
		seq, err := strconv.ParseUint(cmp.Or(after, "0"), 10, 64)
		if err != nil {
			return nil, awsapi.ErrBadToken
		}
		tasks := v.TasksAfter(cluster, seq)
		if f.service != "" && f.desired == string(types.DesiredStatusRunning) {
			tasks = v.ServiceTasksAfter(cluster, f.service, seq) // the stopped ones are not asked for
		}
		return func(yield func(*engine.Task) bool) {
			for t := range tasks {
				if f.matches(t) && !yield(t) {
					return
				}
			}
		}, nil
	}
}

func taskKey(t *engine.Task) string { return strconv.FormatUint(t.Seq, 10) }

func (a *api) describeTasks(_ context.Context, _ *awsapi.Call, in *ecs.DescribeTasksInput) (*ecs.DescribeTasksOutput, error) {
	if err := count("Tasks", in.Tasks, 100); err != nil {
		return nil, err
	}
	out := &ecs.DescribeTasksOutput{Tasks: []types.Task{}, Failures: []types.Failure{}}
	withTags := slices.Contains(in.Include, types.TaskFieldTags)
	err := a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		for _, name := range in.Tasks {
			if t, ok := v.Task(c.Name, name); ok {
				out.Tasks = append(out.Tasks, taskOut(v, t, withTags))
			} else {
				out.Failures = append(out.Failures, missing(arnOf(v, "task", c.Name, name)))
			}
		}
		return nil
	})
	return out, err
}

// taskOut is a task as the wire has it.
func taskOut(v engine.View, t *engine.Task, withTags bool) types.Task {
	out := types.Task{
		TaskArn: &t.ARN, TaskDefinitionArn: &t.TaskDefinition, ClusterArn: of(arnOf(v, "cluster", "", t.Cluster)),
		ContainerInstanceArn: optional(t.ContainerInstance), AvailabilityZone: optional(t.Zone),
		Group: optional(group(t)), StartedBy: optional(startedBy(t)), LaunchType: types.LaunchType(t.LaunchType),
		LastStatus: of(string(t.LastStatus)), DesiredStatus: of(string(t.DesiredStatus)),
		PullStartedAt: moment(t.PullStartedAt), PullStoppedAt: moment(t.PullStoppedAt), Version: t.Version,
		Cpu: of(strconv.FormatInt(t.Reserved.CPU, 10)), Memory: of(strconv.FormatInt(t.Reserved.Memory, 10)),
		CreatedAt: moment(t.CreatedAt), StartedAt: moment(t.StartedAt), StoppingAt: moment(t.StoppingAt),
		ExecutionStoppedAt: moment(t.ExecutionStopAt), StoppedAt: moment(t.StoppedAt),
		StopCode: types.TaskStopCode(t.StopCode), StoppedReason: optional(t.StoppedReason),
		Overrides: overrideOut(t.Override), Attachments: []types.Attachment{}, Attributes: []types.Attribute{},
		Tags:       []types.Tag{},
		Containers: make([]types.Container, 0, len(t.Containers)),
	}
	out.CapacityProviderName = optional(t.CapacityProvider)
	if i, ok := v.Instance(t.Cluster, t.ContainerInstance); ok {
		if architecture := i.Attributes[engine.AttributeArchitecture]; architecture != "" {
			out.Attributes = append(out.Attributes, types.Attribute{Name: of(engine.AttributeArchitecture), Value: &architecture})
		}
	}
	if !t.PlacedAt.IsZero() {
		out.Connectivity, out.ConnectivityAt = types.ConnectivityConnected, moment(t.PlacedAt)
	}
	if withTags {
		out.Tags = tagsOut(t.Tags)
	}
	d, _ := definitionOf(v, t)
	out.HealthStatus = types.HealthStatus(t.Health(d))
	for i := range t.Containers {
		out.Containers = append(out.Containers, containerOut(t, &t.Containers[i], d))
	}
	return out
}

func group(t *engine.Task) string {
	if t.Group == "" && t.Service != "" {
		return "service:" + t.Service
	}
	return t.Group
}

// startedBy is, for a task of a service, the deployment that it came from.
func startedBy(t *engine.Task) string {
	if t.StartedBy == "" {
		return t.Deployment
	}
	return t.StartedBy
}

func containerOut(t *engine.Task, c *engine.Container, d *engine.TaskDefinition) types.Container {
	out := types.Container{
		ContainerArn: &c.ARN, TaskArn: &t.ARN, Name: &c.Name, Image: optional(c.Image),
		LastStatus: of(string(c.LastStatus)), Reason: optional(c.Reason), HealthStatus: types.HealthStatusUnknown,
		NetworkBindings: []types.NetworkBinding{}, NetworkInterfaces: []types.NetworkInterface{}, Cpu: of("0"),
	}
	if c.Health != "" {
		out.HealthStatus = types.HealthStatus(c.Health)
	}
	if c.ExitCode != nil {
		out.ExitCode = of(int32(*c.ExitCode))
	}
	if !t.PlacedAt.IsZero() {
		out.RuntimeId = of(runtimeID(t, c.Name))
	}
	for i := range c.Bindings {
		b := &c.Bindings[i]
		out.NetworkBindings = append(out.NetworkBindings, types.NetworkBinding{
			BindIP: optional(b.Address), ContainerPort: of(int32(b.ContainerPort)), HostPort: of(int32(b.HostPort)),
			Protocol: types.TransportProtocol(b.Protocol),
		})
	}
	if d == nil {
		return out
	}
	for _, defined := range d.Containers {
		if defined.Name != c.Name {
			continue
		}
		out.Cpu = of(strconv.FormatInt(defined.CPU, 10))
		if defined.Memory > 0 {
			out.Memory = of(strconv.FormatInt(defined.Memory, 10))
		}
		if defined.MemoryReservation > 0 {
			out.MemoryReservation = of(strconv.FormatInt(defined.MemoryReservation, 10))
		}
	}
	return out
}

// runtimeID names a container of a task the same way for as long as it is known.
func runtimeID(t *engine.Task, container string) string {
	return fmt.Sprintf("%s-%010d", t.ID, crc32.ChecksumIEEE([]byte(container)))
}

// moment is a time of a task's life; nil if it has not come.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// live tells whether the task has not stopped.
func live(t *engine.Task) bool { return t.LastStatus != plimsoll.StatusStopped }
