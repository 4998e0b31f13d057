package ecs

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"golang.org/x/sync/errgroup"

	"plimsoll"
)

// The most that one call takes, by ECS's own limits.
const (
	servicesPerCall    = 10
	tasksPerCall       = 100
	instancesPerCall   = 100
	listPageSize       = 100
	protectionsPerCall = 100
	protectPerCall     = 10
)

// snapshotTimeout ends a snapshot whose lists never end.
const snapshotTimeout = time.Minute

// Snapshot reads the whole cluster, or fails. Services that are not ACTIVE (being
// deleted) are left out: their desired count cannot be set; their tasks are in.
// Of the stopped tasks there are at most Options.StoppedMax, the latest.
func (c *Cluster) Snapshot(ctx context.Context) (plimsoll.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	read := reading{at: c.now()}
	first, firstCtx := errgroup.WithContext(ctx)
	first.Go(func() (err error) { read.services, err = c.readServices(firstCtx); return })
	first.Go(func() (err error) { read.tasks, err = c.readTasks(firstCtx); return })
	first.Go(func() (err error) { read.instances, err = c.readInstances(firstCtx); return })
	if err := first.Wait(); err != nil {
		return plimsoll.Cluster{}, c.problem("read the cluster", err)
	}
	second, secondCtx := errgroup.WithContext(ctx)
	second.Go(func() (err error) { read.definitions, err = c.readDefinitions(secondCtx, &read); return })
	second.Go(func() (err error) { read.protection, err = c.readProtection(secondCtx, read.tasks); return })
	second.Go(func() error { read.addresses = c.addressed(secondCtx, &read); return nil })
	if err := second.Wait(); err != nil {
		return plimsoll.Cluster{}, c.problem("read the cluster", err)
	}
	cluster := read.cluster(plimsoll.ARNName(c.name))
	c.knowHosts(cluster.Instances)
	return cluster, nil
}

// reading is what the calls of one snapshot have brought so far.
type reading struct {
	at          time.Time
	services    []types.Service
	tasks       map[string]types.Task // by ARN
	instances   []types.ContainerInstance
	addresses   map[string]string     // of the instances, by ARN
	definitions map[string]definition // by ARN
	protection  protection
}

// cluster puts the parts together, in a stable order.
func (r *reading) cluster(name string) plimsoll.Cluster {
	result := plimsoll.Cluster{Name: name, At: r.at}
	for i := range r.services {
		s := &r.services[i]
		result.Services = append(result.Services, service(s, r.definitions[aws.ToString(s.TaskDefinition)]))
	}
	for i := range r.instances {
		instance := containerInstance(&r.instances[i])
		instance.Address = r.addresses[instance.ARN]
		result.Instances = append(result.Instances, instance)
	}
	for arn, t := range r.tasks {
		if replaced, ok := r.protection.replaced[arn]; ok {
			if replaced == nil {
				continue
			}
			t = *replaced
		}
		one := task(&t, r.definitions[aws.ToString(t.TaskDefinitionArn)], r.addresses[aws.ToString(t.ContainerInstanceArn)], r.at)
		one.ProtectedUntil, one.Protected = r.protection.until[arn]
		result.Tasks = append(result.Tasks, one)
	}
	slices.SortFunc(result.Services, func(a, b plimsoll.Service) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(result.Instances, func(a, b plimsoll.ContainerInstance) int { return cmp.Compare(a.ARN, b.ARN) })
	slices.SortFunc(result.Tasks, func(a, b plimsoll.Task) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ARN, b.ARN))
	})
	return result
}

// readServices lists the services and describes each page while the next is read.
func (c *Cluster) readServices(ctx context.Context) ([]types.Service, error) {
	g, ctx := errgroup.WithContext(ctx)
	var found gathered[types.Service]
	pages := awsecs.NewListServicesPaginator(c.api, &awsecs.ListServicesInput{
		Cluster: &c.name, MaxResults: aws.Int32(listPageSize),
	})
	// The listing is of the group as well: its first error is the cause of all
	// others, which were cancelled.
	g.Go(func() error {
		return eachPage(ctx, c, pages, func(page *awsecs.ListServicesOutput) {
			for arns := range slices.Chunk(page.ServiceArns, servicesPerCall) {
				g.Go(func() error {
					services, err := c.describeServices(ctx, arns)
					found.add(services...)
					return err
				})
			}
		})
	})
	err := g.Wait()
	return slices.DeleteFunc(found.all, func(s types.Service) bool { return !isActive(&s) }), err
}

func (c *Cluster) describeServices(ctx context.Context, names []string) ([]types.Service, error) {
	out, err := call(ctx, c, c.api.DescribeServices, &awsecs.DescribeServicesInput{
		Cluster: &c.name, Services: names, Include: []types.ServiceField{types.ServiceFieldTags},
	})
	if err != nil {
		return nil, err
	}
	return out.Services, missing("service", len(names), len(out.Services), out.Failures)
}

// readInstances lists without a status: that is every instance which is not
// INACTIVE, and one list cannot lose an instance that changes between two.
func (c *Cluster) readInstances(ctx context.Context) ([]types.ContainerInstance, error) {
	g, ctx := errgroup.WithContext(ctx)
	var found gathered[types.ContainerInstance]
	pages := awsecs.NewListContainerInstancesPaginator(c.api, &awsecs.ListContainerInstancesInput{
		Cluster: &c.name, MaxResults: aws.Int32(listPageSize),
	})
	g.Go(func() error {
		return eachPage(ctx, c, pages, func(page *awsecs.ListContainerInstancesOutput) {
			for arns := range slices.Chunk(page.ContainerInstanceArns, instancesPerCall) {
				g.Go(func() error {
					instances, err := c.describeInstances(ctx, arns)
					found.add(instances...)
					return err
				})
			}
		})
	})
	err := g.Wait()
	return found.all, err
}

func (c *Cluster) describeInstances(ctx context.Context, arns []string) ([]types.ContainerInstance, error) {
	out, err := call(ctx, c, c.api.DescribeContainerInstances, &awsecs.DescribeContainerInstancesInput{
		Cluster: &c.name, ContainerInstances: arns,
	})
	if err != nil {
		return nil, err
	}
	return out.ContainerInstances, missing("container instance", len(arns), len(out.ContainerInstances), out.Failures)
}

// gathered collects what calls side by side bring.
type gathered[T any] struct {
	mu  sync.Mutex
	all []T
}

func (g *gathered[T]) add(items ...T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = append(g.all, items...)
}
