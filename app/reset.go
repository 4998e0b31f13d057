package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"

	"github.com/google/uuid"
)

// resetter is POST /_reset: it stops all tasks and empties every world, for test
// suites that want a fresh engine without a new start.
type resetter struct {
	engine  *embedded
	allowed bool
	log     *slog.Logger
	mu      sync.Mutex // one reset at a time
}

func (h *resetter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	w.Header().Set("x-amzn-RequestId", id)
	if !h.allowed {
		answerReset(w, http.StatusForbidden, "resetting is not allowed: start with plimsoll engine --allow-reset")
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	// Half a reset would be worse than one that nobody waits for.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), shutdownWait)
	defer cancel()
	if err := h.engine.reset(ctx); err != nil {
		h.log.Error("the reset did not end well", "request", id, "error", err)
		answerReset(w, http.StatusInternalServerError, err.Error())
		return
	}
	answerReset(w, http.StatusOK, "everything was reset")
}

func answerReset(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message}) // a client that has gone away is told nothing
}

// reset empties every world and gives them their first hosts again.
func (e *embedded) reset(ctx context.Context) error {
	if err := e.worlds.reset(ctx); err != nil {
		return err
	}
	return e.worlds.home().putHosts(ctx, e.worlds.o.hosts)
}
