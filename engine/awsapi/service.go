package awsapi

import (
	"context"
)

// Service is a table of operations and how they go over the wire.
type Service struct {
	// Name is the service's name in the credential scope ("ecs").
	Name string
	// Target is what X-Amz-Target begins with, without the dot
	// ("AmazonEC2ContainerServiceV20141113"); empty where the service speaks
	// only the query protocol.
	Target string
	// JSONVersion is "1.0" or "1.1"; empty where the service speaks only the
	// query protocol.
	JSONVersion string
	// Version is that of the query protocol ("2011-06-15"), Namespace that of
	// its XML answers; empty where the service speaks only JSON.
	Version, Namespace string
	// CBOR tells that the service speaks Smithy RPC v2 with CBOR too; Target is
	// its name there.
	CBOR bool
	// PathMember is the parameter that a query may have as its path instead:
	// "QueueUrl" for SQS.
	PathMember string
	// ErrorPrefix goes before the error's name in "__type"
	// ("com.amazonaws.sqs#").
	ErrorPrefix string
	// QueryCompatible services tell clients that ask for it the query
	// protocol's name of an error, in x-amzn-query-error.
	QueryCompatible bool
	Codec           *Codec
	Operations      []Operation
}

// Operation is one row of a service's table.
type Operation struct {
	Name string
	run  func(ctx context.Context, call *Call, decode func(into any) error) (any, error)
}

// Op makes the row for an operation out of the function that does it. In and
// Out are the SDK's own types: ecs.RunTaskInput and ecs.RunTaskOutput.
func Op[In, Out any](name string, f func(context.Context, *Call, *In) (*Out, error)) Operation {
	return Operation{Name: name, run: func(ctx context.Context, call *Call, decode func(any) error) (any, error) {
		in := new(In)
		if err := decode(in); err != nil {
			return nil, err
		}
		out, err := f(ctx, call, in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}}
}

// Before has a check made before an operation of the service, with its input
// (*sqs.CreateQueueInput) decoded; an error of it is the answer.
func (s *Service) Before(name string, check func(call *Call, in any) error) {
	for i, op := range s.Operations {
		if op.Name != name {
			continue
		}
		s.Operations[i].run = func(ctx context.Context, call *Call, decode func(any) error) (any, error) {
			return op.run(ctx, call, func(into any) error {
				if err := decode(into); err != nil {
					return err
				}
				return check(call, into)
			})
		}
	}
}

// Caller is who signed a request.
type Caller struct {
	AccessKeyID string
	// Account is the caller's; later, tenants are told apart by it.
	Account string
	// ARN and UserID are its identity, as GetCallerIdentity tells it.
	ARN, UserID string
	// Session is the task that temporary credentials were issued to; empty for
	// the account's own key.
	Session string
}

// Call is one verified request, beside its input.
type Call struct {
	Caller
	Region string
	// Endpoint is the URL under which the client reached this endpoint,
	// without a slash at the end.
	Endpoint  string
	RequestID string

	tree any
}

// Given tells whether the request named a member at all, where its value does
// not tell: Given("Entries", 0, "DelaySeconds"). The SDK's types hold some
// members without a pointer, and their zero may mean something else than their
// absence.
func (c *Call) Given(path ...any) bool {
	at := c.tree
	for _, step := range path {
		switch step := step.(type) {
		case string:
			members, _ := at.(map[string]any)
			at = members[step]
		case int:
			items, _ := at.([]any)
			if step < 0 || step >= len(items) {
				return false
			}
			at = items[step]
		}
		if at == nil {
			return false
		}
	}
	return true
}
