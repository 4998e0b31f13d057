// Package ecs is the platform adapter for Amazon ECS: it reads one cluster whole
// and carries out what was decided, through the AWS API. The embedded engine is
// reached by the same calls, at another endpoint. It must not know of demand, of
// the decisions, or of the engine's internals.
package ecs

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
	"plimsoll/platform"
)

// AddressAttribute is the container instance attribute that gives the host's IP
// address, which the ECS API itself does not show. The embedded engine sets it, and
// ECS_INSTANCE_ATTRIBUTES in the agent's configuration may. Without it EC2 is asked
// (DescribeInstances) for hosts that have tasks of bridge or host mode.
const AddressAttribute = "plimsoll.address"

// Options make a Cluster. Only Cluster is always required.
type Options struct {
	// Cluster is the cluster's short name or ARN.
	Cluster string
	// Endpoint is the URL of an ECS endpoint other than the region's own.
	Endpoint string
	// Region and Credentials, if both are given, are all that is used; what is
	// missing comes from the AWS environment and configuration files.
	Region      string
	Credentials aws.CredentialsProvider
	// Project is put on services as plimsoll.TagProject, and services of another
	// project are neither changed nor removed. Empty: no tag, no such check.
	Project string
	// Protected tells for which services the protection of tasks is read at
	// each snapshot (a call for every 100 tasks); nil: for all.
	Protected func(service string) bool
	// StoppedMax bounds the stopped tasks in a snapshot: the latest. Default 200.
	StoppedMax int
	// Parallel bounds the calls under way at the same time. Default 8.
	Parallel int
	// Timeout bounds one call, its retries included. Default 10 s.
	Timeout time.Duration
	// HostGroups are the Auto Scaling groups of the cluster's hosts; empty: those
	// of its capacity providers and of its container instances.
	HostGroups []string
	// Changed, if any, gives a notice when something in the cluster changed. It
	// holds at most one and is never closed.
	Changed <-chan struct{}
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Cluster is one ECS cluster. It is safe for concurrent use.
type Cluster struct {
	api        *awsecs.Client
	scaling    *autoscaling.Client
	ec2        *ec2Query
	hostGroups []string
	name       string
	project    string
	protected  func(service string) bool
	stoppedMax int
	timeout    time.Duration
	changed    <-chan struct{}
	now        func() time.Time
	log        *slog.Logger
	slots      chan struct{} // a value for each call that is under way

	mu          sync.Mutex                    // guards the caches; never held during a call
	registered  map[string]plimsoll.Resources // of the last snapshot's hosts, by instance id
	kinds       map[string]plimsoll.Resources // of instance types
	interrupted map[string]time.Time          // when a notice came, by instance id
	addresses   hostAddresses
	definitions map[string]definition
	ended       endedTasks
}

var (
	_ platform.Cluster     = (*Cluster)(nil)
	_ platform.Watcher     = (*Cluster)(nil)
	_ platform.Deployer    = (*Cluster)(nil)
	_ platform.TaskStopper = (*Cluster)(nil)
	_ platform.Releaser    = (*Cluster)(nil)
	_ platform.Drainer     = (*Cluster)(nil)
	_ platform.Protector   = (*Cluster)(nil)
	_ platform.HostScaler  = (*Cluster)(nil)
)

// New gives a client of the cluster; it makes no call to it. Without Region or
// Credentials the AWS environment is read, and an error says what is amiss there.
func New(ctx context.Context, o Options) (*Cluster, error) {
	if o.Cluster == "" {
		return nil, fmt.Errorf("ecs: no cluster is named: give its short name or ARN")
	}
	cfg, err := awsConfig(ctx, o.Region, o.Credentials)
	if err != nil {
		return nil, fmt.Errorf("ecs: %w", err)
	}
	c := &Cluster{
		name: o.Cluster, project: o.Project, protected: o.Protected, changed: o.Changed,
		stoppedMax: o.StoppedMax, timeout: o.Timeout, now: o.Now, log: o.Log,
		definitions: map[string]definition{}, kinds: map[string]plimsoll.Resources{}, hostGroups: o.HostGroups,
	}
	if c.protected == nil {
		c.protected = func(string) bool { return true }
	}
	if c.stoppedMax <= 0 {
		c.stoppedMax = 200
	}
	if c.timeout <= 0 {
		c.timeout = 10 * time.Second
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	c.slots = make(chan struct{}, o.Parallel)
	c.api = awsecs.NewFromConfig(cfg, func(opts *awsecs.Options) {
		if o.Endpoint != "" {
			opts.BaseEndpoint = aws.String(o.Endpoint)
		}
		// ECS throttles by account and region: after the first refusal the
		// client itself has to slow down, not only to try again later.
		opts.Retryer = retry.NewAdaptiveMode(func(a *retry.AdaptiveModeOptions) {
			a.StandardOptions = append(a.StandardOptions, func(s *retry.StandardOptions) {
				s.MaxAttempts = 5
				s.MaxBackoff = 2 * time.Second
			})
		})
	})
	c.scaling = autoscaling.NewFromConfig(cfg, func(opts *autoscaling.Options) {
		if o.Endpoint != "" {
			opts.BaseEndpoint = aws.String(o.Endpoint)
		}
		opts.Retryer = retry.NewAdaptiveMode()
	})
	c.ec2 = newEC2Query(cfg, o.Endpoint)
	return c, nil
}

// awsConfig leaves the environment and the user's AWS files alone when
// everything is given, so that a profile of theirs cannot get in the way.
func awsConfig(ctx context.Context, region string, credentials aws.CredentialsProvider) (aws.Config, error) {
	if region != "" && credentials != nil {
		return aws.Config{Region: region, Credentials: credentials}, nil
	}
	var options []func(*config.LoadOptions) error
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	if credentials != nil {
		options = append(options, config.WithCredentialsProvider(credentials))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, fmt.Errorf("no AWS region: set AWS_REGION, or region in the AWS profile")
	}
	return cfg, nil
}

// Changed is Options.Changed; without it, a channel on which nothing comes.
func (c *Cluster) Changed() <-chan struct{} { return c.changed }

// EnsureCluster creates the cluster if it does not exist.
func (c *Cluster) EnsureCluster(ctx context.Context) error {
	out, err := call(ctx, c, c.api.DescribeClusters, &awsecs.DescribeClustersInput{Clusters: []string{c.name}})
	if err != nil {
		return c.problem("find the cluster", err)
	}
	for _, found := range out.Clusters {
		if aws.ToString(found.Status) != "INACTIVE" {
			return nil
		}
	}
	name := plimsoll.ARNName(c.name)
	if _, err := call(ctx, c, c.api.CreateCluster, &awsecs.CreateClusterInput{ClusterName: &name}); err != nil {
		return c.problem("create the cluster", err)
	}
	return nil
}

// SetDesired sets a service's desired count.
func (c *Cluster) SetDesired(ctx context.Context, service string, desired int) error {
	if desired < 0 {
		return fmt.Errorf("service %q: desired count %d: it cannot be below 0", service, desired)
	}
	_, err := call(ctx, c, c.api.UpdateService, &awsecs.UpdateServiceInput{
		Cluster: &c.name, Service: &service, DesiredCount: aws.Int32(int32(desired)),
	})
	if err != nil {
		return c.problem(fmt.Sprintf("set the desired count of service %q to %d", service, desired), err)
	}
	return nil
}

// StopTask stops one task, protected or not, as ECS does. It wraps
// platform.ErrNotFound for a task that is unknown.
func (c *Cluster) StopTask(ctx context.Context, arn, reason string) error {
	_, err := call(ctx, c, c.api.StopTask, &awsecs.StopTaskInput{Cluster: &c.name, Task: &arn, Reason: &reason})
	if err != nil {
		return c.problem(fmt.Sprintf("stop task %q", arn), err)
	}
	return nil
}

// Release tags a task with plimsoll.TagReleased. It wraps platform.ErrNotFound
// for a task that is unknown.
func (c *Cluster) Release(ctx context.Context, arn string) error {
	return c.setTaskTag(ctx, "release", arn, plimsoll.TagReleased, c.now())
}

// TakeBack removes that tag.
func (c *Cluster) TakeBack(ctx context.Context, arn string) error {
	return c.setTaskTag(ctx, "take back the release of", arn, plimsoll.TagReleased, time.Time{})
}

// MarkDraining tags a task with plimsoll.TagDraining, or removes that tag.
func (c *Cluster) MarkDraining(ctx context.Context, arn string, until time.Time) error {
	return c.setTaskTag(ctx, "mark as draining", arn, plimsoll.TagDraining, until)
}

// setTaskTag sets a task's tag to a time; the zero time removes it.
func (c *Cluster) setTaskTag(ctx context.Context, doing, arn, key string, value time.Time) (err error) {
	if value.IsZero() {
		_, err = call(ctx, c, c.api.UntagResource, &awsecs.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{key}})
	} else {
		_, err = call(ctx, c, c.api.TagResource, &awsecs.TagResourceInput{
			ResourceArn: &arn, Tags: tags(map[string]string{key: value.UTC().Format(time.RFC3339)}),
		})
	}
	if err != nil {
		return c.problem(fmt.Sprintf("%s task %q", doing, arn), err)
	}
	return nil
}

// tags gives ECS's form of a set of tags, by key.
func tags(set map[string]string) []types.Tag {
	list := make([]types.Tag, 0, len(set))
	for _, key := range sortedKeys(set) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(set[key])})
	}
	return list
}

func tagMap(list []types.Tag) map[string]string {
	set := make(map[string]string, len(list))
	for _, tag := range list {
		set[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return set
}
