package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"plimsoll"
	"plimsoll/control"
)

// Releaser counts a task out of its service's desired count, named by its ARN or
// id. *control.Loop is one.
type Releaser interface {
	Release(ctx context.Context, task string) error
	// Yield does so only if the task's place is needed, and with leave false only
	// asks.
	Yield(ctx context.Context, task string, leave bool) error
}

// ReleaseHandler answers /v1/tasks/TASK/release for the tasks themselves, where no
// other guard is before it: TASK is an ARN or an id, and owns tells whether a
// bearer token is that task's own. POST counts the task out, with ?if=needed only
// if its place is needed; GET tells whether it is.
func ReleaseHandler(loop Releaser, owns func(task, token string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		task, ok := releasedTask(r)
		if !ok {
			refuse(w, noRelease(r))
			return
		}
		if !owns(task, bearer(r)) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="plimsoll task"`)
			refuse(w, faultf(http.StatusUnauthorized, "the token is not that of task %q: send $PLIMSOLL_RELEASE_TOKEN as \"Authorization: Bearer TOKEN\"", task))
			return
		}
		release(w, r, loop, task)
	})
}

func (s *server) release(w http.ResponseWriter, r *http.Request) {
	task, ok := releasedTask(r)
	if !ok {
		refuse(w, noRelease(r))
		return
	}
	release(w, r, s.Loop, task)
}

func noRelease(r *http.Request) error {
	return faultf(http.StatusNotFound, "no resource %q; GET or POST /v1/tasks/TASK/release", r.URL.Path)
}

// releasedTask is the task that a path such as /v1/tasks/TASK/release names. An
// ARN has slashes, which may come escaped or not.
func releasedTask(r *http.Request) (string, bool) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return "", false
	}
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1/tasks/")
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, "/release")
	if !ok || rest == "" {
		return "", false
	}
	task, err := url.PathUnescape(rest)
	return task, err == nil
}

// ownsTask tells whether a request releases a task and has that task's token.
func (s *server) ownsTask(r *http.Request) bool {
	task, ok := releasedTask(r)
	return ok && s.TaskToken != nil && s.TaskToken(task, bearer(r))
}

func release(w http.ResponseWriter, r *http.Request, loop Releaser, task string) {
	only := r.URL.Query().Get("if")
	err := body(w, r, &struct{}{})
	switch {
	case err != nil:
	case r.Method == http.MethodGet:
		if err = loop.Yield(r.Context(), task, false); err == nil || errors.Is(err, control.ErrKept) {
			answer := map[string]any{"task": plimsoll.ARNName(task), "needed": err == nil}
			if err != nil {
				answer["reason"] = err.Error()
			}
			reply(w, http.StatusOK, answer)
			return
		}
	case only == "":
		err = loop.Release(r.Context(), task)
	case only == "needed":
		err = loop.Yield(r.Context(), task, true)
	default:
		err = faultf(http.StatusBadRequest, "if is %q; \"needed\" is allowed, or nothing", only)
	}
	switch {
	case errors.Is(err, control.ErrUnknownTask):
		err = faultf(http.StatusNotFound, "%s", err)
	case errors.Is(err, control.ErrKept):
		err = faultf(http.StatusConflict, "%s", err)
	case errors.Is(err, control.ErrNotYet):
		w.Header().Set("Retry-After", "1")
		err = faultf(http.StatusServiceUnavailable, "%s", err)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"task": plimsoll.ARNName(task), "released": true})
}
