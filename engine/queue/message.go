package queue

import (
	"fmt"
	"time"
)

// Error is a refusal in SQS's words. Code is the name of the exception in the
// API model ("QueueDoesNotExist"), or of the error that all services share
// ("InvalidParameterValue").
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func refuse(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func invalid(parameter string, value any, reason string) *Error {
	return refuse("InvalidParameterValue", "Value %v for parameter %s is invalid. Reason: %s", value, parameter, reason)
}

// Attribute is a message attribute: a value that travels beside the body.
type Attribute struct {
	DataType string `json:"t"`
	String   string `json:"s,omitempty"`
	Binary   []byte `json:"b,omitempty"`
}

// Message is what was sent.
type Message struct {
	ID   string `json:"id"`
	Body string `json:"body"`
	// Sent is when it was sent, to the millisecond; Sender is the account.
	Sent   time.Time `json:"sent"`
	Sender string    `json:"sender,omitempty"`
	// Due is when it may be received for the first time.
	Due        time.Time            `json:"due"`
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	System     map[string]Attribute `json:"system,omitempty"` // AWSTraceHeader
	// Group orders the messages of a FIFO queue, and shares a standard queue
	// fairly. Deduplication is the id by which a FIFO queue knows a message
	// again.
	Group         string `json:"group,omitempty"`
	Deduplication string `json:"dedup,omitempty"`
	// DeadFrom is the queue that gave the message up to this one; Earlier is how
	// often it had been received by then.
	DeadFrom string `json:"deadFrom,omitempty"`
	Earlier  int    `json:"earlier,omitempty"`

	// Sequence is the message's place in the order of all that was sent. Its
	// record has it outside of the JSON.
	Sequence uint64 `json:"-"`
}

// receipt is one receive of a message.
type receipt struct {
	number uint64    // 0: not received yet
	count  int       // receives from this queue so far
	first  time.Time // the first of them
	taken  time.Time // the last of them
}

// Received is a message in the hands of a receiver.
type Received struct {
	*Message
	// Handle stands for this receipt of the message.
	Handle string
	// Count is how often the message has been received, from whatever queue,
	// this time included; First is when it was received from this queue for the
	// first time.
	Count int
	First time.Time
}

// Depth is how many messages a queue has.
type Depth struct {
	// Visible can be received, or wait in their group for those before them;
	// InFlight are with a receiver; Delayed wait for their time.
	Visible, InFlight, Delayed int
}
