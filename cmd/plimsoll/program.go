package main

import (
	"context"

	"plimsoll/app"
	"plimsoll/sim"
)

// Programs are the running parts that the commands start. Each returns when
// its context is done and all that it started is stopped.
type Programs struct {
	Up     func(context.Context, app.UpOptions) error
	Engine func(context.Context, app.EngineOptions) error
	Run    func(context.Context, app.RunOptions) error
	Route  func(context.Context, app.RouteOptions) error
	Work   func(context.Context, app.WorkOptions) error
	Put    func(context.Context, app.PutOptions) error
	Sim    func(context.Context, app.SimOptions) ([]sim.Result, error)
}
