package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Engine runs the embedded engine alone, without the scaler, until ctx ends,
// and then stops its tasks.
func Engine(ctx context.Context, o EngineOptions) (err error) {
	if err := needsGuard(onAWS, o.AWS, "--tls-cert and --tls-key", o.CertFile != ""); err != nil {
		return err
	}
	if o.AllowReset && !isLoopback(o.AWS) {
		return misusef("--allow-reset: POST /_reset asks for no signature, and --aws %s can be reached from other machines: give a loopback address such as 127.0.0.1", o.AWS)
	}
	state, err := openState(o.State)
	if err != nil {
		return err
	}
	open, err := openListeners(state.lastRun(), map[string]string{onAWS: o.AWS, onAgent: anyPort}, o.CertFile, o.KeyFile)
	if err != nil {
		return err
	}
	run := RunFile{
		PID: os.Getpid(), Started: time.Now(), Region: o.Region, Ports: open.ports(),
		AWS: scheme(o.CertFile) + open.address(onAWS),
	}
	allow, err := o.Allow.allow()
	if err != nil {
		open.close()
		return err
	}
	images, err := o.Images.options()
	if err != nil {
		open.close()
		return err
	}
	name, err := chooseRuntime(ctx, o.Runtime, nil)
	if err != nil {
		open.close()
		return err
	}
	parts := stack{log: o.Log}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait+10*time.Second)
		defer cancel()
		err = errors.Join(err, parts.close(stopping))
	}()
	given := grant{cluster: o.Cluster, count: o.Hosts, zones: o.Zones, each: o.Each}
	e, err := startEngine(ctx, &parts, embeddedOptions{
		state: state, aws: open[onAWS], agent: open[onAgent], endpoint: open.endpoint(run.AWS, o.CertFile),
		region: o.Region, runtime: name, allow: allow, images: images, prefetch: o.Images.Prefetch, hosts: given, allowReset: o.AllowReset, log: o.Log,
	})
	if err != nil {
		open.close()
		return err
	}
	parts.push("the tasks", func(ctx context.Context) error { return e.shutdown(ctx) })
	if err := e.putHosts(ctx, given); err != nil {
		return err
	}
	if err := parts.writeRun(state, run); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(o.Out, "AWS endpoint  %s\nstate         %s\nruntime       %s\n", run.AWS, state, name)
	defer shedLater(o.Log)()
	<-ctx.Done()
	_, _ = fmt.Fprintln(o.Out, "stopping all tasks")
	return nil
}
