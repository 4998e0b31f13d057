package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// protection asks ECS to leave this task alone while it is busy, through the
// agent's task protection endpoint. Without an agent it does nothing.
type protection struct {
	agent  string // $ECS_AGENT_URI
	client *http.Client
}

// protectedFor is how long a protection lasts if the task never takes it back.
const protectedFor = time.Hour

type protectionState struct {
	ProtectionEnabled bool
	ExpiresInMinutes  int `json:",omitempty"`
}

// set protects the task, or gives it free. An error means that scale-in may
// stop it.
func (p protection) set(ctx context.Context, on bool) error {
	if p.agent == "" {
		return nil
	}
	state := protectionState{ProtectionEnabled: on}
	if on {
		state.ExpiresInMinutes = int(protectedFor / time.Minute)
	}
	body, err := json.Marshal(state)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	url := strings.TrimSuffix(p.agent, "/") + "/task-protection/v1/state"
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := p.client.Do(request)
	if err != nil {
		return fmt.Errorf("task protection: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("task protection: %w", err)
	}
	var result struct {
		Protection *struct{ ProtectionEnabled bool } `json:"protection"`
	}
	if err := json.Unmarshal(text, &result); err != nil || answer.StatusCode != http.StatusOK || result.Protection == nil || result.Protection.ProtectionEnabled != on {
		return fmt.Errorf("task protection: asked for %v, answered with %d: %.300s", on, answer.StatusCode, bytes.TrimSpace(text))
	}
	return nil
}
