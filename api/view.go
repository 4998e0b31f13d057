package api

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/scale"
)

// ServiceView is a service as the API shows it. A figure that is not known is
// null: demand while no reading succeeds, want and grant before the first
// decision and for services that are in the cluster and not under control.
type ServiceView struct {
	Name     string   `json:"name"`
	Priority int      `json:"priority"`
	Min      int      `json:"min"`
	Max      int      `json:"max"`
	Demand   *float64 `json:"demand"`
	Want     *int     `json:"want"`
	Grant    *int     `json:"grant"`
	// Desired, Running, Pending and Protected are counts of tasks.
	Desired   int           `json:"desired"`
	Running   int           `json:"running"`
	Pending   int           `json:"pending"`
	Protected int           `json:"protected"`
	Reason    string        `json:"reason"`
	Triggers  []TriggerView `json:"triggers"`
	Paused    bool          `json:"paused"`
	// Floor is the minimum that a person has set until FloorUntil; 0 is none.
	Floor      int        `json:"floor"`
	FloorUntil *time.Time `json:"floorUntil,omitempty"`
	// Ceiling is the maximum that a person has set until CeilingUntil.
	Ceiling      *int       `json:"ceiling,omitempty"`
	CeilingUntil *time.Time `json:"ceilingUntil,omitempty"`
	// Remainder and Cooperative are the service's options of these names.
	Remainder   bool `json:"remainder"`
	Cooperative bool `json:"cooperative"`
	// Managed tells that the loop sets the service's desired count.
	Managed bool   `json:"managed"`
	URL     string `json:"url,omitempty"`
	// Reserved is what one task reserves.
	Reserved plimsoll.Resources `json:"reserved"`
	// Used is what its tasks were measured to use together; absent where none was.
	Used *UsedView `json:"used,omitempty"`
	// Forecast is absent for a service without a forecast.
	Forecast *ForecastView `json:"forecast,omitempty"`
}

// ForecastView is what a service's forecast says. Tasks is null while there is
// nothing to tell from, and the error, as a share of the last value's, while it is
// not measured. Off says why the forecast is not used.
type ForecastView struct {
	Tasks       *float64 `json:"tasks"`
	LeadSeconds float64  `json:"leadSeconds"`
	Quantile    float64  `json:"quantile"`
	// SeasonSeconds is the length of the season of the least error.
	SeasonSeconds float64  `json:"seasonSeconds,omitempty"`
	Error         *float64 `json:"error"`
	Off           string   `json:"off,omitempty"`
	// Raises tells that the service wants more tasks for it.
	Raises bool   `json:"raises"`
	Reason string `json:"reason"`
}

// TriggerView is what one trigger contributed to a want; its value is null
// while it cannot be read.
type TriggerView struct {
	Name   string   `json:"name"`
	Known  bool     `json:"known"`
	Value  *float64 `json:"value"`
	Want   int      `json:"want"`
	Active bool     `json:"active"`
	Reason string   `json:"reason"`
}

// HostView is a container instance as the API shows it. CPU is in CPU units,
// memory in MiB.
type HostView struct {
	ID         string `json:"id"`
	ARN        string `json:"arn"`
	Zone       string `json:"zone"`
	Address    string `json:"address"`
	Status     string `json:"status"`
	Connected  bool   `json:"connected"`
	CPU        int64  `json:"cpu"`
	Memory     int64  `json:"memory"`
	CPUFree    int64  `json:"cpuFree"`
	MemoryFree int64  `json:"memoryFree"`
	Running    int    `json:"running"`
	Pending    int    `json:"pending"`
	// Tasks are the ids of the tasks on the host that have not stopped.
	Tasks []string `json:"tasks"`
	// Used is what its tasks were measured to use together; absent where none was.
	Used *UsedView `json:"used,omitempty"`
}

