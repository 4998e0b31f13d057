package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"plimsoll/api"
	"plimsoll/compose"
	"plimsoll/control"
	"plimsoll/platform/ecs"
	"plimsoll/scale"
)

// platformECS is the one platform that `plimsoll run` knows so far.
const platformECS = "ecs"

// onceWait bounds the one pass of `plimsoll run --once`.
const onceWait = 2 * time.Minute

// runTick is the longest time between two looks at a cluster on AWS. Without an
// events queue nothing there wakes the loop, and a look is some eight calls to an API that allows
// about 20 a second.
const runTick = 5 * time.Second

// Run runs the scaler alone against the ECS endpoint that the AWS environment
// names: one pass with Once, until ctx ends otherwise.
func Run(ctx context.Context, o RunOptions) error {
	if o.Platform != platformECS {
		return misusef("--platform %q: allowed is %q", o.Platform, platformECS)
	}
	if o.UI != "" {
		if err := needsGuard(onUI, o.UI, "--token", o.Token != ""); err != nil {
			return err
		}
	}
	project, err := compose.Load(o.File, os.Environ())
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	platform, err := ecs.New(ctx, ecs.Options{
		Cluster: o.Cluster, Changed: changed, Log: o.Log, HostGroups: project.Hosts.Groups,
		// Reading the protection is a call to AWS for every 100 tasks: it is
		// read of those services only that are said to use it.
		Protected: func(service string) bool { return cooperative(project, service) },
	})
	if err != nil {
		return err
	}
	services, err := sources{project: project}.services()
	if err != nil {
		return err
	}
	leaving := newDepartures(project)
	options := control.Options{
		Platform: platform, Services: services, Dir: o.State, Tick: runTick, DryRun: o.DryRun, Log: o.Log,
		Eviction: scale.Eviction(project.Eviction), Budget: budget(project), Hosts: scaledHosts(platform, project.Hosts, project.Hosts.Groups),
	}
	if !o.Once {
		// One pass has not the time. The marking is of the time, too.
		options.Drainer, options.DrainTime = leaving, leaving.patience()+10*time.Second
	}
	loop, err := control.New(options)
	if err != nil {
		return err
	}
	if o.Once {
		return once(ctx, loop, project, o)
	}
	if o.EventsQueue != "" {
		stop, err := hear(ctx, o, changed, platform.Hear)
		if err != nil {
			return err
		}
		defer stop()
	}
	if o.State == "" && !o.DryRun {
		o.Log.Warn("without --state nothing is remembered over a restart: no override, no rate that was learnt, and no release that has been counted (a released task that still shows is not counted again, and one that waited is not counted at all)")
	}
	if o.Discovery.Register = !o.DryRun; o.DryRun && o.Discovery.Consul != "" {
		o.Log.Info("--dry-run changes nothing, in Consul neither: --consul is left out")
		o.Discovery.Consul = ""
	}
	find, err := newFinder(o.Discovery, project, o.Cluster, o.State, dnsPort(0), o.Log)
	if err != nil {
		return err
	}
	leaving.find = find
	if o.ReleasesQueue != "" {
		stop, err := takeReleases(ctx, o, loop)
		if err != nil {
			return err
		}
		defer stop()
	}
	return scaleOn(ctx, loop, project, find, o)
}

// hear has the loop woken by what the events queue brings, after tell has got it;
// stop ends that.
func hear(ctx context.Context, o RunOptions, changed chan struct{}, tell func(event string) (keep bool)) (stop func(), err error) {
	events, err := ecs.NewEvents(ctx, ecs.EventsOptions{Queue: o.EventsQueue, Cluster: o.Cluster, Hear: tell, Log: o.Log})
	if err != nil {
		return nil, err
	}
	setup, cancel := context.WithTimeout(ctx, onceWait)
	defer cancel()
	if err := events.Ensure(setup); err != nil {
		return nil, fmt.Errorf("--events-queue %q: %w", o.EventsQueue, err)
	}
	ctx, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		events.Listen(ctx, func() { signal(changed) })
	}()
	return func() { end(); <-ended }, nil
}

