package ecsapi

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// What an agent reports is acknowledged and changes nothing: the engine itself
// is the only agent, and knows its tasks from what runs them.

const acknowledged = "ACK"

// heard checks that a report is of something that is there.
func (a *api) heard(cluster, task *string) (*string, error) {
	err := a.withCluster(cluster, func(v engine.View, c *engine.Cluster) error {
		if _, ok := v.Task(c.Name, value(task)); task != nil && !ok {
			return awsapi.Refuse(codeInvalid, "The referenced task was not found.")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return of(acknowledged), nil
}

func (a *api) submitTaskStateChange(_ context.Context, _ *awsapi.Call, in *ecs.SubmitTaskStateChangeInput) (*ecs.SubmitTaskStateChangeOutput, error) {
	ack, err := a.heard(in.Cluster, in.Task)
	return &ecs.SubmitTaskStateChangeOutput{Acknowledgment: ack}, err
}

func (a *api) submitContainerStateChange(_ context.Context, _ *awsapi.Call, in *ecs.SubmitContainerStateChangeInput) (*ecs.SubmitContainerStateChangeOutput, error) {
	ack, err := a.heard(in.Cluster, in.Task)
	return &ecs.SubmitContainerStateChangeOutput{Acknowledgment: ack}, err
}

func (a *api) submitAttachmentStateChanges(_ context.Context, _ *awsapi.Call, in *ecs.SubmitAttachmentStateChangesInput) (*ecs.SubmitAttachmentStateChangesOutput, error) {
	ack, err := a.heard(in.Cluster, nil)
	return &ecs.SubmitAttachmentStateChangesOutput{Acknowledgment: ack}, err
}

// updateContainerAgent finds every agent up to date: it is this program.
func (a *api) updateContainerAgent(_ context.Context, _ *awsapi.Call, in *ecs.UpdateContainerAgentInput) (*ecs.UpdateContainerAgentOutput, error) {
	return nil, a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		if _, ok := v.Instance(c.Name, value(in.ContainerInstance)); !ok {
			return awsapi.Refuse(codeInvalid, "Referenced container instance %s not found.", value(in.ContainerInstance))
		}
		return awsapi.Refuse("NoUpdateAvailableException", "There is no update available for your container agent: it is this engine.")
	})
}

// executeCommand is refused: there is no session service for a client to talk to.
func (a *api) executeCommand(_ context.Context, _ *awsapi.Call, in *ecs.ExecuteCommandInput) (*ecs.ExecuteCommandOutput, error) {
	return nil, a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		if _, ok := v.Task(c.Name, value(in.Task)); !ok {
			return awsapi.Refuse(codeInvalid, "The referenced task was not found.")
		}
		return awsapi.Refuse(codeInvalid, "ExecuteCommand is not supported by this engine: it has no Session Manager for the client to connect to. "+
			"Tasks run on this machine: use docker exec with the docker runtime, or run the command beside the task's process.")
	})
}

// listServicesByNamespace is always empty: no service is in a namespace, because
// service connect is refused.
func (a *api) listServicesByNamespace(_ context.Context, _ *awsapi.Call, in *ecs.ListServicesByNamespaceInput) (*ecs.ListServicesByNamespaceOutput, error) {
	if in.NextToken != nil {
		return nil, awsapi.Refuse(codeInvalid, "Invalid nextToken %q: this listing never has a second page.", *in.NextToken)
	}
	if n := in.MaxResults; n != nil && (*n < 1 || *n > 100) {
		return nil, awsapi.Refuse(codeInvalid, "maxResults %d is invalid: 1 to 100 is allowed.", *n)
	}
	return &ecs.ListServicesByNamespaceOutput{ServiceArns: []string{}}, nil
}
