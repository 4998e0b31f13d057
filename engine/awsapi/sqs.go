package awsapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll/engine/queue"
)

// maxQueueList is the most and the usual number of queues on a page.
const maxQueueList = 1000

// SQS is the service of the queues given.
func SQS(queues *queue.Set) *Service {
	s := &sqsService{queues: queues}
	return &Service{
		Name: "sqs", Target: "AmazonSQS", JSONVersion: "1.0", Version: "2012-11-05",
		Namespace: "http://queue.amazonaws.com/doc/2012-11-05/", PathMember: "QueueUrl",
		ErrorPrefix: "com.amazonaws.sqs#", QueryCompatible: true,
		Codec: NewCodec(nil),
		Operations: []Operation{
			Op("CreateQueue", s.createQueue),
			Op("GetQueueUrl", s.getQueueURL),
			Op("ListQueues", s.listQueues),
			Op("DeleteQueue", s.deleteQueue),
			Op("GetQueueAttributes", s.getQueueAttributes),
			Op("SetQueueAttributes", s.setQueueAttributes),
			Op("PurgeQueue", s.purgeQueue),
			Op("SendMessage", s.sendMessage),
			Op("SendMessageBatch", s.sendMessageBatch),
			Op("ReceiveMessage", s.receiveMessage),
			Op("DeleteMessage", s.deleteMessage),
			Op("DeleteMessageBatch", s.deleteMessageBatch),
			Op("ChangeMessageVisibility", s.changeMessageVisibility),
			Op("ChangeMessageVisibilityBatch", s.changeMessageVisibilityBatch),
		},
	}
}

type sqsService struct{ queues *queue.Set }

// sqsQueryCodes are the names that errors of SQS had in the query protocol,
// where they differ; older error handling looks for them.
var sqsQueryCodes = map[string]string{
	"BatchEntryIdsNotDistinct":     "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
	"BatchRequestTooLong":          "AWS.SimpleQueueService.BatchRequestTooLong",
	"EmptyBatchRequest":            "AWS.SimpleQueueService.EmptyBatchRequest",
	"InvalidBatchEntryId":          "AWS.SimpleQueueService.InvalidBatchEntryId",
	"MessageNotInflight":           "AWS.SimpleQueueService.MessageNotInflight",
	"QueueDoesNotExist":            "AWS.SimpleQueueService.NonExistentQueue",
	"QueueNameExists":              "QueueAlreadyExists",
	"TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
	"UnsupportedOperation":         "AWS.SimpleQueueService.UnsupportedOperation",
}

// sqsError puts an error of the queues into the wire's words.
func sqsError(err error) error {
	var e *queue.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case "InvalidParameterValue":
		return &Error{Code: "InvalidParameterValueException", QueryCode: e.Code, Message: e.Message}
	case "MissingParameter":
		return &Error{Code: "MissingRequiredParameterException", QueryCode: e.Code, Message: e.Message}
	}
	return &Error{Code: e.Code, QueryCode: sqsQueryCodes[e.Code], Message: e.Message}
}

func sqsInvalid(parameter string, value any, reason string) error {
	return &Error{
		Code: "InvalidParameterValueException", QueryCode: "InvalidParameterValue",
		Message: fmt.Sprintf("Value %v for parameter %s is invalid. Reason: %s", value, parameter, reason),
	}
}

func sqsMissing(parameter string) error {
	return &Error{
		Code: "MissingRequiredParameterException", QueryCode: "MissingParameter",
		Message: "The request must contain the parameter " + parameter + ".",
	}
}

// queueURL is the URL of a queue under the name by which the client reached
// this endpoint.
func queueURL(call *Call, name string) *string {
	text := call.Endpoint + "/" + call.Account + "/" + name
	return &text
}

