package ecs

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
)

const (
	// addressesPerCall keeps an answer of EC2's, some 8 KB an instance, small. A
	// filter takes 200 values at most.
	addressesPerCall = 100
	// addressRetry is how long EC2 is not asked again for an instance that it said
	// nothing of.
	addressRetry = 10 * time.Second
)

// hostAddresses are the addresses of the cluster's hosts as EC2 tells them. An
// instance keeps its private address for as long as it exists, so that each is
// asked for once.
type hostAddresses struct {
	known  map[string]string    // by instance id
	silent map[string]time.Time // when EC2 was asked and did not tell
	told   string               // the problem that was logged last
}

// addressed fills in the addresses of the hosts that have tasks to be reached
// there. What EC2 does not tell stays unknown: it fails no snapshot, since all
// else is known, and tasks at an unknown address are not routed to.
func (c *Cluster) addressed(ctx context.Context, read *reading) map[string]string {
	result, wanted := map[string]string{}, map[string]string{}
	reached := reachedByHost(read.tasks)
	for i := range read.instances {
		host := containerInstance(&read.instances[i])
		result[host.ARN] = host.Address
		// Hosts that are not EC2's (mi-…) have the attribute or nothing.
		if host.Address == "" && reached[host.ARN] && strings.HasPrefix(host.InstanceID, "i-") {
			wanted[host.InstanceID] = host.ARN
		}
	}
	if len(wanted) > 0 {
		for id, address := range c.askAddresses(ctx, slices.Sorted(maps.Keys(wanted))) {
			result[wanted[id]] = address
		}
	}
	return result
}

// reachedByHost are the container instances with tasks whose ports are the host's.
func reachedByHost(tasks map[string]types.Task) map[string]bool {
	result := map[string]bool{}
	for _, t := range tasks {
		if aws.ToString(t.LastStatus) == string(plimsoll.StatusStopped) || ownAddress(&t) != "" {
			continue
		}
		if slices.ContainsFunc(t.Containers, func(c types.Container) bool { return len(c.NetworkBindings) > 0 }) {
			result[aws.ToString(t.ContainerInstanceArn)] = true
		}
	}
	return result
}

// askAddresses gives the addresses of instances, as far as they are known after
// EC2 was asked for those that were not. Each call stands for itself.
func (c *Cluster) askAddresses(ctx context.Context, ids []string) map[string]string {
	var mu sync.Mutex
	var problems []error
	found := map[string]string{}
	asked := c.unknownAddresses(ids)
	var calls sync.WaitGroup
	for part := range slices.Chunk(asked, addressesPerCall) {
		calls.Go(func() {
			list, err := c.ec2Addresses(ctx, part)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(found, list)
			if err != nil {
				problems = append(problems, err)
			}
		})
	}
	calls.Wait()
	if ctx.Err() != nil {
		return found // the snapshot has failed, which is told
	}
	c.tellAddresses(errors.Join(problems...))
	c.mu.Lock()
	defer c.mu.Unlock()
	next := hostAddresses{known: map[string]string{}, silent: map[string]time.Time{}, told: c.addresses.told}
	for _, id := range ids { // those that are gone are forgotten
		address, told := found[id]
		if !told {
			address, told = c.addresses.known[id], c.addresses.known[id] != ""
		}
		switch at, before := c.addresses.silent[id]; {
		case told:
			next.known[id] = address
		case before && !slices.Contains(asked, id):
			next.silent[id] = at
		default:
			next.silent[id] = c.now()
		}
	}
	c.addresses = next
	return maps.Clone(next.known)
}

// unknownAddresses are the instances that EC2 is to be asked for now.
func (c *Cluster) unknownAddresses(ids []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		at, silent := c.addresses.silent[id]
		return c.addresses.known[id] != "" || (silent && c.now().Sub(at) < addressRetry)
	})
}

// tellAddresses logs a problem once, until it is another or over.
func (c *Cluster) tellAddresses(problem error) {
	text := ""
	if problem != nil {
		text = problem.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if problem != nil && text != c.addresses.told {
		c.log.Warn("EC2 does not tell the addresses of hosts: tasks of network mode bridge or host there are not routed to; "+
			"allow ec2:DescribeInstances, or set the attribute "+AddressAttribute+" on the container instances", "cluster", c.name, "err", problem)
	}
	c.addresses.told = text
}

// ec2Addresses asks EC2 for the addresses of some instances: every page. It gives
// what it has read with the error.
func (c *Cluster) ec2Addresses(ctx context.Context, ids []string) (map[string]string, error) {
	found := map[string]string{}
	// By a filter, since one id that EC2 does not know refuses a list of ids whole.
	form := url.Values{"Action": {"DescribeInstances"}, "Filter.1.Name": {"instance-id"}, "MaxResults": {"1000"}}
	for i, id := range ids {
		form.Set("Filter.1.Value."+strconv.Itoa(i+1), id)
	}
	for {
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return found, ctx.Err()
		}
		page, next, err := c.ec2.addresses(ctx, form, c.timeout)
		<-c.slots
		if err != nil {
			return found, err
		}
		maps.Copy(found, page)
		if next == "" {
			return found, nil
		}
		form.Set("NextToken", next)
	}
}
