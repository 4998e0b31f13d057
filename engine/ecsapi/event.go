package ecsapi

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/events"
	"plimsoll/engine/store"
)

// The detail types of ECS's events.
const (
	taskEvent       = "ECS Task State Change"
	instanceEvent   = "ECS Container Instance State Change"
	actionEvent     = "ECS Service Action"
	deploymentEvent = "ECS Deployment State Change"
)

// Outbox turns the engine's notices into ECS's events and keeps them with the
// engine's state: it is the daemon's Outbox. Notices of which no rule asks cost
// nothing.
type Outbox struct {
	*events.Outbox
	rules *events.Rules
	api   api
	log   *slog.Logger

	// What was told last, so that a change of which events say nothing is none.
	// Only Changed uses it.
	tasks       map[string]string // by ARN: what an event tells of its state
	instances   map[string]types.ContainerInstance
	deployments map[string]map[string]string // by service and id: the rollout's state
}

// NewOutbox makes the outbox over the delivery.
func NewOutbox(delivery *events.Outbox, rules *events.Rules, log *slog.Logger) *Outbox {
	return &Outbox{
		Outbox: delivery, rules: rules, log: log,
		api:   api{codec: awsapi.NewEventCodec(&types.UnknownUnionMember{}), version: defaultVersion, now: time.Now},
		tasks: map[string]string{}, instances: map[string]types.ContainerInstance{}, deployments: map[string]map[string]string{},
	}
}

// Changed implements daemon.Outbox.
func (o *Outbox) Changed(v engine.View, now time.Time, notices []engine.Notice) []store.Record {
	if !o.rules.Any() {
		clear(o.tasks)
		clear(o.instances)
		clear(o.deployments)
		return nil
	}
	wants := map[string]bool{}
	for _, kind := range []string{taskEvent, instanceEvent, actionEvent, deploymentEvent} {
		wants[kind] = o.rules.Wants(kind)
	}
	var list []events.Event
	touched := map[string]string{} // instances, by ARN: their clusters
	for _, n := range notices {
		switch n.Kind {
		case "task":
			t, ok := v.Task("", n.ARN)
			if !ok {
				delete(o.tasks, n.ARN)
				continue
			}
			if t.ContainerInstance != "" {
				touched[t.ContainerInstance] = t.Cluster
			}
			if wants[taskEvent] {
				list = o.task(list, v, t, now)
			}
		case "container-instance":
			touched[n.ARN] = clusterOfARN(n.ARN)
		case "service":
			if n.Message != "" && wants[actionEvent] {
				list = o.action(list, v, n, now)
			} else if n.Message == "" && wants[deploymentEvent] {
				list = o.rollouts(list, v, n, now)
			}
		}
	}
	if wants[instanceEvent] {
		for _, arn := range slices.Sorted(maps.Keys(touched)) {
			list = o.instance(list, v, touched[arn], arn, now)
		}
	}
	return o.Add(now, list)
}

// clusterOfARN is the cluster's name in the ARN of what belongs to it.
func clusterOfARN(arn string) string {
	parts := strings.Split(arn, "/")
	return parts[max(0, len(parts)-2)]
}

// describe adds the event of an entity's description. Beside that, an event has
// when the change was.
func (o *Outbox) describe(list []events.Event, kind, arn string, out any, now time.Time, more string) []events.Event {
	detail, err := o.api.codec.Encode(out)
	if err != nil {
		o.log.Error("an event has no form", "type", kind, "arn", arn, "error", err)
		return list
	}
	detail = fmt.Appendf(detail[:len(detail)-1], `,"updatedAt":%q%s}`, now.UTC().Format(eventTime), more)
	return append(list, events.Event{DetailType: kind, Resources: []string{arn}, Detail: detail})
}

const eventTime = "2006-01-02T15:04:05.000Z"

func (o *Outbox) task(list []events.Event, v engine.View, t *engine.Task, now time.Time) []events.Event {
	var told strings.Builder
	fmt.Fprintf(&told, "%s %s %s", t.LastStatus, t.DesiredStatus, t.ContainerInstance)
	for _, c := range t.Containers {
		fmt.Fprintf(&told, " %s %v", c.LastStatus, c.Bindings)
	}
	if o.tasks[t.ARN] == told.String() {
		return list
	}
	o.tasks[t.ARN] = told.String()
	if t.LastStatus == plimsoll.StatusStopped {
		delete(o.tasks, t.ARN) // it changes no more
	}
	return o.describe(list, taskEvent, t.ARN, taskOut(v, t, false), now, "")
}