// takeReleases has the loop count out the tasks that say so in the queue; stop
// ends that.
func takeReleases(ctx context.Context, o RunOptions, loop *control.Loop) (stop func(), err error) {
	setup, cancel := context.WithTimeout(ctx, onceWait)
	defer cancel()
	releases, err := ecs.NewReleases(setup, ecs.ReleasesOptions{
		Queue: o.ReleasesQueue, Release: loop.Release, Log: o.Log,
		Again: func(err error) bool {
			return !errors.Is(err, control.ErrKept) && !errors.Is(err, control.ErrUnknownTask)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("--releases-queue %q: %w", o.ReleasesQueue, err)
	}
	ctx, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); releases.Listen(ctx) }()
	return func() { end(); <-ended }, nil
}

// cooperative tells whether a service's tasks protect themselves.
func cooperative(project *compose.Project, service string) bool {
	for _, s := range project.Services {
		if s.Name == service {
			return s.Scaling.Cooperative
		}
	}
	return false
}

// onePass is the JSON of one pass.
type onePass struct {
	At        time.Time          `json:"at"`
	Services  []api.ServiceView  `json:"services"`
	Decisions []control.Decision `json:"decisions"`
}

// once makes one pass and prints the plan.
func once(ctx context.Context, loop *control.Loop, project *compose.Project, o RunOptions) error {
	ctx, cancel := context.WithTimeout(ctx, onceWait)
	defer cancel()
	state := loop.Step(ctx)
	if state.Problem != "" {
		return errors.New(state.Problem)
	}
	if o.Output == "json" {
		encoder := json.NewEncoder(o.Out)
		encoder.SetIndent("", "  ")
		return errors.Join(encoder.Encode(onePass{state.At, api.ServiceViews(state, shown(project.Services, 0)), loop.Decisions(0)}),
			failedOf(loop.Decisions(0)))
	}
	table := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SERVICE\tPRIORITY\tWANT\tGRANT\tDESIRED\tRUNNING\tREASON")
	for _, v := range state.Plan.Verdicts {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", v.Service, v.Priority, v.Want, v.Grant, v.Desired, v.Running, v.Reason)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, d := range loop.Decisions(0) {
		_, _ = fmt.Fprintf(o.Out, "%s: %d -> %d [%s]\n", d.Service, d.From, d.To, d.Outcome)
	}
	return failedOf(loop.Decisions(0))
}

// failedOf is an error if a decision could not be carried out.
func failedOf(decisions []control.Decision) error {
	var problems []error
	for _, d := range decisions {
		if strings.HasPrefix(d.Outcome, "failed") {
			problems = append(problems, fmt.Errorf("%s: %d -> %d: %s", d.Service, d.From, d.To, d.Outcome))
		}
	}
	return errors.Join(problems...)
}

// scaleOn runs the loop until ctx ends, with the REST API if it is asked for,
// and prints the decisions as lines.
func scaleOn(ctx context.Context, loop *control.Loop, project *compose.Project, find *finder, o RunOptions) error {
	parts := stack{log: o.Log}
	find.serve(&parts)
	find.startLoop(&parts, loop)
	find.banner(o.Out, o.Cluster)
	ctx, shutdown := context.WithCancel(ctx)
	defer shutdown()
	if o.UI != "" {
		l, err := listen(onUI, o.UI, 0)
		if err != nil {
			return err
		}
		url := "http://" + l.Addr().String()
		d := dashboard{
			loop: loop, services: project.Services, shutdown: shutdown, token: o.Token, version: o.Version,
			urls: map[string]string{onUI: url}, log: o.Log,
		}
		if err := d.serve(&parts, l); err != nil {
			return errors.Join(err, l.Close())
		}
		_, _ = fmt.Fprintf(o.Out, "dashboard     %s\n", url)
	}
	defer shedLater(o.Log)()
	viewing := make(chan struct{})
	go func() {
		defer close(viewing)
		(&view{out: o.Out, loop: loop}).run(ctx)
	}()
	err := loop.Run(ctx)
	shutdown()
	<-viewing
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, parts.close(stopping))
}
