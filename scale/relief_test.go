package scale_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/scale"
)

// relief is a service of four tasks, whose names begin with the deployment's.
func relief(minimum int, tasks ...string) scale.ReliefInput {
	in := scale.ReliefInput{
		Now: noon, Patience: scale.ReliefPatience, Protected: map[string]time.Time{}, Held: map[string]time.Time{}, Exits: map[string]bool{},
		Service: plimsoll.Service{
			Name: "web", Desired: 4, Rolling: true, MinimumHealthy: minimum, Deployments: []plimsoll.Deployment{{ID: "new", Primary: true}, {ID: "old"}},
		},
	}
	for i, name := range tasks {
		deployment, _, _ := strings.Cut(name, "-")
		in.Tasks = append(in.Tasks, plimsoll.Task{
			ARN: name, Service: "web", Deployment: deployment, Zone: "a", LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
			CreatedAt: noon.Add(time.Duration(i-100) * time.Minute), StartedAt: noon.Add(time.Duration(i-100) * time.Minute),
		})
	}
	return in
}

// hold has the tasks protected as this loop has asked for.
func hold(in *scale.ReliefInput, tasks ...string) {
	for _, arn := range tasks {
		in.Held[arn] = in.Now.Add(scale.ReliefHold)
		in.Protected[arn] = in.Held[arn]
	}
}

