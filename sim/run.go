package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/engine"
	"plimsoll/scale"
)

// Result is what became of a world.
type Result struct {
	Policy   string
	Measures Measures
	Services []ServiceResult
	Series   []Point
	// Steps are those of the control loop or of the baseline; Changes the
	// desired counts that were set.
	Steps, Changes int
}

// ServiceResult is what became of one service.
type ServiceResult struct {
	Name string
	Measures
	Backlog float64 // at the end
	Changes int
}

// Run lets a world go by. It ends early, with its error, when ctx does.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.check(); err != nil {
		return Result{}, err
	}
	w := newWorld(&cfg)
	w.populate()
	s, err := w.scaler()
	if err != nil {
		return Result{}, err
	}
	for _, f := range cfg.Faults {
		w.plan(f)
	}
	return w.run(ctx, s)
}

// wakeful is the time between two looks at whether the loop is to be woken. Live
// it is woken at once, and ticks every 2 s whatever Config.Step is.
const wakeful = 2 * time.Second

// run steps the scaler and counts, each at its interval, to the world's end.
func (w *world) run(ctx context.Context, s scaler) (Result, error) {
	interval := s.interval()
	var decide, sample time.Duration
	for i := 0; w.now < w.cfg.Length && w.problem == nil; i++ {
		if w.now >= decide || s.urgent() {
			decide = w.now + interval
			if err := s.step(); err != nil {
				return Result{}, err
			}
		}
		if w.now >= sample {
			sample = w.now + w.cfg.Step
			w.protect()
			w.series.add(w.point(s))
		}
		if i%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return Result{}, err
			}
			if w.cfg.Progress != nil {
				w.cfg.Progress(w.now)
			}
		}
		next := min(decide, sample, w.cfg.Length)
		if s.wakes() {
			next = min(next, w.now+wakeful)
		}
		w.pass(next)
	}
	return w.result(s), w.problem
}

func newWorld(cfg *Config) *world {
	w := &world{
		cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 2)),
		byName: map[string]*workload{}, outages: map[string]int{}, lost: map[string]time.Duration{}, drained: map[string]time.Time{}, running: map[string]bool{},
		machine: engine.New(engine.Config{
			Seed: strconv.FormatUint(cfg.Seed, 10), StoppedKeep: time.Minute, StoppedMax: 50, DeregistrationDelay: time.Second,
		}),
	}
	for i := range cfg.Services {
		l := &workload{Service: &cfg.Services[i], world: w}
		w.loads = append(w.loads, l)
		w.byName[l.Policy.Service] = l
	}
	if cfg.Checked {
		w.check = w.verify
	}
	return w
}

// populate makes the cluster, its hosts and its services, each with its minimum
// of tasks.
func (w *world) populate() {
	name := w.cfg.Cluster
	w.must(engine.CreateCluster{Name: name})
	w.launchHosts()
	for _, l := range w.loads {
		p := &l.Policy
		w.must(engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{
			Family: p.Service, Containers: []engine.ContainerDefinition{{
				Name: p.Service, Command: []string{"work"}, CPU: p.Reserved.CPU, Memory: p.Reserved.Memory, Essential: true,
			}},
		}})
		w.must(engine.CreateService{
			Cluster: name, Name: p.Service, TaskDefinition: p.Service, Desired: p.Min,
			Tags: map[string]string{plimsoll.TagPriority: strconv.Itoa(p.Priority)},
		})
	}
}

// scaler is who sets the desired counts.
type scaler interface {
	name() string
	interval() time.Duration
	step() error
	// wakes tells whether it may be woken before its interval is over, urgent
	// that it is to be.
	wakes() bool
	urgent() bool
	// wanted is the sum of what the services are to have.
	wanted() int
}

func (w *world) scaler() (scaler, error) {
	if w.cfg.Baseline != nil {
		return newField(w, w.cfg.Baseline)
	}
	return newProduct(w)
}

