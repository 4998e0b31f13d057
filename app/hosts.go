package app

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"plimsoll"
	"plimsoll/engine"
)

// The second numbers of the hosts' loopback addresses: the home world has those
// from firstBlock on, for each 250 hosts of a zone one; every other world has
// one, from worldBlock on.
const (
	firstBlock = 64
	worldBlock = 128
	mostOfZone = 250
)

// hostGroup is the group of the hosts that a world has from the start.
const hostGroup = "host"

// hosts are a world's logical hosts: dealt out over the zones in turn, each with
// a loopback address of its own (127.64.zone.number).
func (w *world) hosts(count, zones int, each plimsoll.Resources) []engine.HostSpec {
	return w.hostsBeside(nil, hostGroup, count, zones, each)
}

// hostsBeside are the hosts of a group, at addresses that no other host has.
func (w *world) hostsBeside(others map[string]bool, group string, count, zones int, each plimsoll.Resources) []engine.HostSpec {
	out := make([]engine.HostSpec, 0, count)
	next := make([]int, zones) // by zone: the number of the next address
	for i := range count {
		zone := i % zones
		address := w.address(zone, next[zone])
		for others[address] {
			next[zone]++
			address = w.address(zone, next[zone])
		}
		next[zone]++
		out = append(out, engine.HostSpec{
			Name: fmt.Sprintf("%s-%d", group, i+1), Zone: w.region + string(rune('a'+zone)), Address: address, Resources: each,
		})
	}
	return out
}

func (w *world) address(zone, number int) string {
	return fmt.Sprintf("127.%d.%d.%d", w.block+number/mostOfZone, zone+1, number%mostOfZone+1)
}

// doer carries commands out.
type doer interface {
	Do(ctx context.Context, c engine.Command) (any, error)
}

// stackZones is how many zones the hosts of a stack are spread over: as many as
// the subnets that ecs-cli makes.
const stackZones = 2

// SetHosts implements ec2api.Hosts, under the account's quota.
func (w *world) SetHosts(ctx context.Context, cluster, group string, count int, each plimsoll.Resources) error {
	return w.setHosts(ctx, w.bounded, grant{cluster: cluster, count: count, zones: stackZones, each: each}, group)
}

// numbered is the end of a host's name: what comes before is its group.
var numbered = regexp.MustCompile(`-[0-9]+$`)

// setHosts makes the hosts of one group be these many, and leaves the cluster's
// other hosts as they are.
func (w *world) setHosts(ctx context.Context, carry doer, g grant, group string) error {
	w.placing.Lock()
	defer w.placing.Unlock()
	var all []engine.HostSpec
	taken := map[string]bool{}
	own := map[string]engine.HostSpec{} // those of the group that are there
	w.daemon.Read(func(v engine.View) {
		for _, c := range v.Clusters() {
			for _, i := range v.Instances(c.Name) {
				mine := c.Name == g.cluster && !i.Agent && numbered.ReplaceAllString(i.Name, "") == group
				spec := engine.HostSpec{Name: i.Name, Zone: i.Zone, Address: i.Address, Resources: i.Registered}
				switch {
				case mine:
					own[i.Name] = spec
				case c.Name == g.cluster && !i.Agent && !i.Surplus:
					all = append(all, spec)
					taken[i.Address] = true
				default:
					taken[i.Address] = true
				}
			}
		}
	})
	zones := max(1, min(g.zones, g.count))
	if group == hostGroup {
		all = append(all, w.hostsBeside(taken, group, g.count, zones, g.each)...)
	} else {
		for _, h := range own {
			taken[h.Address] = true
		}
		for _, h := range w.hostsBeside(taken, group, g.count, zones, g.each) {
			if there, ok := own[h.Name]; ok {
				h.Zone, h.Address = there.Zone, there.Address // it stays where it is
			}
			all = append(all, h)
		}
	}
	if slices.ContainsFunc(all, func(h engine.HostSpec) bool { return h.Name == "" }) {
		return fmt.Errorf("cluster %q has a host without a name", g.cluster)
	}
	_, err := carry.Do(ctx, engine.PutHosts{Cluster: g.cluster, Hosts: all})
	return err
}