func TestTasksOfAFormerDeploymentAreRelieved(t *testing.T) {
	old := []string{"old-1", "old-2", "old-3", "old-4"}
	with := func(more ...string) []string { return append(slices.Clone(old), more...) }
	edit := func(in *scale.ReliefInput, arn string, f func(*plimsoll.Task)) {
		f(&in.Tasks[slices.IndexFunc(in.Tasks, func(t plimsoll.Task) bool { return t.ARN == arn })])
	}
	for what, c := range map[string]struct {
		minimum int
		tasks   []string
		change  func(*scale.ReliefInput)
		want    scale.ReliefPlan
	}{
		"they are protected while nobody serves in their place": {100, old, nil, scale.ReliefPlan{Protect: old}},
		"as many go as new ones are healthy": {100, with("new-1", "new-2"), func(in *scale.ReliefInput) { hold(in, old...) },
			scale.ReliefPlan{Out: []string{"old-4", "old-3"}}},
		"a new task without health checks counts after 40 s": {100, with("new-1", "new-2"), func(in *scale.ReliefInput) {
			hold(in, old...)
			edit(in, "new-1", func(t *plimsoll.Task) { t.StartedAt = noon.Add(-39 * time.Second) })
			edit(in, "new-2", func(t *plimsoll.Task) { t.StartedAt = noon.Add(-40 * time.Second) })
		}, scale.ReliefPlan{Out: []string{"old-4"}}},
		"one that is checked counts when it is healthy": {100, with("new-1", "new-2"), func(in *scale.ReliefInput) {
			hold(in, old...)
			edit(in, "new-1", func(t *plimsoll.Task) { t.Checked, t.StartedAt = true, noon })
			edit(in, "new-2", func(t *plimsoll.Task) { t.Checked, t.Unwell = true, true })
		}, scale.ReliefPlan{Out: []string{"old-4"}}},
		"without room for new ones go as many as may be missing": {50, old, nil,
			scale.ReliefPlan{Protect: old, Out: []string{"old-4", "old-3"}}},
		"of 10 % the floor is rounded up":               {10, old, nil, scale.ReliefPlan{Protect: old, Out: []string{"old-4", "old-3", "old-2"}}},
		"with a floor of 0 all go, and are drained too": {0, old, nil, scale.ReliefPlan{Protect: old, Out: []string{"old-4", "old-3", "old-2", "old-1"}}},
		"those that have been seen out are let go": {100, with("new-1", "new-2"), func(in *scale.ReliefInput) {
			hold(in, old...)
			in.Exits["old-4"], in.Exits["old-3"] = true, false
		}, scale.ReliefPlan{Unprotect: []string{"old-4"}}},
		"those stay that new ones have failed for": {100, with("new-1"), func(in *scale.ReliefInput) {
			hold(in, old...)
			in.Exits["old-4"], in.Exits["old-3"] = true, false
		}, scale.ReliefPlan{Stay: []string{"old-3"}, Unprotect: []string{"old-4"}}},
		"protection is made longer in time": {100, old, func(in *scale.ReliefInput) {
			hold(in, old...)
			for _, arn := range old[:2] {
				in.Held[arn] = noon.Add(80 * time.Second)
				in.Protected[arn] = in.Held[arn]
			}
		}, scale.ReliefPlan{Protect: old[:2]}},
		"what the application protects is left to it": {100, with("new-1", "new-2"), func(in *scale.ReliefInput) {
			hold(in, old...)
			in.Protected["old-4"], in.Protected["old-3"] = noon.Add(time.Hour), noon.Add(4*time.Minute)
			in.Exits["old-4"] = true
		}, scale.ReliefPlan{Stay: []string{"old-4"}, Out: []string{"old-1", "old-2"}}},
		"when it soon protects it no more, it is seen out": {100, with("new-1"), func(in *scale.ReliefInput) {
			hold(in, old...)
			in.Protected["old-4"] = noon.Add(2 * time.Minute)
		}, scale.ReliefPlan{Out: []string{"old-4"}}},
		"what is protected by another is taken over before it lapses": {100, old, func(in *scale.ReliefInput) {
			hold(in, old...)
			in.Protected["old-3"], in.Protected["old-4"] = noon.Add(31*time.Second), noon.Add(29*time.Second)
		}, scale.ReliefPlan{Protect: []string{"old-4"}}},
		"no more are protected than are desired": {100, old, func(in *scale.ReliefInput) { in.Service.Desired = 3 },
			scale.ReliefPlan{Protect: old[:3], Out: []string{"old-4"}}},
		"what is unhealthy is the platform's to replace": {100, old, func(in *scale.ReliefInput) {
			hold(in, "old-1")
			edit(in, "old-1", func(t *plimsoll.Task) { t.Unwell = true })
			edit(in, "old-2", func(t *plimsoll.Task) { t.Unwell = true })
		}, scale.ReliefPlan{Protect: []string{"old-3", "old-4"}, Unprotect: []string{"old-1"}}},
		"what another loop has marked goes first": {100, with("new-1", "new-2"), func(in *scale.ReliefInput) {
			hold(in, old...)
			edit(in, "old-1", func(t *plimsoll.Task) { t.Draining = true })
		}, scale.ReliefPlan{Out: []string{"old-1", "old-4"}}},
		"what leaves with its host is left alone": {100, with("new-1"), func(in *scale.ReliefInput) {
			in.Away = map[string]bool{"old-1": true, "old-2": true}
		}, scale.ReliefPlan{Protect: []string{"old-3", "old-4"}}},
		"a deployment that the service does not show is not a former one": {100, []string{"newer-1", "new-1"}, nil, scale.ReliefPlan{}},
		"a daemon's tasks are left alone":                                 {0, old, func(in *scale.ReliefInput) { in.Service.Daemon = true }, scale.ReliefPlan{}},
		"CodeDeploy's are left alone":                                     {0, old, func(in *scale.ReliefInput) { in.Service.Rolling = false }, scale.ReliefPlan{}},
		"when it is rolled back, all stay": {100, []string{"old-1", "old-2", "new-1"}, func(in *scale.ReliefInput) {
			in.Service.Deployments = []plimsoll.Deployment{{ID: "old", Primary: true}, {ID: "new"}}
			hold(in, "old-1", "old-2")
			in.Exits["old-1"] = true
			edit(in, "old-2", func(t *plimsoll.Task) { t.Draining = true })
		}, scale.ReliefPlan{Stay: []string{"old-1", "old-2"}, Protect: []string{"new-1"}, Unprotect: []string{"old-1", "old-2"}}},
		"when nothing has moved for long, the platform goes its own way": {50, old, func(in *scale.ReliefInput) {
			hold(in, old...)
			in.Exits["old-4"], in.Exits["old-3"] = true, false
			in.Memory = scale.ReliefMemory{Deployment: "new", Left: 4, Since: noon.Add(-scale.ReliefPatience)}
		}, scale.ReliefPlan{Stay: []string{"old-3", "old-4"}, Unprotect: old}},
	} {
		in := relief(c.minimum, c.tasks...)
		if c.change != nil {
			c.change(&in)
		}
		got := scale.Relieve(in)
		for name, lists := range map[string][2][]string{
			"stay": {got.Stay, c.want.Stay}, "are protected": {got.Protect, c.want.Protect},
			"are seen out": {got.Out, c.want.Out}, "are let go": {got.Unprotect, c.want.Unprotect},
		} {
			slices.Sort(lists[0])
			slices.Sort(lists[1])
			if !slices.Equal(lists[0], lists[1]) {
				t.Errorf("%s: %q %s, not %q", what, lists[0], name, lists[1])
			}
		}
	}
}

