package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The bounds that ECS sets to a protection.
const (
	minProtection = time.Minute
	maxProtection = 2880 * time.Minute
)

// FromEnv gives the platform that the environment tells of, as ECS and Plimsoll
// give it to a task:
//
//	ECS_AGENT_URI                  the agent, which protects the task
//	ECS_CONTAINER_METADATA_URI_V4  who the task is
//	PLIMSOLL_RELEASE_URI           where the task releases itself; {arn} in it
//	                               stands for the task's ARN
//	PLIMSOLL_RELEASE_TOKEN         the bearer token for that
//
// On ECS the last two are for whoever runs the control loop to set; where they lead
// nowhere, a release goes by the queue of releases, if there is one. Without an
// agent nothing protects the program, and it may leave whenever it likes.
func FromEnv(getenv func(string) string, releases Outbox) Platform {
	agent := strings.TrimSuffix(getenv("ECS_AGENT_URI"), "/")
	if agent == "" && getenv("PLIMSOLL_RELEASE_URI") == "" {
		return nowhere{}
	}
	return &ecs{
		agent: agent, metadata: getenv("ECS_CONTAINER_METADATA_URI_V4"),
		release: getenv("PLIMSOLL_RELEASE_URI"), token: getenv("PLIMSOLL_RELEASE_TOKEN"), releases: releases,
		client: &http.Client{Timeout: callTime},
	}
}

// nowhere is a plain program: nobody scales it.
type nowhere struct{}

func (nowhere) Protect(context.Context, time.Duration) error { return nil }
func (nowhere) Release(context.Context) error                { return nil }
func (nowhere) Yield(context.Context, bool) error            { return ErrKept }

// ecs is a task of ECS, or of the engine that speaks like it.
type ecs struct {
	agent, metadata, release, token string
	releases                        Outbox // nil: none
	client                          *http.Client
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// protectionAnswer is the agent's: one of its parts.
type protectionAnswer struct {
	Protection *struct{ ProtectionEnabled bool } `json:"protection"`
	Failure    *struct{ Reason, Detail string }  `json:"failure"`
	Error      *struct{ Code, Message string }   `json:"error"`
}

// Protect implements Platform. A task that is no service's cannot be protected,
// and need not be: nobody scales it.
func (e *ecs) Protect(ctx context.Context, d time.Duration) error {
	if e.agent == "" {
		return nil
	}
	state := map[string]any{"ProtectionEnabled": d > 0}
	if d > 0 {
		state["ExpiresInMinutes"] = int((d + time.Minute - 1) / time.Minute)
	}
	body, err := json.Marshal(state)
	if err != nil {
		return err
	}
	status, text, err := e.call(ctx, http.MethodPut, e.agent+"/task-protection/v1/state", "", body)
	if err != nil {
		return fmt.Errorf("task protection: %w", err)
	}
	var answer protectionAnswer
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("task protection: status %d with %.200q", status, text)
	}
	switch {
	case answer.Protection != nil && answer.Protection.ProtectionEnabled == (d > 0):
		return nil
	case answer.Failure != nil && d == 0:
		return nil // what cannot be protected is not
	case answer.Failure != nil && answer.Failure.Reason == "TASK_NOT_VALID" && e.standalone(ctx):
		return nil
	case answer.Failure != nil:
		return fmt.Errorf("task protection: %s %s: %w", answer.Failure.Reason, answer.Failure.Detail, ErrLeaving)
	case answer.Error != nil:
		return fmt.Errorf("task protection: status %d: %s: %s", status, answer.Error.Code, answer.Error.Message)
	}
	return fmt.Errorf("task protection: status %d with %.200q", status, text)
}

// taskMetadata is what is read of the task metadata, version 4.
type taskMetadata struct{ TaskARN, ServiceName, DesiredStatus string }

// standalone tells whether the task is certainly no service's.
func (e *ecs) standalone(ctx context.Context) bool {
	m, err := e.self(ctx)
	return err == nil && m.ServiceName == "" && m.DesiredStatus == "RUNNING"
}

// self asks who this task is.
func (e *ecs) self(ctx context.Context) (taskMetadata, error) {
	var m taskMetadata
	if e.metadata == "" {
		return m, errors.New("ECS_CONTAINER_METADATA_URI_V4 is not set")
	}
	status, text, err := e.call(ctx, http.MethodGet, e.metadata+"/task", "", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d with %.200q", status, text)
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return m, fmt.Errorf("task metadata: %w", err)
	}
	return m, nil
}

// Release implements Platform.
func (e *ecs) Release(ctx context.Context) error {
	if e.standalone(ctx) {
		return nil // nobody counts it
	}
	if e.release == "" && e.releases != nil {
		return e.releaseByQueue(ctx)
	}
	if e.release == "" {
		return fmt.Errorf("%w: PLIMSOLL_RELEASE_URI is not set, so nothing would keep another from taking its place", ErrKept)
	}
	target, err := e.target(ctx)
	if err != nil {
		return err
	}
	status, text, err := e.call(ctx, http.MethodPost, target, e.token, nil)
	switch {
	case err != nil && e.releases != nil && ctx.Err() == nil:
		// Said in both ways it counts once, so it does not matter whether the call
		// has arrived.
		return e.releaseByQueue(ctx)
	case err != nil:
		return fmt.Errorf("release: %w", err)
	case status == http.StatusOK:
		return nil
	case status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout:
		return fmt.Errorf("release: status %d with %.300q: %w", status, bytes.TrimSpace(text), ErrKept)
	}
	return fmt.Errorf("release: status %d with %.300q", status, bytes.TrimSpace(text))
}

// target is the URL at which this task releases itself.
func (e *ecs) target(ctx context.Context) (string, error) {
	if !strings.Contains(e.release, "{arn}") {
		return e.release, nil
	}
	m, err := e.self(ctx)
	if err != nil {
		return "", fmt.Errorf("release: %w", err)
	}
	return strings.ReplaceAll(e.release, "{arn}", url.PathEscape(m.TaskARN)), nil
}

// Yield implements Platform. A release that is said without need for an answer, by
// the queue, is no way to ask.
func (e *ecs) Yield(ctx context.Context, leave bool) error {
	if e.release == "" || e.standalone(ctx) {
		return ErrKept
	}
	target, err := e.target(ctx)
	if err != nil {
		return err
	}
	method := http.MethodGet
	if leave {
		method, target = http.MethodPost, target+"?if=needed"
	}
	status, text, err := e.call(ctx, method, target, e.token, nil)
	var answer struct{ Released, Needed bool }
	switch {
	case err != nil:
		return fmt.Errorf("yield: %w", err)
	case status == http.StatusConflict:
		return ErrKept
	case status != http.StatusOK:
		return fmt.Errorf("yield: status %d with %.300q", status, bytes.TrimSpace(text))
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("yield: status %d with %.300q", status, text)
	}
	if !answer.Released && !answer.Needed {
		return ErrKept
	}
	return nil
}

// releaseByQueue says it without an answer: a loop that keeps the service's minimum
// has the task replaced.
func (e *ecs) releaseByQueue(ctx context.Context) error {
	m, err := e.self(ctx)
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	body, err := json.Marshal(map[string]string{"release": m.TaskARN})
	if err != nil {
		return err
	}
	if err := e.releases.Send(ctx, string(body)); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

// call makes one request and reads its answer.
func (e *ecs) call(ctx context.Context, method, url, token string, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := e.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it has been read
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return answer.StatusCode, text, err
}
