// Package awsapi is the one HTTP endpoint of the embedded engine: it verifies
// the signature of each request (AWS Signature Version 4), finds the operation
// that it asks for, decodes the input into the AWS SDK's own types, and writes
// the output, or the error, in the protocol that the client speaks. Services are
// tables of operations that are given to it, a set of them (a World) for each
// account and region if need be; the tables of SQS and STS are here, that of ECS
// is in engine/ecsapi. It must not know of the state machine, of
// placement, or of the control loop.
package awsapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// DefaultMaxBody is the largest request body in bytes that is read where
// Options names none: a batch of SQS messages of 1 MiB in all, with room for the
// escapes of JSON.
const DefaultMaxBody = 8 << 20

// Options are what an API is made with.
type Options struct {
	// Region is the one region that the endpoint serves ("us-east-1") where
	// Worlds is nil.
	Region string
	// Worlds has the services of each account in each region; nil: the services
	// that New is given are those of every account, in Region.
	Worlds Worlds
	// Admit refuses a request of a caller who has used up the quota of
	// requests; nil: nobody is refused. It is called once the signature holds.
	Admit func(Caller) error
	// Credentials finds the secret of an access key.
	Credentials Credentials
	// Now is the clock that signatures are checked against; nil is time.Now.
	Now func() time.Time
	// Random is where request ids come from; nil is crypto/rand.
	Random io.Reader
	// MaxBody bounds a request's body in bytes; 0 is DefaultMaxBody.
	MaxBody int64
	// Log is told of the faults that are the engine's own; nil: nobody is.
	Log *slog.Logger
}

// API is the endpoint. It is safe for concurrent use.
type API struct {
	verifier verifier
	services []*Service
	world    *World // nil: worlds has them
	worlds   Worlds
	admit    func(Caller) error
	now      func() time.Time
	random   io.Reader
	maxBody  int64
	log      *slog.Logger
}

var _ http.Handler = (*API)(nil)

// New makes the endpoint for the services given. Two services with the same
// target prefix, or two operations of one name in a service, are a mistake of
// the caller's and an error.
func New(o Options, services ...*Service) (*API, error) {
	if o.Region == "" && o.Worlds == nil {
		return nil, errors.New("the AWS endpoint needs a region, such as \"us-east-1\"")
	}
	if o.Credentials == nil {
		return nil, errors.New("the AWS endpoint needs credentials: every request is verified")
	}
	a := &API{
		services: services, worlds: o.Worlds, admit: o.Admit,
		now: o.Now, random: o.Random, maxBody: o.MaxBody, log: o.Log,
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.random == nil {
		a.random = rand.Reader
	}
	if a.maxBody <= 0 {
		a.maxBody = DefaultMaxBody
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.admit == nil {
		a.admit = func(Caller) error { return nil }
	}
	a.verifier = verifier{region: o.Region, credentials: o.Credentials, now: a.now}
	if o.Worlds != nil {
		a.verifier.region = ""
	}
	targets := map[string]bool{}
	for _, s := range services {
		if s.Target != "" && targets[s.Target] {
			return nil, fmt.Errorf("two services have the target prefix %q", s.Target)
		}
		targets[s.Target] = true
	}
	world, err := NewWorld(services...)
	if o.Worlds == nil {
		a.world = world
	}
	return a, err
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := a.requestID()
	w.Header().Set("x-amzn-RequestId", id)
	body, refusal := a.readBody(w, r)
	req := newRequest(r, body, a.services)
	if refusal != nil {
		req.protocol.writeError(w, req, id, refusal)
		return
	}
	out, err := a.answer(req, id)
	if err != nil {
		if r.Context().Err() != nil && errors.Is(err, context.Cause(r.Context())) {
			return // nobody is there to be told
		}
		req.protocol.writeError(w, req, id, a.refusal(req, id, err))
		return
	}
	req.protocol.write(w, req, id, out)
}

// answer verifies, dispatches and runs one request.
func (a *API) answer(req *request, id string) (any, error) {
	credential, scope, err := a.verifier.verify(req.http, req.body)
	if err != nil {
		return nil, err
	}
	if refusal := req.inflate(a.maxBody); refusal != nil {
		return nil, refusal
	}
	call := &Call{
		Caller: Caller{
			AccessKeyID: scope.accessKeyID,
			Account:     credential.Account, ARN: credential.ARN, UserID: credential.UserID,
			Session: credential.Session,
		},
		Region: scope.region, Endpoint: req.endpoint(), RequestID: id,
	}
	if err := a.admit(call.Caller); err != nil {
		return nil, err
	}
	if err := req.check(scope.service); err != nil {
		return nil, err
	}
	world := a.world
	if world == nil {
		if world, err = a.worlds.World(req.http.Context(), call.Account, call.Region); err != nil {
			return nil, err
		}
	}
	op, ok := world.operation(req.service.Name, req.name)
	if !ok {
		return nil, req.unknownOperation()
	}
	return op.run(req.http.Context(), call, req.decode(call))
}

// refusal turns any error into one that can be written. What is not an *Error
// is a fault of the engine, and is logged.
func (a *API) refusal(req *request, id string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	a.log.Error("a request to the AWS endpoint went wrong",
		"operation", req.name, "request", id, "error", err)
	return internalFailure(err)
}

// internalFailure is what a fault of the engine's own is answered with.
func internalFailure(err error) *Error {
	return &Error{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
}

func (a *API) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.maxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge(a.maxBody)
	case err != nil:
		return nil, &Error{Code: "IncompleteBody", Message: "The request body ended early: " + err.Error()}
	}
	return body, nil
}

func tooLarge(most int64) *Error {
	return &Error{
		Code:    "RequestEntityTooLargeException",
		Message: fmt.Sprintf("The request body is larger than %d bytes.", most),
		Status:  http.StatusRequestEntityTooLarge,
	}
}

func (a *API) requestID() string {
	id, err := uuid.NewRandomFromReader(a.random)
	if err != nil {
		return uuid.Nil.String() // an id is for people to look up; its lack stops no request
	}
	return id.String()
}