// TaskView is a task as the API shows it. Times that have not come are absent.
type TaskView struct {
	ID             string              `json:"id"`
	ARN            string              `json:"arn"`
	Service        string              `json:"service,omitempty"`
	Host           string              `json:"host,omitempty"` // id of the host
	Zone           string              `json:"zone,omitempty"`
	LastStatus     plimsoll.Status     `json:"lastStatus"`
	DesiredStatus  plimsoll.Status     `json:"desiredStatus"`
	Protected      bool                `json:"protected"`
	ProtectedUntil time.Time           `json:"protectedUntil,omitzero"`
	Endpoints      []plimsoll.Endpoint `json:"endpoints"`
	CPU            int64               `json:"cpu"`
	Memory         int64               `json:"memory"`
	CreatedAt      time.Time           `json:"createdAt,omitzero"`
	StartedAt      time.Time           `json:"startedAt,omitzero"`
	StoppingAt     time.Time           `json:"stoppingAt,omitzero"`
	StoppedAt      time.Time           `json:"stoppedAt,omitzero"`
	StopCode       string              `json:"stopCode,omitempty"`
	StoppedReason  string              `json:"stoppedReason,omitempty"`
	ExitCode       *int                `json:"exitCode,omitempty"`
	// Used is what its containers were last measured to use.
	Used *plimsoll.Usage `json:"used,omitempty"`
}

// ServiceViews gives the services under control by priority, then in the
// file's order, then those of the cluster that nobody controls, by name.
func ServiceViews(st control.State, known []Service) []ServiceView {
	verdicts := map[string]scale.Verdict{}
	for _, v := range st.Plan.Verdicts {
		verdicts[v.Service] = v
	}
	inCluster := map[string]plimsoll.Service{}
	for _, c := range st.Cluster.Services {
		inCluster[c.Name] = c
	}
	protected := map[string]int{}
	for _, t := range st.Cluster.Tasks {
		if t.Protected && t.Live() {
			protected[t.Service]++
		}
	}
	out := []ServiceView{}
	managed := map[string]bool{}
	for _, k := range withVerdicts(known, st.Plan.Verdicts) {
		managed[k.Name] = true
		v := ServiceView{
			Name: k.Name, Priority: k.Priority, Min: k.Min, Max: k.Max, Managed: true,
			Remainder: k.Remainder, Cooperative: k.Cooperative, URL: k.URL, Triggers: []TriggerView{},
			Protected: protected[k.Name],
		}
		v.count(inCluster[k.Name])
		if verdict, ok := verdicts[k.Name]; ok {
			v.decide(verdict)
		}
		if o, ok := st.Overrides[k.Name]; ok {
			v.override(o)
		}
		out = append(out, v)
	}
	slices.SortStableFunc(out, func(a, b ServiceView) int { return cmp.Compare(a.Priority, b.Priority) })
	var others []ServiceView
	for _, c := range st.Cluster.Services {
		if !managed[c.Name] {
			v := ServiceView{Name: c.Name, Priority: plimsoll.LowestPriority, Triggers: []TriggerView{},
				Protected: protected[c.Name], Reason: "not under control: its desired count is left alone"}
			v.count(c)
			others = append(others, v)
		}
	}
	slices.SortFunc(others, func(a, b ServiceView) int { return cmp.Compare(a.Name, b.Name) })
	return append(out, others...)
}

// withVerdicts adds to the services of the file those that only the plan names.
func withVerdicts(known []Service, verdicts []scale.Verdict) []Service {
	out := slices.Clone(known)
	for _, v := range verdicts {
		if !slices.ContainsFunc(known, func(k Service) bool { return k.Name == v.Service }) {
			out = append(out, Service{Name: v.Service, Priority: v.Priority, Min: v.Min, Max: v.Max})
		}
	}
	return out
}

func (v *ServiceView) count(c plimsoll.Service) {
	v.Desired, v.Running, v.Pending, v.Reserved = c.Desired, c.Running, c.Pending, c.Reserved
}

func (v *ServiceView) decide(d scale.Verdict) {
	v.Priority, v.Min, v.Max = d.Priority, d.Min, d.Max
	v.Demand, v.Want, v.Grant = d.Demand, &d.Want, &d.Grant
	v.Desired, v.Running, v.Pending, v.Protected = d.Desired, d.Running, d.Pending, d.Protected
	v.Reason = d.Reason
	for _, t := range d.Triggers {
		view := TriggerView{Name: t.Name, Known: t.Known, Want: t.Want, Active: t.Active, Reason: t.Reason}
		if t.Known {
			view.Value = &t.Value
		}
		v.Triggers = append(v.Triggers, view)
	}
	v.Forecast = forecastView(d.Forecast)
}