// rollingModel is an ECS in deployments, and what carries the plans out.
type rollingModel struct {
	t       *rapid.T
	now     time.Time
	service plimsoll.Service
	maximum int
	room    int
	next    int
	tasks   map[string]*plimsoll.Task
	until   map[string]time.Time // of protection
	held    map[string]time.Time
	ends    map[string]time.Time // of exits
	memory  scale.ReliefMemory
	failing bool // new tasks end as soon as they run
	active  bool
}

func (m *rollingModel) floor() int {
	return (m.service.Desired*m.service.MinimumHealthy + 99) / 100
}

func (m *rollingModel) protected(arn string) bool { return m.now.Before(m.until[arn]) }

func (m *rollingModel) primary() string {
	for _, d := range m.service.Deployments {
		if d.Primary {
			return d.ID
		}
	}
	return ""
}

func (m *rollingModel) former(t *plimsoll.Task) bool { return t.Deployment != m.primary() }

// healthy counts the tasks that count; serving, those without a mark.
func (m *rollingModel) healthy() (healthy, serving int) {
	for arn, t := range m.tasks {
		if t.LastStatus == plimsoll.StatusRunning && m.now.Sub(t.StartedAt) >= 40*time.Second {
			healthy++
			if _, leaves := m.ends[arn]; !leaves {
				serving++
			}
		}
	}
	return healthy, serving
}

func (m *rollingModel) stop(arn string) {
	delete(m.tasks, arn)
	delete(m.until, arn)
	delete(m.held, arn)
	delete(m.ends, arn)
}

// ecs stops what the deployment's floor allows and starts what its ceiling does.
func (m *rollingModel) ecs() {
	mine := 0
	for _, arn := range slices.Sorted(maps.Keys(m.tasks)) {
		t := m.tasks[arn]
		healthy, _ := m.healthy()
		counts := t.LastStatus == plimsoll.StatusRunning && m.now.Sub(t.StartedAt) >= 40*time.Second
		switch {
		case !m.former(t):
			if mine++; mine > m.service.Desired && !m.protected(arn) {
				m.stop(arn)
			} else if m.failing && t.LastStatus == plimsoll.StatusRunning {
				m.stop(arn)
			} else if t.LastStatus != plimsoll.StatusRunning {
				t.LastStatus, t.StartedAt = plimsoll.StatusRunning, m.now
			}
		case !m.protected(arn) && (!counts || healthy > m.floor()):
			m.stop(arn)
		}
	}
	for mine < m.service.Desired && len(m.tasks) < min(m.room, m.service.Desired*m.maximum/100) {
		m.start(plimsoll.StatusPending)
		mine++
	}
	m.service.Deployments = slices.DeleteFunc(m.service.Deployments, func(d plimsoll.Deployment) bool {
		for _, t := range m.tasks {
			if t.Deployment == d.ID {
				return false
			}
		}
		return !d.Primary
	})
}

func (m *rollingModel) start(status plimsoll.Status) {
	m.next++
	t := &plimsoll.Task{
		ARN: fmt.Sprintf("task-%03d", m.next), Service: "web", Deployment: m.primary(), Zone: []string{"a", "b"}[m.next%2],
		LastStatus: status, DesiredStatus: plimsoll.StatusRunning, CreatedAt: m.now, StartedAt: m.now.Add(-time.Hour),
	}
	m.tasks[t.ARN] = t
}

func (m *rollingModel) deploy(id string) {
	m.service.Deployments = slices.DeleteFunc(m.service.Deployments, func(d plimsoll.Deployment) bool { return d.ID == id })
	for i := range m.service.Deployments {
		m.service.Deployments[i].Primary = false
	}
	m.service.Deployments = append([]plimsoll.Deployment{{ID: id, Primary: true}}, m.service.Deployments...)
}

