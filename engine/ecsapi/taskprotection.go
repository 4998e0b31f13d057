package ecsapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// maxProtectionBody bounds the body of a PUT in bytes.
const maxProtectionBody = 4096

// protectionRequest is the body of a PUT.
type protectionRequest struct {
	ProtectionEnabled *bool
	ExpiresInMinutes  *int32
}

// protectionAnswer has one of its three parts.
type protectionAnswer struct {
	RequestID  string             `json:"requestID,omitempty"`
	Protection *protectionState   `json:"protection,omitempty"`
	Failure    *protectionFailure `json:"failure,omitempty"`
	Error      *protectionError   `json:"error,omitempty"`
}

type protectionState struct {
	ExpirationDate    *time.Time
	ProtectionEnabled bool
	TaskArn           string
}

type protectionFailure struct {
	Arn    string
	Detail *string
	Reason string
}

type protectionError struct {
	Arn     string `json:",omitempty"`
	Code    string
	Message string
}

// ownTask is the task that a request comes from; false if it is none, and then
// the request has been answered.
func (a *Agent) ownTask(w http.ResponseWriter, r *http.Request) (*engine.Task, bool) {
	var task *engine.Task
	if a.taskAt(r, func(_ engine.View, t *engine.Task) { task = t }) {
		return task, true
	}
	writeJSON(w, http.StatusNotFound, protectionAnswer{Error: &protectionError{
		Code: "ResourceNotFoundException", Message: "Failed to find a task for the request",
	}})
	return nil, false
}

func (a *Agent) getProtection(w http.ResponseWriter, r *http.Request) {
	t, ok := a.ownTask(w, r)
	if !ok {
		return
	}
	if f := unprotectable(t); f != nil {
		writeJSON(w, http.StatusOK, protectionAnswer{Failure: &protectionFailure{Arn: t.ARN, Detail: f.Detail, Reason: *f.Reason}})
		return
	}
	writeJSON(w, http.StatusOK, protectionAnswer{Protection: protectionOf(t, t.Protected(a.o.Now()))})
}

func (a *Agent) putProtection(w http.ResponseWriter, r *http.Request) {
	t, ok := a.ownTask(w, r)
	if !ok {
		return
	}
	in, err := readProtection(r)
	if err != nil {
		a.refuseProtection(w, t, err)
		return
	}
	result, err := protect(r.Context(), *a.engine.Load(), t.Cluster, []string{t.ID}, *in.ProtectionEnabled, in.ExpiresInMinutes)
	switch {
	case err != nil:
		a.refuseProtection(w, t, err)
	case len(result.Failures) > 0:
		f := result.Failures[0]
		failure := &protectionFailure{Arn: f.ARN, Reason: f.Reason}
		if f.Detail != "" {
			failure.Detail = &f.Detail
		}
		writeJSON(w, http.StatusOK, protectionAnswer{Failure: failure})
	default:
		writeJSON(w, http.StatusOK, protectionAnswer{Protection: protectionOf(result.Tasks[0], *in.ProtectionEnabled)})
	}
}

// refuseProtection answers with the API's own refusal.
func (a *Agent) refuseProtection(w http.ResponseWriter, t *engine.Task, err error) {
	answer := protectionAnswer{RequestID: uuid.NewString(), Error: &protectionError{Arn: t.ARN, Code: codeServer, Message: err.Error()}}
	status := http.StatusInternalServerError
	var refusal *awsapi.Error
	if errors.As(err, &refusal) {
		answer.Error.Code, answer.Error.Message = refusal.Code, refusal.Message
		if refusal.Status == 0 {
			status = http.StatusBadRequest
		}
	}
	writeJSON(w, status, answer)
}

func readProtection(r *http.Request) (protectionRequest, error) {
	var in protectionRequest
	d := json.NewDecoder(io.LimitReader(r.Body, maxProtectionBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, awsapi.Refuse(codeInvalid, "UpdateTaskProtection: the request cannot be decoded: %s; "+
			`the fields are "ProtectionEnabled" (true or false) and "ExpiresInMinutes" (a number).`, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return in, awsapi.Refuse(codeInvalid, "UpdateTaskProtection: the request goes on after its JSON object.")
	}
	if in.ProtectionEnabled == nil {
		return in, awsapi.Refuse(codeInvalid, "Invalid request: does not contain 'ProtectionEnabled' field")
	}
	return in, nil
}

func protectionOf(t *engine.Task, enabled bool) *protectionState {
	s := &protectionState{ProtectionEnabled: enabled, TaskArn: t.ARN}
	if enabled {
		until := t.ProtectedUntil.UTC().Truncate(time.Second)
		s.ExpirationDate = &until
	}
	return s
}
