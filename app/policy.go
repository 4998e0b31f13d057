package app

import (
	"time"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/scale"
)

// policy is what the file says of a service, as decisions take it.
func policy(s compose.Service, prices compose.Prices) scale.Policy {
	p := scale.Policy{
		Service:   s.Name,
		Priority:  s.Scaling.Priority,
		Weight:    s.Scaling.Weight,
		Min:       s.Scaling.Min,
		Max:       s.Scaling.Max,
		Remainder: s.Scaling.Remainder,
		Reserved:  s.Reserved,
		Behavior: scale.Behavior{
			Tolerance:  s.Scaling.Behavior.Tolerance,
			UpWindow:   s.Scaling.Behavior.ScaleUp.StabilizationWindow,
			DownWindow: s.Scaling.Behavior.ScaleDown.StabilizationWindow,
			Up:         rate(s.Scaling.Behavior.ScaleUp.Rate),
			Down:       rate(s.Scaling.Behavior.ScaleDown.Rate),
			Cooldown:   s.Scaling.Behavior.Cooldown,
			Warmup:     s.Scaling.Behavior.Warmup,
		},
		Spend: spend(s, prices),
	}
	if panics := s.Scaling.Behavior.Panic; panics != nil {
		p.Behavior.Panic = &scale.Panic{Threshold: panics.Threshold, Window: panics.Window}
	}
	if f := s.Scaling.Forecast; f != nil {
		p.Forecast = &scale.Forecast{Lead: f.Lead, Quantile: f.Quantile, Seasons: f.Seasons}
	}
	if f := s.Scaling.Formula; f != nil {
		p.Formula = &scale.Formula{Text: f.Expression, Target: f.Target, Activation: f.Activation, Eval: f.Evaluate}
	}
	for _, t := range s.Scaling.Triggers {
		p.Triggers = append(p.Triggers, trigger(t))
	}
	return p
}

func rate(r *compose.Rate) *scale.Rate {
	if r == nil {
		return nil
	}
	return &scale.Rate{Percent: r.Percent, Tasks: r.Tasks, Period: r.Period}
}

// trigger says how a trigger's reading becomes a count.
func trigger(t compose.Trigger) scale.Trigger {
	out := scale.Trigger{Name: t.Name, Mode: scale.Average, Target: 1}
	if t.Fallback != nil {
		out.FailureCount, out.LastGoodFor = t.Fallback.Replicas, t.Fallback.LastValueFor
	}
	switch p := t.Parameters.(type) {
	case *compose.Router:
		out.Mode, out.Target, out.Unit = routerTarget(p)
	case *compose.SQSQueue:
		out.Unit = "messages"
		out.Target, out.Activation = p.QueueLength, p.ActivationQueueLength
		out.Waiting = !p.ScaleOnInFlight
	case *compose.Cron:
		out.Mode = scale.Exact
	case *compose.Random:
		out.Target = p.Target
	case *compose.Script:
		out.Target, out.Activation = p.TargetValue, p.ActivationTargetValue
	case *compose.MetricsAPI:
		out.Target, out.Activation = p.TargetValue, p.ActivationTargetValue
	case *compose.Prometheus:
		out.Target, out.Activation = p.Threshold, p.ActivationThreshold
	case *compose.CPU:
		out.Mode, out.Target, out.Unit = scale.Ratio, p.Value, usedUnit(p.Relative(), "CPU", "CPU units a task")
	case *compose.Memory:
		out.Mode, out.Target, out.Unit = scale.Ratio, p.Value, usedUnit(p.Relative(), "memory", "MiB a task")
	case *compose.CloudWatch:
		out.Target, out.Activation = p.TargetMetricValue, p.ActivationTargetMetricValue
	case *compose.PostgreSQL:
		out.Target, out.Activation = p.TargetQueryValue, p.ActivationTargetQueryValue
	}
	switch {
	case t.Mode == "job":
		out.Mode = scale.Job
	case t.DrainWithin > 0:
		out.Mode, out.DrainWithin = scale.Backlog, t.DrainWithin
	case len(t.Steps) > 0:
		out.Mode = scale.Steps
		for _, step := range t.Steps {
			out.Steps = append(out.Steps, scale.Step(step))
		}
	}
	return out
}

// budget is the capacity of a cluster without hosts; nil without one.
func budget(p *compose.Project) *plimsoll.Resources {
	if p.Budget == nil {
		return nil
	}
	return &plimsoll.Resources{CPU: p.Budget.CPU, Memory: int64(p.Budget.Memory)}
}

// spend is a service's ceiling on what it uses; nil without one.
func spend(s compose.Service, prices compose.Prices) *scale.Spend {
	switch given := s.Scaling.Spend; {
	case given == nil:
		return nil
	case given.TaskHours > 0:
		return &scale.Spend{Limit: given.TaskHours, Price: 1, Unit: "task-hours", Period: given.Period}
	default:
		return &scale.Spend{Limit: given.Cost, Price: prices.Hourly(s.Reserved), Unit: "of cost", Period: given.Period}
	}
}

// routerTarget is the target of a router trigger: counts are per task,
// latencies (in milliseconds) are held as they are.
func routerTarget(p *compose.Router) (mode scale.Mode, target float64, unit string) {
	switch {
	case p.Concurrency > 0:
		return scale.Average, p.Concurrency, "requests in flight"
	case p.RequestsPerSecond > 0:
		return scale.Average, p.RequestsPerSecond, "requests per second"
	case p.LatencyP50 > 0:
		return scale.Ratio, milliseconds(p.LatencyP50), "ms"
	}
	return scale.Ratio, milliseconds(p.LatencyP99), "ms"
}

// usedUnit is the unit of a task's use of a resource.
func usedUnit(relative bool, resource, absolute string) string {
	if relative {
		return "% of the reserved " + resource
	}
	return absolute
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
