package awsapi

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll/engine/queue"
)

const (
	maxBatch      = 10      // entries
	maxBatchBytes = 1 << 20 // bodies and attributes together
	maxVisibility = 43200   // seconds
	maxWait       = 20      // seconds
)

func (s *sqsService) sendMessage(_ context.Context, call *Call, in *sqs.SendMessageInput) (*sqs.SendMessageOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err != nil {
		return nil, err
	}
	draft, err := newDraft(call, in.MessageBody, in.DelaySeconds, call.Given("DelaySeconds"),
		in.MessageAttributes, in.MessageSystemAttributes)
	if err != nil {
		return nil, err
	}
	draft.Group, draft.Deduplication = deref(in.MessageGroupId), deref(in.MessageDeduplicationId)
	results, err := s.queues.Send(name, []queue.Draft{draft})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return nil, sqsError(err)
	}
	m := results[0].Message
	return &sqs.SendMessageOutput{
		MessageId: &m.ID, MD5OfMessageBody: text(queue.BodyMD5(m.Body)),
		MD5OfMessageAttributes:       text(queue.AttributesMD5(m.Attributes)),
		MD5OfMessageSystemAttributes: text(queue.AttributesMD5(m.System)),
		SequenceNumber:               sequenceNumber(m),
	}, nil
}

// sequenceNumber is a FIFO message's place in the order; nil for another.
func sequenceNumber(m *queue.Message) *string {
	if m.Deduplication == "" {
		return nil
	}
	return text(fmt.Sprintf("%020d", m.Sequence))
}

func (s *sqsService) sendMessageBatch(_ context.Context, call *Call, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err == nil {
		err = checkBatch(in.Entries, func(e types.SendMessageBatchRequestEntry) *string { return e.Id })
	}
	if err != nil {
		return nil, err
	}
	var drafts []queue.Draft
	out := &sqs.SendMessageBatchOutput{Successful: []types.SendMessageBatchResultEntry{}}
	var ids []*string
	total := 0
	for i, e := range in.Entries {
		draft, err := newDraft(call, e.MessageBody, e.DelaySeconds, call.Given("Entries", i, "DelaySeconds"),
			e.MessageAttributes, e.MessageSystemAttributes)
		if err != nil {
			out.Failed = append(out.Failed, failed(e.Id, err))
			continue
		}
		draft.Group, draft.Deduplication = deref(e.MessageGroupId), deref(e.MessageDeduplicationId)
		total += draft.Size()
		drafts, ids = append(drafts, draft), append(ids, e.Id)
	}
	if total > maxBatchBytes {
		return nil, sqsError(&queue.Error{
			Code: "BatchRequestTooLong",
			Message: fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.",
				maxBatchBytes, total),
		})
	}
	results, err := s.queues.Send(name, drafts)
	if err != nil {
		return nil, sqsError(err)
	}
	for i, r := range results {
		if r.Err != nil {
			out.Failed = append(out.Failed, failed(ids[i], r.Err))
			continue
		}
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{
			Id: ids[i], MessageId: &r.ID, MD5OfMessageBody: text(queue.BodyMD5(r.Body)),
			MD5OfMessageAttributes:       text(queue.AttributesMD5(r.Attributes)),
			MD5OfMessageSystemAttributes: text(queue.AttributesMD5(r.System)),
			SequenceNumber:               sequenceNumber(r.Message),
		})
	}
	return out, nil
}

// newDraft makes a draft of what came over the wire.
func newDraft(call *Call, body *string, delay int32, delayed bool,
	attributes map[string]types.MessageAttributeValue, system map[string]types.MessageSystemAttributeValue,
) (queue.Draft, error) {
	d := queue.Draft{Sender: call.UserID}
	if body != nil {
		d.Body = *body
	}
	if delayed {
		seconds := time.Duration(delay) * time.Second
		d.Delay = &seconds
	}
	for name, a := range attributes {
		if len(a.StringListValues) > 0 || len(a.BinaryListValues) > 0 {
			return d, sqsError(&queue.Error{
				Code:    "UnsupportedOperation",
				Message: fmt.Sprintf("The message attribute %q has a list of values, which SQS does not implement.", name),
			})
		}
		if d.Attributes == nil {
			d.Attributes = map[string]queue.Attribute{}
		}
		d.Attributes[name] = queue.Attribute{DataType: deref(a.DataType), String: deref(a.StringValue), Binary: a.BinaryValue}
	}
	for name, a := range system {
		if d.System == nil {
			d.System = map[string]queue.Attribute{}
		}
		d.System[name] = queue.Attribute{DataType: deref(a.DataType), String: deref(a.StringValue), Binary: a.BinaryValue}
	}
	return d, nil
}