func (o *Outbox) instance(list []events.Event, v engine.View, cluster, arn string, now time.Time) []events.Event {
	var out types.ContainerInstance
	last, known := o.instances[arn]
	if i, ok := v.Instance(cluster, arn); ok {
		out = o.api.instanceOut(v, i, hostPorts{}, false)
	} else {
		out = last
		out.ContainerInstanceArn, out.Status, out.AgentConnected = &arn, of(statusInactive), false
	}
	out.Version = 0
	if known && sameInstance(last, out) {
		return list
	}
	if value(out.Status) == statusInactive {
		delete(o.instances, arn)
	} else {
		o.instances[arn] = out
	}
	out.Version = o.Version() + int64(len(list))
	return o.describe(list, instanceEvent, arn, out, now, fmt.Sprintf(`,"clusterArn":%q`, arnOf(v, "cluster", "", cluster)))
}

const statusInactive = "INACTIVE"

func sameInstance(a, b types.ContainerInstance) bool {
	if value(a.Status) != value(b.Status) || a.RunningTasksCount != b.RunningTasksCount ||
		a.PendingTasksCount != b.PendingTasksCount || a.AgentConnected != b.AgentConnected {
		return false
	}
	return slices.EqualFunc(a.RemainingResources, b.RemainingResources, func(x, y types.Resource) bool {
		return x.IntegerValue == y.IntegerValue && slices.Equal(x.StringSetValue, y.StringSetValue)
	})
}

// actions are the service events that ECS tells of, by the words that their
// messages have.
var actions = []struct{ words, kind, name string }{
	{"has reached a steady state", "INFO", "SERVICE_STEADY_STATE"},
	{"was unable to place a task", "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE"},
	{"is unable to consistently start tasks", "WARN", "SERVICE_TASK_START_IMPAIRED"},
}

// action is what ECS calls a service action.
type action struct {
	EventType  string `json:"eventType"`
	EventName  string `json:"eventName"`
	ClusterARN string `json:"clusterArn"`
	CreatedAt  string `json:"createdAt"`
	Reason     string `json:"reason,omitempty"`
}

func (o *Outbox) action(list []events.Event, v engine.View, n engine.Notice, now time.Time) []events.Event {
	for _, a := range actions {
		if !strings.Contains(n.Message, a.words) {
			continue
		}
		detail := action{
			EventType: a.kind, EventName: a.name, ClusterARN: arnOf(v, "cluster", "", clusterOfARN(n.ARN)),
			CreatedAt: now.UTC().Format(eventTime),
		}
		if a.kind != "INFO" {
			detail.Reason = n.Message
		}
		return o.plain(list, actionEvent, n.ARN, detail)
	}
	return list
}

// rollout is a change of a deployment's state.
type rollout struct {
	EventType    string `json:"eventType"`
	EventName    string `json:"eventName"`
	DeploymentID string `json:"deploymentId"`
	UpdatedAt    string `json:"updatedAt"`
	Reason       string `json:"reason"`
}

func (o *Outbox) rollouts(list []events.Event, v engine.View, n engine.Notice, now time.Time) []events.Event {
	s, ok := v.Service(clusterOfARN(n.ARN), n.ARN)
	if !ok {
		return list
	}
	told := o.deployments[n.ARN]
	o.deployments[n.ARN] = map[string]string{}
	for _, d := range s.Deployments {
		o.deployments[n.ARN][d.ID] = d.RolloutState
		if d.RolloutState == "" || told[d.ID] == d.RolloutState {
			continue
		}
		kind := "INFO"
		if d.RolloutState == "FAILED" {
			kind = "ERROR"
		}
		list = o.plain(list, deploymentEvent, n.ARN, rollout{
			EventType: kind, EventName: "SERVICE_DEPLOYMENT_" + d.RolloutState, DeploymentID: d.ID,
			UpdatedAt: now.UTC().Format(eventTime),
			Reason:    "ECS deployment " + d.ID + " " + strings.ToLower(strings.ReplaceAll(d.RolloutState, "_", " ")) + ".",
		})
	}
	if s.Status == statusInactive {
		delete(o.deployments, n.ARN)
	}
	return list
}

func (o *Outbox) plain(list []events.Event, kind, arn string, detail any) []events.Event {
	text, err := json.Marshal(detail)
	if err != nil {
		o.log.Error("an event has no form", "type", kind, "arn", arn, "error", err)
		return list
	}
	return append(list, events.Event{DetailType: kind, Resources: []string{arn}, Detail: text})
}
