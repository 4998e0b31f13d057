// Package router balances HTTP and WebSocket traffic straight to the tasks: by
// host name and path to a service, by the least loaded of two choices to one of
// its targets. It is given its table as a value and swaps it whole. It must not
// know of the engine, the platform or the decisions.
package router

import "time"

// Table is all that the router serves: routes to services, services to targets.
type Table struct {
	Routes   []Route
	Services map[string][]Target
}

// Route sends requests for a host name and a path prefix to a service. The
// longest match wins: an exact host before none, then the longest path.
type Route struct {
	// Host is a host name without a port; empty matches every host.
	Host string
	// Path is a prefix that ends at a slash or at the end of the request's path.
	Path string
	// Service is the key of the table's Services.
	Service string
	// Strip removes Path before the request goes on.
	Strip bool
	// HealthPath, if any, is asked for by active health checks; without it a
	// TCP connection is enough.
	HealthPath string
	// HoldTimeout is the longest time that a request waits for a first
	// target; 0 is the router's default.
	HoldTimeout time.Duration
}

// Target is one task.
type Target struct {
	// ID is the task's id; a drain names it.
	ID   string
	Zone string
	// Address is host:port.
	Address string
}

// Stats are a service's figures, as demand reads them.
type Stats struct {
	// InFlight are the requests that have arrived and have no answer yet, those
	// that wait for a target included.
	InFlight int
	// Held are those of them that wait for a target.
	Held int
	// Concurrency is the mean of InFlight over the window.
	Concurrency float64
	// RequestsPerSecond is the rate of arrivals over the window.
	RequestsPerSecond float64
	// LatencyP50 and LatencyP99 are of the answers in the window; zero
	// without answers.
	LatencyP50, LatencyP99 time.Duration
	// Requests and Errors count since the start; errors are 5xx answers of the
	// router's own making and of targets.
	Requests, Errors uint64
	// Window is the time that the rates and quantiles are over.
	Window time.Duration
}
