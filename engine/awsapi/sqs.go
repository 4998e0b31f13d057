package awsapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"plimsoll/engine/queue"
)

// SQS is the service of the queues given.
func SQS(queues *queue.Set) *Service {
	s := &sqsService{queues: queues, operations: map[string]bool{}}
	service := &Service{
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
			Op("TagQueue", s.tagQueue),
			Op("UntagQueue", s.untagQueue),
			Op("ListQueueTags", s.listQueueTags),
			Op("AddPermission", s.addPermission),
			Op("RemovePermission", s.removePermission),
			Op("ListDeadLetterSourceQueues", s.listDeadLetterSourceQueues),
			Op("StartMessageMoveTask", s.startMessageMoveTask),
			Op("ListMessageMoveTasks", s.listMessageMoveTasks),
			Op("CancelMessageMoveTask", s.cancelMessageMoveTask),
			Op("SendMessage", s.sendMessage),
			Op("SendMessageBatch", s.sendMessageBatch),
			Op("ReceiveMessage", s.receiveMessage),
			Op("DeleteMessage", s.deleteMessage),
			Op("DeleteMessageBatch", s.deleteMessageBatch),
			Op("ChangeMessageVisibility", s.changeMessageVisibility),
			Op("ChangeMessageVisibilityBatch", s.changeMessageVisibilityBatch),
		},
	}
	for _, op := range service.Operations {
		s.operations[op.Name] = true
	}
	return service
}

type sqsService struct {
	queues     *queue.Set
	operations map[string]bool // by name
}

// sqsQueryCodes are the names that errors of SQS had in the query protocol,
// where they differ; older error handling looks for them.
var sqsQueryCodes = map[string]string{
	"BatchEntryIdsNotDistinct":     "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
	"BatchRequestTooLong":          "AWS.SimpleQueueService.BatchRequestTooLong",
	"EmptyBatchRequest":            "AWS.SimpleQueueService.EmptyBatchRequest",
	"InvalidBatchEntryId":          "AWS.SimpleQueueService.InvalidBatchEntryId",
	"KmsNotFound":                  "KMS.NotFoundException",
	"MessageNotInflight":           "AWS.SimpleQueueService.MessageNotInflight",
	"PurgeQueueInProgress":         "AWS.SimpleQueueService.PurgeQueueInProgress",
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
	return &Error{Code: e.Code, QueryCode: sqsQueryCodes[e.Code], Message: e.Message, QueryStatus: sqsQueryStatuses[e.Code]}
}

// sqsQueryStatuses are the HTTP statuses of errors in the query protocol, where
// they are not 400.
var sqsQueryStatuses = map[string]int{
	"OverLimit":                 http.StatusForbidden,
	"PurgeQueueInProgress":      http.StatusForbidden,
	"ReceiptHandleIsInvalid":    http.StatusNotFound,
	"ResourceNotFoundException": http.StatusNotFound,
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

// queueARN is the ARN of a queue.
func queueARN(call *Call, name string) string {
	return "arn:aws:sqs:" + call.Region + ":" + call.Account + ":" + name
}

// queueOfARN reads a queue's name out of an ARN; empty if it is none of a queue
// of this account and region.
func queueOfARN(call *Call, arn string) string {
	name, ok := strings.CutPrefix(arn, queueARN(call, ""))
	if !ok {
		return ""
	}
	return name
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

// sqsFault is the code and the blame of an error in the answer to a batch.
func sqsFault(err error) (code string, senderFault bool) {
	var e *Error
	if errors.As(sqsError(err), &e) {
		return e.queryCode(), e.status() < http.StatusInternalServerError
	}
	return "InternalFailure", false
}