// product is Plimsoll itself: the control loop as it runs live.
type product struct {
	world *world
	loop  *control.Loop
	plan  scale.Plan
	// changed counts the changes of each service.
	changed map[string]int
}

func newProduct(w *world) (*product, error) {
	var services []control.Service
	for _, l := range w.loads {
		s := control.Service{Policy: l.Policy}
		for i := range l.Reads {
			from, err := w.source(l, i)
			if err != nil {
				return nil, err
			}
			s.Sources = append(s.Sources, control.Source{Source: from, Interval: l.Reads[i].Interval, MaxAge: max(3*w.cfg.Step, 3*l.Reads[i].Interval, 15*time.Second)})
		}
		services = append(services, s)
	}
	options := control.Options{Platform: &cluster{world: w}, Services: services, Eviction: w.cfg.Eviction, Now: w.clock}
	if w.cfg.Hosts.scale() {
		options.Hosts = &control.Hosts{Scaler: options.Platform.(*cluster), Rules: w.cfg.Hosts.Rules}
	}
	loop, err := control.New(options)
	return &product{world: w, loop: loop, changed: map[string]int{}}, err
}

// source is what a trigger of a service reads.
func (w *world) source(l *workload, trigger int) (*source, error) {
	reads := l.Reads[trigger]
	s := &source{load: l, kind: reads.Kind, target: l.Policy.Triggers[trigger].Target}
	if reads.Kind != Other {
		return s, nil
	}
	if reads.Source == nil {
		return nil, fmt.Errorf("sim: service %q: trigger %d has no source", l.Policy.Service, trigger+1)
	}
	var err error
	s.other, err = reads.Source(w.clock)
	return s, err
}

func (p *product) name() string            { return "plimsoll" }
func (p *product) interval() time.Duration { return p.world.cfg.Step }

func (p *product) wakes() bool { return true }

// urgent: requests are held, messages have come for which nobody is free, or
// room has become free that somebody waits for.
func (p *product) urgent() bool {
	for _, l := range p.world.loads {
		if l.backlog > 0 {
			return true
		}
	}
	for i := range p.plan.Verdicts {
		if p.plan.Verdicts[i].Waiting > 0 {
			return true
		}
	}
	return false
}

func (p *product) step() error {
	state := p.loop.Step(context.Background())
	p.plan = state.Plan
	if state.Problem == "" {
		for _, c := range state.Plan.Changes {
			p.changed[c.Service]++
		}
	}
	return nil
}

func (p *product) wanted() (n int) {
	for i := range p.plan.Verdicts {
		n += p.plan.Verdicts[i].Want
	}
	return n
}

// point is the world of this moment.
func (w *world) point(s scaler) Point {
	p := Point{At: w.now, Wanted: float64(s.wanted()), Hosts: float64(w.hosts)}
	for _, l := range w.loads {
		rate := l.Arrivals.At(w.now)
		need := needed(rate, l.Rate)
		_, pending := w.machine.ServiceCounts(w.cfg.Cluster, l.Policy.Service)
		p.Demand += rate
		p.Needed += float64(need)
		p.Running += float64(l.running)
		p.Pending += float64(pending)
		p.Unmet += float64(max(0, need-l.running))
		p.Backlog += l.backlog
		p.Cost += l.tally.held / 3600
	}
	return p
}

func (w *world) result(s scaler) Result {
	r := Result{Policy: s.name(), Series: w.series.points}
	changed := map[string]int{}
	switch s := s.(type) {
	case *product:
		changed = s.changed
		r.Steps = int(s.loop.State().Step)
	case *field:
		changed = s.changed
	}
	var all []Measures
	for _, l := range w.loads {
		m := l.tally.measures()
		all = append(all, m)
		n := changed[l.Policy.Service]
		r.Changes += n
		r.Services = append(r.Services, ServiceResult{Name: l.Policy.Service, Measures: m, Backlog: l.backlog, Changes: n})
	}
	r.Measures = together(all, w.hostSeconds)
	return r
}
