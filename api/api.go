// Package api is the HTTP face of a running Plimsoll: REST under /v1, a stream
// of server-sent events, Prometheus metrics, and the dashboard on the same
// listener. It shows what the control loop has published and hands on what
// people ask for; it decides nothing. It must not know of any adapter, of the
// engine's internals or of how the program is wired.
package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/router"
)

// Observer gives the state that the loop last published. *control.Loop is one.
type Observer interface {
	State() control.State
	// Subscribe gives a channel that holds at most one notice of a newer
	// state, and the function that ends the subscription.
	Subscribe() (<-chan struct{}, func())
}

// Journal gives what was decided and seen, oldest first, after the sequence
// number given; and a service's figures over time.
type Journal interface {
	Decisions(since uint64) []control.Decision
	Events(since uint64) []control.Event
	History(service string) []control.Point
}

// Operator carries out what people ask for by hand.
type Operator interface {
	// SetFloor holds a service at n tasks or more until the time given; 0 ends it.
	SetFloor(service string, n int, until time.Time) error
	// SetCeiling holds a service at n tasks or fewer until the time given; the
	// zero time ends it.
	SetCeiling(service string, n int, until time.Time) error
	Pause(service string) error
	Resume(service string) error
}

// Loop is what the API needs of the control loop.
type Loop interface {
	Observer
	Journal
	Operator
	Releaser
}

// Logs shows what a task printed. An unknown task is an error that wraps
// fs.ErrNotExist.
type Logs interface {
	Logs(ctx context.Context, taskID, container string, follow bool) (io.ReadCloser, error)
}

// Router gives a service's figures as the router measured them, and its
// targets. *router.Router is one.
type Router interface {
	Services() []string                 // the names in the table
	Stats(service string) router.Stats  // of one name in the table
	Demand(service string) router.Stats // with the service's further ports
	Targets(service string) []router.TargetState
	Latencies(service string) router.Latencies
	Routes() []router.RouteState
	Totals() router.Totals
}

// Meter tells what a running task, named by its id, was last measured to use.
type Meter interface {
	Usage(task string) (plimsoll.Usage, bool)
}

// Registry is where the metrics are registered and read from; a
// *prometheus.Registry is one. Each handler needs its own.
type Registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Service is what the file says of a service beyond what the loop publishes.
type Service struct {
	Name     string
	Priority int
	Min, Max int
	// Remainder and Cooperative are the service's options of these names.
	Remainder, Cooperative bool
	// URL is where the router serves it; empty without a route.
	URL string
}

// Options make a handler. Loop is required; all else may be left out. Streams
// last as long as their requests' contexts: a server that is to shut down ends
// its BaseContext first.
type Options struct {
	Loop Loop
	// Services are those under control, in the order of the file.
	Services []Service
	Logs     Logs
	Router   Router
	// Meter, if any, is asked for what is used beside what is reserved.
	Meter Meter
	// Page serves everything outside /v1 and /metrics: the dashboard.
	Page http.Handler
	// Shutdown begins the orderly end of the program and returns at once.
	Shutdown func()
	// Token, if any, is asked of every request, as a bearer token or as the
	// cookie that signing in sets. Without one, only requests for a loopback
	// host name are answered.
	Token string
	// TaskToken, if any, tells whether a token is a task's own: with it the task
	// may release itself, and nothing else.
	TaskToken func(task, token string) bool
	// Run names this run of the program, so that a client which comes back can
	// tell that sequence numbers began anew. Empty: the time of New.
	Run     string
	Version string
	// URLs are the program's addresses by name: "router", "ui", "aws".
	URLs     map[string]string
	Registry Registry
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
	// WriteTimeout is how long one write to a streaming client may take
	// before the client is given up. Default 10 s.
	WriteTimeout time.Duration
}

// server is one API over one loop.
type server struct {
	Options
	mux    *http.ServeMux
	boards boards
}

// New makes the handler. It fails without a loop, or if the registry holds the
// metrics of another handler already.
func New(o Options) (http.Handler, error) {
	if o.Loop == nil {
		return nil, errors.New("api: a loop is required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Run == "" {
		o.Run = strconv.FormatInt(o.Now().UnixNano(), 36)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 10 * time.Second
	}
	s := &server{Options: o, mux: http.NewServeMux()}
	if err := o.Registry.Register(newCollector(o)); err != nil {
		return nil, err
	}
	if o.Router != nil {
		if err := o.Registry.Register(newRoutedCollector(o.Router)); err != nil {
			return nil, err
		}
	}
	s.routes()
	return s.guard(s.mux), nil
}

func (s *server) routes() {
	s.mux.HandleFunc("GET /v1/status", s.status)
	s.mux.HandleFunc("GET /v1/services", s.services)
	s.mux.HandleFunc("GET /v1/services/{name}", s.service)
	s.mux.HandleFunc("GET /v1/hosts", s.hosts)
	s.mux.HandleFunc("GET /v1/tasks", s.tasks)
	s.mux.HandleFunc("GET /v1/events", s.events)
	s.mux.HandleFunc("GET /v1/decisions", s.decisions)
	s.mux.HandleFunc("GET /v1/history/{name}", s.history)
	s.mux.HandleFunc("GET /v1/logs/{name}", s.logs)
	s.mux.HandleFunc("GET /v1/stream", s.stream)
	s.mux.HandleFunc("POST /v1/services/{name}/scale", s.scale)
	s.mux.HandleFunc("POST /v1/services/{name}/pause", s.pause)
	s.mux.HandleFunc("POST /v1/services/{name}/resume", s.resume)
	s.mux.HandleFunc("POST /v1/tasks/", s.release)
	s.mux.HandleFunc("GET /v1/tasks/", s.release)
	s.mux.HandleFunc("POST /v1/shutdown", s.shutdown)
	s.mux.HandleFunc(fallback, s.unknown)
	s.mux.Handle("GET /metrics", s.metrics())
	if s.Token != "" {
		s.mux.HandleFunc("POST "+loginPath, s.login)
	}
	if s.Page != nil {
		s.mux.Handle("/", s.Page)
	}
}
