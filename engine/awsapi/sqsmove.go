package awsapi

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll/engine/queue"
)

// maxMoveTasks is the most tasks that ListMessageMoveTasks gives.
const maxMoveTasks = 10

func (s *sqsService) startMessageMoveTask(_ context.Context, call *Call, in *sqs.StartMessageMoveTaskInput) (*sqs.StartMessageMoveTaskOutput, error) {
	if in.SourceArn == nil {
		return nil, sqsMissing("SourceArn")
	}
	source, destination := queueOfARN(call, *in.SourceArn), ""
	if in.DestinationArn != nil {
		if destination = queueOfARN(call, *in.DestinationArn); destination == "" {
			return nil, noResource("DestinationArn")
		}
	}
	rate := 0
	if in.MaxNumberOfMessagesPerSecond != nil {
		if rate = int(*in.MaxNumberOfMessagesPerSecond); rate < 1 {
			return nil, sqsInvalid("MaxNumberOfMessagesPerSecond", rate, "Must be from 1 to 500.")
		}
	}
	handle, err := s.queues.StartMove(source, destination, rate)
	if err != nil {
		return nil, sqsError(err)
	}
	return &sqs.StartMessageMoveTaskOutput{TaskHandle: &handle}, nil
}

func noResource(parameter string) error {
	return sqsError(&queue.Error{
		Code: "ResourceNotFoundException", Message: "The resource that you specified for the " + parameter + " parameter doesn't exist.",
	})
}

func (s *sqsService) listMessageMoveTasks(_ context.Context, call *Call, in *sqs.ListMessageMoveTasksInput) (*sqs.ListMessageMoveTasksOutput, error) {
	if in.SourceArn == nil {
		return nil, sqsMissing("SourceArn")
	}
	most := 1
	if in.MaxResults != nil {
		most = int(*in.MaxResults)
	}
	if most < 1 || most > maxMoveTasks {
		return nil, sqsInvalid("MaxResults", most, "Must be from 1 to 10.")
	}
	moves, err := s.queues.Moves(queueOfARN(call, *in.SourceArn))
	if err != nil {
		return nil, sqsError(err)
	}
	out := &sqs.ListMessageMoveTasksOutput{}
	for _, m := range moves[:min(most, len(moves))] {
		out.Results = append(out.Results, moveOut(call, m))
	}
	return out, nil
}

func moveOut(call *Call, m queue.Move) types.ListMessageMoveTasksResultEntry {
	total := int64(m.Total)
	out := types.ListMessageMoveTasksResultEntry{
		Status: &m.Status, SourceArn: text(queueARN(call, m.Source)), StartedTimestamp: m.Started.UnixMilli(),
		ApproximateNumberOfMessagesMoved: int64(m.Moved), ApproximateNumberOfMessagesToMove: &total,
		FailureReason: text(m.Failure),
	}
	if m.Status == queue.MoveRunning {
		out.TaskHandle = &m.Handle
	}
	if m.Destination != "" {
		out.DestinationArn = text(queueARN(call, m.Destination))
	}
	if m.Rate > 0 {
		rate := int32(m.Rate) // at most 500
		out.MaxNumberOfMessagesPerSecond = &rate
	}
	return out
}

func (s *sqsService) cancelMessageMoveTask(_ context.Context, _ *Call, in *sqs.CancelMessageMoveTaskInput) (*sqs.CancelMessageMoveTaskOutput, error) {
	if in.TaskHandle == nil {
		return nil, sqsMissing("TaskHandle")
	}
	moved, err := s.queues.CancelMove(*in.TaskHandle)
	if err != nil {
		return nil, sqsError(err)
	}
	return &sqs.CancelMessageMoveTaskOutput{ApproximateNumberOfMessagesMoved: int64(moved)}, nil
}