// relieve makes one pass and checks what it does.
func (m *rollingModel) relieve(takes time.Duration) {
	in := scale.ReliefInput{
		Now: m.now, Service: m.service, Held: maps.Clone(m.held), Memory: m.memory, Patience: 5 * time.Minute,
		Protected: map[string]time.Time{}, Exits: map[string]bool{},
	}
	for _, arn := range slices.Sorted(maps.Keys(m.tasks)) {
		t := *m.tasks[arn]
		_, t.Draining = m.ends[arn]
		in.Tasks = append(in.Tasks, t)
		if m.protected(arn) {
			in.Protected[arn] = m.until[arn]
		}
		if end, leaves := m.ends[arn]; leaves {
			in.Exits[arn] = !m.now.Before(end)
		}
	}
	plan := scale.Relieve(in)
	m.memory, m.active = plan.Memory, plan.Active
	for _, arn := range plan.Stay {
		delete(m.ends, arn)
	}
	for _, arn := range plan.Unprotect {
		if !m.until[arn].Equal(m.held[arn]) {
			m.t.Fatalf("the protection of %s is another's", arn)
		}
		end, leaves := m.ends[arn]
		if leaves && m.now.Before(end) {
			m.t.Fatalf("%s is marked, and left to the platform before its requests have ended", arn)
		}
		if plan.Active && !leaves && m.former(m.tasks[arn]) {
			m.t.Fatalf("%s is left to the platform, and was not seen out", arn)
		}
		delete(m.until, arn)
		if _, serving := m.healthy(); leaves && serving < m.floor() {
			m.t.Fatalf("%s may be stopped, and %d serve, fewer than %d", arn, serving, m.floor())
		}
	}
	for _, arn := range plan.Protect {
		until, protected := in.Protected[arn]
		if protected && !until.Equal(in.Held[arn]) && until.Sub(m.now) >= 30*time.Second {
			m.t.Fatalf("%s is protected by another, and would be by us", arn)
		}
		if n := m.protections(); !protected && n >= m.service.Desired {
			m.t.Fatalf("%s is protected where ECS refuses it: %d are", arn, n)
		}
		m.until[arn], m.held[arn] = m.now.Add(scale.ReliefHold), m.now.Add(scale.ReliefHold)
	}
	_, before := m.healthy()
	for _, arn := range plan.Out {
		m.ends[arn] = m.now.Add(takes)
	}
	if _, serving := m.healthy(); serving < before && serving < m.floor() {
		m.t.Fatalf("%d serve, fewer than %d: %+v", serving, m.floor(), plan)
	}
}

func (m *rollingModel) protections() (n int) {
	for arn := range m.tasks {
		if m.protected(arn) {
			n++
		}
	}
	return n
}

// However deployments, rollbacks, counts and room come and go: no more go than
// minimumHealthyPercent permits, none before it has been seen out, and it ends.
func TestADeploymentIsRelievedWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &rollingModel{
			t: t, now: noon, tasks: map[string]*plimsoll.Task{}, until: map[string]time.Time{}, held: map[string]time.Time{}, ends: map[string]time.Time{},
			service: plimsoll.Service{Name: "web", Rolling: true, Deployments: []plimsoll.Deployment{{ID: "d0", Primary: true}}},
		}
		percents := rapid.SampledFrom([][2]int{{100, 200}, {100, 150}, {50, 100}, {50, 150}, {0, 100}, {75, 125}, {34, 101}}).Draw(t, "percents")
		m.service.MinimumHealthy, m.maximum = percents[0], percents[1]
		m.service.Desired = rapid.IntRange(0, 8).Draw(t, "desired")
		m.room = rapid.IntRange(m.service.Desired, 20).Draw(t, "room")
		for range m.service.Desired {
			m.start(plimsoll.StatusRunning)
		}
		takes := time.Duration(rapid.IntRange(0, 200).Draw(t, "drain seconds")) * time.Second
		tick := func() {
			m.now = m.now.Add(5 * time.Second)
			m.relieve(takes)
			m.ecs()
		}
		for n := range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				m.deploy(fmt.Sprintf("d%d", n+1))
			case 2:
				m.deploy(m.service.Deployments[len(m.service.Deployments)-1].ID)
			case 3:
				m.service.Desired = rapid.IntRange(0, 8).Draw(t, "desired")
			case 4:
				m.failing = !m.failing
			case 5:
				if arns := slices.Sorted(maps.Keys(m.tasks)); len(arns) > 0 {
					m.until[rapid.SampledFrom(arns).Draw(t, "protected")] = m.now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "minutes"))*time.Minute + time.Millisecond)
				}
			}
			for range rapid.IntRange(1, 60).Draw(t, "ticks") {
				tick()
			}
		}
		m.failing = false
		// An application's protection may last until then for 20 minutes.
		most := m.now.Add(time.Duration(len(m.tasks)+1)*5*time.Minute + 21*time.Minute)
		for m.now.Before(most) {
			tick()
		}
		if m.active {
			t.Fatalf("it goes on: %d tasks, %+v", len(m.tasks), m.service.Deployments)
		}
		for arn := range m.tasks {
			if _, leaves := m.ends[arn]; leaves || m.protected(arn) && m.until[arn].Equal(m.held[arn]) {
				t.Fatalf("%s is protected, or seen out, without need", arn)
			}
		}
	})
}
