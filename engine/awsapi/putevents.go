package awsapi

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"plimsoll/engine/events"
)

// The bounds of a PutEvents, by EventBridge's own documentation.
const (
	mostEntries    = 10
	mostEventBytes = 1 << 20 // of all entries
)

// putEvents puts events on the bus. Unlike EventBridge it takes those of AWS's own
// services ("aws.ec2") too: nobody else is here who would say that a spot instance
// goes away.
func (s *eventService) putEvents(_ context.Context, call *Call, in *eventbridge.PutEventsInput) (*eventbridge.PutEventsOutput, error) {
	if n := len(in.Entries); n == 0 || n > mostEntries {
		return nil, Refuse("ValidationException", "1 validation error detected: Value at 'entries' failed to satisfy constraint: "+
			"Member must have a number of entries from 1 to %d; there are %d.", mostEntries, n)
	}
	if in.EndpointId != nil {
		return nil, Refuse("ValidationException", "EndpointId is not supported by this engine: there are no global endpoints.")
	}
	size := 0
	out := &eventbridge.PutEventsOutput{Entries: make([]types.PutEventsResultEntry, len(in.Entries))}
	var good []events.Event
	var at []int // the entries that the good ones are
	for i, entry := range in.Entries {
		size += eventSize(entry)
		if refusal := checkEntry(call, entry); refusal != nil {
			out.Entries[i] = types.PutEventsResultEntry{ErrorCode: text(refusal.Code), ErrorMessage: text(refusal.Message)}
			out.FailedEntryCount++
			continue
		}
		event := events.Event{
			Source: *entry.Source, DetailType: *entry.DetailType, Resources: entry.Resources, Detail: json.RawMessage(*entry.Detail),
		}
		if entry.Time != nil {
			event.Time = *entry.Time
		}
		good, at = append(good, event), append(at, i)
	}
	if size > mostEventBytes {
		return nil, Refuse("ValidationException", "Total size of the entries in the request is over the limit: %d bytes of %d.", size, mostEventBytes)
	}
	ids, err := s.box.Post(good)
	if err != nil {
		return nil, err
	}
	for n, i := range at {
		out.Entries[i].EventId = &ids[n]
	}
	return out, nil
}

// eventSize is what an entry counts of the bound, by EventBridge's own reckoning.
func eventSize(e types.PutEventsRequestEntry) int {
	size := len(deref(e.Source)) + len(deref(e.DetailType)) + len(deref(e.Detail))
	if e.Time != nil {
		size += 14
	}
	for _, r := range e.Resources {
		size += len(r)
	}
	return size
}

// checkEntry tells what is wrong with an entry, nil if nothing is.
func checkEntry(call *Call, e types.PutEventsRequestEntry) *Error {
	for _, field := range []struct {
		name  string
		value *string
	}{{"Source", e.Source}, {"DetailType", e.DetailType}, {"Detail", e.Detail}} {
		if deref(field.value) == "" {
			return &Error{Code: "InvalidArgument", Message: fmt.Sprintf("Parameter %s is not valid. Reason: %s is a required argument.", field.name, field.name)}
		}
	}
	if name := deref(e.EventBusName); name != "" && name != defaultBus && name != busARN(call) {
		return &Error{Code: "ResourceNotFoundException", Message: fmt.Sprintf("Event bus %s does not exist: this engine has the bus \"default\" alone.", name)}
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(*e.Detail), &object) != nil || object == nil {
		return &Error{Code: "MalformedDetail", Message: "Detail is malformed."}
	}
	return nil
}