// queueName reads a queue's name out of its URL. The host is not looked at: the
// same endpoint has different names for different clients.
func queueName(call *Call, queueURL *string) (string, error) {
	if queueURL == nil || *queueURL == "" {
		return "", sqsMissing("QueueUrl")
	}
	u, err := url.Parse(*queueURL)
	if err != nil {
		return "", &Error{Code: "InvalidAddress", Message: fmt.Sprintf("The address %q is not valid for this endpoint.", *queueURL)}
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	name := parts[len(parts)-1]
	if len(parts) > 2 || len(parts) == 2 && parts[0] != call.Account {
		return "", sqsError(&queue.Error{
			Code:    "QueueDoesNotExist",
			Message: fmt.Sprintf("The specified queue %q does not exist: the queues here are %s.", *queueURL, *queueURLPattern(call)),
		})
	}
	return name, nil
}

func queueURLPattern(call *Call) *string { return queueURL(call, "NAME") }

func (s *sqsService) createQueue(_ context.Context, call *Call, in *sqs.CreateQueueInput) (*sqs.CreateQueueOutput, error) {
	if in.QueueName == nil {
		return nil, sqsMissing("QueueName")
	}
	if err := s.queues.Create(*in.QueueName, in.Attributes, in.Tags); err != nil {
		return nil, sqsError(err)
	}
	return &sqs.CreateQueueOutput{QueueUrl: queueURL(call, *in.QueueName)}, nil
}

func (s *sqsService) getQueueURL(_ context.Context, call *Call, in *sqs.GetQueueUrlInput) (*sqs.GetQueueUrlOutput, error) {
	if in.QueueName == nil {
		return nil, sqsMissing("QueueName")
	}
	owner := in.QueueOwnerAWSAccountId
	if owner != nil && *owner != call.Account || !s.queues.Exists(*in.QueueName) {
		return nil, sqsError(&queue.Error{
			Code: "QueueDoesNotExist", Message: fmt.Sprintf("The specified queue %q does not exist.", *in.QueueName),
		})
	}
	return &sqs.GetQueueUrlOutput{QueueUrl: queueURL(call, *in.QueueName)}, nil
}

func (s *sqsService) listQueues(_ context.Context, call *Call, in *sqs.ListQueuesInput) (*sqs.ListQueuesOutput, error) {
	prefix, token, most := "", "", maxQueueList
	if in.QueueNamePrefix != nil {
		prefix = *in.QueueNamePrefix
	}
	if in.NextToken != nil {
		token = *in.NextToken
	}
	if in.MaxResults != nil {
		most = int(*in.MaxResults)
	}
	if most < 1 || most > maxQueueList {
		return nil, sqsInvalid("MaxResults", most, "MaxResults must be an integer between 1 and 1000.")
	}
	key := func(name string) string { return name }
	names, next, err := Page(s.queues.Names(prefix), key, Paging{List: "ListQueues " + prefix, Max: most, Token: token})
	if err != nil {
		return nil, sqsInvalid("NextToken", token, "The token is not one that ListQueues gave for this prefix.")
	}
	out := &sqs.ListQueuesOutput{}
	for _, name := range names {
		out.QueueUrls = append(out.QueueUrls, *queueURL(call, name))
	}
	if next != "" {
		out.NextToken = &next
	}
	return out, nil
}

func (s *sqsService) deleteQueue(_ context.Context, call *Call, in *sqs.DeleteQueueInput) (*sqs.DeleteQueueOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err == nil {
		err = sqsError(s.queues.Delete(name))
	}
	return &sqs.DeleteQueueOutput{}, err
}

func (s *sqsService) purgeQueue(_ context.Context, call *Call, in *sqs.PurgeQueueInput) (*sqs.PurgeQueueOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err == nil {
		err = sqsError(s.queues.Purge(name))
	}
	return &sqs.PurgeQueueOutput{}, err
}

func (s *sqsService) setQueueAttributes(_ context.Context, call *Call, in *sqs.SetQueueAttributesInput) (*sqs.SetQueueAttributesOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err == nil {
		err = sqsError(s.queues.SetAttributes(name, in.Attributes))
	}
	return &sqs.SetQueueAttributesOutput{}, err
}

func (s *sqsService) getQueueAttributes(_ context.Context, call *Call, in *sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error) {
	name, err := queueName(call, in.QueueUrl)
	if err != nil {
		return nil, err
	}
	info, err := s.queues.Info(name)
	if err != nil {
		return nil, sqsError(err)
	}
	all := map[string]string{
		"QueueArn":                              "arn:aws:sqs:" + call.Region + ":" + call.Account + ":" + name,
		"CreatedTimestamp":                      strconv.FormatInt(info.Created.Unix(), 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(info.Modified.Unix(), 10),
		"ApproximateNumberOfMessages":           strconv.Itoa(info.Depth.Visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(info.Depth.InFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(info.Depth.Delayed),
	}
	for _, settable := range queue.Settable() {
		all[settable] = strconv.Itoa(info.Number(settable))
	}
	out := &sqs.GetQueueAttributesOutput{}
	for _, wanted := range in.AttributeNames {
		if wanted == types.QueueAttributeNameAll {
			out.Attributes = all
			break
		}
		if value, ok := all[string(wanted)]; ok {
			if out.Attributes == nil {
				out.Attributes = map[string]string{}
			}
			out.Attributes[string(wanted)] = value
		} else if !isQueueAttribute(wanted) {
			return nil, &Error{Code: "InvalidAttributeName", Message: fmt.Sprintf("Unknown Attribute %s.", wanted)}
		}
	}
	return out, nil
}

// isQueueAttribute tells whether SQS has such an attribute. One that it has and
// that a queue here cannot have is left out of an answer, as SQS leaves out
// what is not set.
func isQueueAttribute(name types.QueueAttributeName) bool {
	for _, known := range name.Values() {
		if known == name {
			return true
		}
	}
	return false
}

// sqsFault is the code and the blame of an error in the answer to a batch.
func sqsFault(err error) (code string, senderFault bool) {
	var e *Error
	if errors.As(sqsError(err), &e) {
		return e.queryCode(), e.status() < http.StatusInternalServerError
	}
	return "InternalFailure", false
}
