// Package app wires the parts into running programs (up, engine, run) and shuts
// them down in the reverse order. It decides nothing itself, and is imported by
// the command alone.
package app

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"plimsoll"
)

// Defaults of the flags, said once.
const (
	DefaultState  = ".plimsoll"
	DefaultRouter = "127.0.0.1:8080"
	DefaultUI     = "127.0.0.1:4500"
	DefaultAWS    = "127.0.0.1:4580"
	DefaultRegion = "us-east-1"
)

// Misuse is an error of the one who typed the command: bad flags, arguments or
// values.
type Misuse struct{ Err error }

func (m Misuse) Error() string { return m.Err.Error() }
func (m Misuse) Unwrap() error { return m.Err }

func misusef(format string, args ...any) error { return Misuse{fmt.Errorf(format, args...)} }

// UpOptions are those of `plimsoll up`.
type UpOptions struct {
	File  string // compose file
	State string // folder of the state
	// Router, UI and AWS are listening addresses, host:port; port 0 takes a
	// free one.
	Router, UI, AWS string
	// Token is asked for on the REST API and the page; required where UI is
	// not a loopback address.
	Token string
	// CertFile and KeyFile serve the AWS endpoint with TLS; required where AWS
	// is not a loopback address.
	CertFile, KeyFile string
	Discovery         DiscoveryOptions
	// Edge is how the router meets its clients.
	Edge EdgeOptions
	// Runtime is "process", "docker", "fake", or "" to choose.
	Runtime string
	Allow   AllowOptions
	Images  ImageOptions
	// Load replays a traffic curve against the project: Trace names a CSV
	// file, empty is the built-in curve. LoadFor ends it early; 0 lets it run
	// to its end, again and again.
	Load    bool
	Trace   string
	LoadFor time.Duration
	// Out is where the live view goes; Size gives its columns and rows if it is
	// a terminal, and is nil otherwise.
	Out     io.Writer
	Size    func() (width, height int)
	Version string
	Log     *slog.Logger
}

// EngineOptions are those of `plimsoll engine`: the engine alone.
type EngineOptions struct {
	State             string
	AWS               string
	CertFile, KeyFile string
	Cluster           string // created if absent; "default"
	Region            string
	Hosts, Zones      int
	Each              plimsoll.Resources
	Runtime           string
	Allow             AllowOptions
	Images            ImageOptions
	// AllowReset has POST /_reset stop and remove everything.
	AllowReset bool
	Out        io.Writer
	Log        *slog.Logger
}

// RouteOptions are those of `plimsoll router`: the router alone, for the cluster
// of the ECS endpoint that the AWS environment names.
type RouteOptions struct {
	Platform string // "ecs"
	Cluster  string
	File     string // compose file with routes; empty: those of the services' tags alone
	Router   string // listening address
	State    string // folder of the certificates that ACME brings
	Edge     EdgeOptions
	// Metrics is the address at which /metrics answers; empty: nowhere.
	Metrics   string
	Discovery DiscoveryOptions
	// Token is asked of every request, unless Open lets everybody in. It is asked of
	// every scrape of the metrics, too, as a bearer token.
	Token   string
	Open    bool
	Version string
	// Handover is a Unix socket by which the next process takes the listeners
	// over; empty: none does.
	Handover string
	// Drain is how long what is under way has at the end.
	Drain time.Duration
	Out   io.Writer
	Log   *slog.Logger
}

// RunOptions are those of `plimsoll run`: the scaler alone, against the ECS
// endpoint that the AWS environment names.
type RunOptions struct {
	Platform string // "ecs"
	Cluster  string
	File     string // compose file with the policies
	State    string // where overrides and memory are kept; empty: not at all
	// EventsQueue is the queue that tells of the cluster's changes: its URL, or
	// the name of one that is made, with its rule. Empty: the loop only looks.
	EventsQueue string
	// ReleasesQueue is the queue by which tasks release themselves: its URL or
	// its name.
	ReleasesQueue string
	UI            string // empty: no REST API
	Token         string
	Discovery     DiscoveryOptions
	Once          bool
	DryRun        bool
	Output        string // "table" or "json", for Once
	Out           io.Writer
	Version       string
	Log           *slog.Logger
}