func (s *sqsService) receiveMessage(ctx context.Context, call *Call, in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err != nil {
		return nil, err
	}
	r := queue.Receive{Max: 1, Attempt: deref(in.ReceiveRequestAttemptId)}
	if r.Attempt != "" && (!queue.IsID(r.Attempt) || !queue.IsFIFO(name)) {
		return nil, sqsInvalid("ReceiveRequestAttemptId", r.Attempt, "Only FIFO queues have it. "+
			"Can only include alphanumeric and punctuation characters. 1 to 128 in length.")
	}
	if call.Given("MaxNumberOfMessages") {
		r.Max = int(in.MaxNumberOfMessages)
	}
	if r.Max < 1 || r.Max > maxBatch {
		return nil, sqsInvalid("MaxNumberOfMessages", r.Max, "Must be between 1 and 10, if provided.")
	}
	if call.Given("VisibilityTimeout") {
		r.Visibility, err = seconds("VisibilityTimeout", in.VisibilityTimeout, maxVisibility)
	}
	if call.Given("WaitTimeSeconds") && err == nil {
		r.Wait, err = seconds("WaitTimeSeconds", in.WaitTimeSeconds, maxWait)
	}
	if err != nil {
		return nil, err
	}
	received, err := s.queues.Receive(ctx, name, r)
	if err != nil {
		return nil, sqsError(err)
	}
	out := &sqs.ReceiveMessageOutput{}
	for _, m := range received {
		out.Messages = append(out.Messages, messageOut(call, m, in))
	}
	return out, nil
}

// messageOut is a message with as much beside the body as was asked for.
func messageOut(call *Call, m queue.Received, in *sqs.ReceiveMessageInput) types.Message {
	out := types.Message{
		MessageId: &m.ID, ReceiptHandle: &m.Handle, Body: &m.Body, MD5OfBody: text(queue.BodyMD5(m.Body)),
	}
	//lint:ignore SA1019 older clients send the parameter under this name
	for _, name := range in.AttributeNames {
		showSystem(&out, call, m, string(name))
	}
	for _, name := range in.MessageSystemAttributeNames {
		showSystem(&out, call, m, string(name))
	}
	shown := map[string]queue.Attribute{}
	for name, a := range m.Attributes {
		if !selects(in.MessageAttributeNames, name) {
			continue
		}
		if out.MessageAttributes == nil {
			out.MessageAttributes = map[string]types.MessageAttributeValue{}
		}
		value := types.MessageAttributeValue{DataType: text(a.DataType), StringValue: text(a.String)}
		if a.String == "" {
			value.BinaryValue = a.Binary
		}
		out.MessageAttributes[name], shown[name] = value, a
	}
	out.MD5OfMessageAttributes = text(queue.AttributesMD5(shown))
	return out
}

// showSystem adds a system attribute to a message, or all it has.
func showSystem(out *types.Message, call *Call, m queue.Received, name string) {
	value := ""
	switch types.MessageSystemAttributeName(name) {
	case types.MessageSystemAttributeNameAll:
		for _, each := range types.MessageSystemAttributeName("").Values() {
			if each != types.MessageSystemAttributeNameAll {
				showSystem(out, call, m, string(each))
			}
		}
	case types.MessageSystemAttributeNameSenderId:
		value = m.Sender
	case types.MessageSystemAttributeNameSentTimestamp:
		value = strconv.FormatInt(m.Sent.UnixMilli(), 10)
	case types.MessageSystemAttributeNameApproximateReceiveCount:
		value = strconv.Itoa(m.Count)
	case types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp:
		value = strconv.FormatInt(m.First.UnixMilli(), 10)
	case types.MessageSystemAttributeNameSequenceNumber:
		value = deref(sequenceNumber(m.Message))
	case types.MessageSystemAttributeNameMessageDeduplicationId:
		value = m.Deduplication
	case types.MessageSystemAttributeNameMessageGroupId:
		value = m.Group
	case types.MessageSystemAttributeNameAWSTraceHeader:
		value = m.System[name].String
	case types.MessageSystemAttributeNameDeadLetterQueueSourceArn:
		if m.DeadFrom != "" {
			value = queueARN(call, m.DeadFrom)
		}
	}
	if value == "" {
		return
	}
	if out.Attributes == nil {
		out.Attributes = map[string]string{}
	}
	out.Attributes[name] = value
}

// selects tells whether one of the names asked for means the attribute: its
// name, "All", ".*", or the beginning of its name and ".*".
func selects(names []string, attribute string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		prefix, wild := strings.CutSuffix(name, ".*")
		return name == attribute || name == "All" || wild && strings.HasPrefix(attribute, prefix)
	})
}