func forecastView(o *scale.Outlook) *ForecastView {
	if o == nil {
		return nil
	}
	v := &ForecastView{
		LeadSeconds: o.Lead.Seconds(), Quantile: o.Quantile, SeasonSeconds: o.Season.Seconds(),
		Off: o.Off, Raises: o.Raises, Reason: o.String(),
	}
	if o.Known {
		v.Tasks = &o.Tasks
	}
	if o.Measured {
		v.Error = &o.Error
	}
	return v
}

func (v *ServiceView) override(o scale.Override) {
	v.Paused = o.Paused
	if o.Floor > 0 {
		v.Floor, v.FloorUntil = o.Floor, &o.Until
	}
	if !o.CeilingUntil.IsZero() {
		v.Ceiling, v.CeilingUntil = &o.Ceiling, &o.CeilingUntil
	}
}

// hostID is the EC2 instance id, or the last part of the ARN of a host without
// one.
func hostID(c plimsoll.ContainerInstance) string {
	if c.InstanceID != "" {
		return c.InstanceID
	}
	return plimsoll.ARNName(c.ARN)
}

// hostViews gives the hosts by zone, then address.
func hostViews(c plimsoll.Cluster, tasks []TaskView) []HostView {
	on := map[string][]string{}
	for _, t := range tasks {
		if t.Host != "" && t.LastStatus != plimsoll.StatusStopped {
			on[t.Host] = append(on[t.Host], t.ID)
		}
	}
	out := []HostView{}
	for _, h := range c.Instances {
		v := HostView{
			ID: hostID(h), ARN: h.ARN, Zone: h.Zone, Address: h.Address, Status: h.Status, Connected: h.Connected,
			CPU: h.Registered.CPU, Memory: h.Registered.Memory, CPUFree: h.Remaining.CPU, MemoryFree: h.Remaining.Memory,
			Running: h.Running, Pending: h.Pending, Tasks: on[hostID(h)],
		}
		if v.Tasks == nil {
			v.Tasks = []string{}
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b HostView) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), compareAddresses(a.Address, b.Address), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// compareAddresses orders IP addresses as numbers, so that .10 comes after .9.
func compareAddresses(a, b string) int {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX != nil || errY != nil {
		return cmp.Compare(a, b)
	}
	return x.Compare(y)
}

// taskViews gives the tasks, the oldest first.
func taskViews(c plimsoll.Cluster) []TaskView {
	hosts := map[string]string{}
	for _, h := range c.Instances {
		hosts[h.ARN] = hostID(h)
	}
	out := []TaskView{}
	for _, t := range c.Tasks {
		v := TaskView{
			ID: t.ID(), ARN: t.ARN, Service: t.Service, Host: hosts[t.ContainerInstance], Zone: t.Zone,
			LastStatus: t.LastStatus, DesiredStatus: t.DesiredStatus,
			Protected: t.Protected, ProtectedUntil: t.ProtectedUntil, Endpoints: t.Endpoints,
			CPU: t.Reserved.CPU, Memory: t.Reserved.Memory,
			CreatedAt: t.CreatedAt, StartedAt: t.StartedAt, StoppingAt: t.StoppingAt, StoppedAt: t.StoppedAt,
			StopCode: t.StopCode, StoppedReason: t.StoppedReason, ExitCode: t.ExitCode,
		}
		if v.Endpoints == nil {
			v.Endpoints = []plimsoll.Endpoint{}
		}
		if v.Host == "" && t.ContainerInstance != "" {
			v.Host = plimsoll.ARNName(t.ContainerInstance)
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b TaskView) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// live leaves out what has stopped.
func live(tasks []TaskView) []TaskView {
	out := []TaskView{}
	for _, t := range tasks {
		if t.LastStatus != plimsoll.StatusStopped {
			out = append(out, t)
		}
	}
	return out
}