func (s *sqsService) deleteMessage(_ context.Context, call *Call, in *sqs.DeleteMessageInput) (*sqs.DeleteMessageOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if in.ReceiptHandle == nil {
		return nil, sqsMissing("ReceiptHandle")
	}
	refusals, err := s.queues.Remove(name, []string{*in.ReceiptHandle})
	if err == nil {
		err = refusals[0]
	}
	return &sqs.DeleteMessageOutput{}, sqsError(err)
}

func (s *sqsService) deleteMessageBatch(_ context.Context, call *Call, in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err == nil {
		err = checkBatch(in.Entries, func(e types.DeleteMessageBatchRequestEntry) *string { return e.Id })
	}
	if err != nil {
		return nil, err
	}
	handles := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		handles[i] = deref(e.ReceiptHandle)
	}
	refusals, err := s.queues.Remove(name, handles)
	if err != nil {
		return nil, sqsError(err)
	}
	out := &sqs.DeleteMessageBatchOutput{Successful: []types.DeleteMessageBatchResultEntry{}}
	for i, refusal := range refusals {
		if refusal != nil {
			out.Failed = append(out.Failed, failed(in.Entries[i].Id, refusal))
		} else {
			out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: in.Entries[i].Id})
		}
	}
	return out, nil
}

func (s *sqsService) changeMessageVisibility(_ context.Context, call *Call, in *sqs.ChangeMessageVisibilityInput) (*sqs.ChangeMessageVisibilityOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if in.ReceiptHandle == nil {
		return nil, sqsMissing("ReceiptHandle")
	}
	if !call.Given("VisibilityTimeout") {
		return nil, sqsMissing("VisibilityTimeout")
	}
	refusals, err := s.queues.ChangeVisibility(name, []queue.Hide{{
		Handle: *in.ReceiptHandle, Visibility: time.Duration(in.VisibilityTimeout) * time.Second,
	}})
	if err == nil {
		err = refusals[0]
	}
	return &sqs.ChangeMessageVisibilityOutput{}, sqsError(err)
}

func (s *sqsService) changeMessageVisibilityBatch(_ context.Context, call *Call, in *sqs.ChangeMessageVisibilityBatchInput) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err == nil {
		err = checkBatch(in.Entries, func(e types.ChangeMessageVisibilityBatchRequestEntry) *string { return e.Id })
	}
	if err != nil {
		return nil, err
	}
	changes := make([]queue.Hide, len(in.Entries))
	for i, e := range in.Entries {
		changes[i] = queue.Hide{Handle: deref(e.ReceiptHandle), Visibility: time.Duration(e.VisibilityTimeout) * time.Second}
	}
	refusals, err := s.queues.ChangeVisibility(name, changes)
	if err != nil {
		return nil, sqsError(err)
	}
	out := &sqs.ChangeMessageVisibilityBatchOutput{Successful: []types.ChangeMessageVisibilityBatchResultEntry{}}
	for i, refusal := range refusals {
		if refusal != nil {
			out.Failed = append(out.Failed, failed(in.Entries[i].Id, refusal))
		} else {
			out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: in.Entries[i].Id})
		}
	}
	return out, nil
}

// checkBatch refuses what is wrong with a batch as a whole.
func checkBatch[E any](entries []E, id func(E) *string) error {
	refuse := func(code, format string, args ...any) error {
		return sqsError(&queue.Error{Code: code, Message: fmt.Sprintf(format, args...)})
	}
	if len(entries) == 0 {
		return refuse("EmptyBatchRequest", "There should be at least one entry in the request.")
	}
	if len(entries) > maxBatch {
		return refuse("TooManyEntriesInBatchRequest",
			"Maximum number of entries per request are %d. You have sent %d.", maxBatch, len(entries))
	}
	seen := map[string]bool{}
	for _, e := range entries {
		name := deref(id(e))
		if !queue.IsEntryID(name) {
			return refuse("InvalidBatchEntryId", "The batch entry id %q is invalid. "+
				"A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.", name)
		}
		if seen[name] {
			return refuse("BatchEntryIdsNotDistinct", "Id %s repeated.", name)
		}
		seen[name] = true
	}
	return nil
}

func failed(id *string, err error) types.BatchResultErrorEntry {
	code, sender := sqsFault(err)
	message := err.Error()
	if e, ok := sqsError(err).(*Error); ok {
		message = e.Message
	}
	return types.BatchResultErrorEntry{Id: id, Code: &code, Message: &message, SenderFault: sender}
}

func seconds(parameter string, n int32, most int) (*time.Duration, error) {
	if n < 0 || int(n) > most {
		return nil, sqsInvalid(parameter, n, fmt.Sprintf("Must be >= 0 and <= %d, if provided.", most))
	}
	d := time.Duration(n) * time.Second
	return &d, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// text is a pointer to s, nil for the empty text.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
