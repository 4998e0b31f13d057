package ecs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll"
)

// EventsOptions make Events. Queue and Cluster are always required.
type EventsOptions struct {
	// Queue is the URL of a queue that a rule fills with the cluster's events,
	// or the name of one that Ensure makes so.
	Queue string
	// Cluster is the cluster's short name or ARN.
	Cluster string
	// Endpoint, Region and Credentials are as in Options.
	Endpoint    string
	Region      string
	Credentials aws.CredentialsProvider
	// Hear, if any, gets each event as it came, before the change is told of:
	// Cluster.Hear. One that it keeps stays in the queue, and comes again.
	Hear func(event string) (keep bool)
	Log  *slog.Logger
}

// Events hears of the changes of one cluster by a queue that an EventBridge rule
// fills. The queue is read, and emptied, by this one listener.
type Events struct {
	o       EventsOptions
	queues  *sqs.Client
	rules   *eventbridge.Client
	cluster *awsecs.Client
	url     string // empty until it is known
}

// The long poll of a queue, and the times between two tries after an error.
const (
	pollSeconds   = 20
	pollMessages  = 10
	keptSeconds   = 10 // until an event that is kept comes again
	firstRelisten = time.Second
	lastRelisten  = 30 * time.Second
)

// NewEvents gives a listener; it makes no call yet.
func NewEvents(ctx context.Context, o EventsOptions) (*Events, error) {
	if o.Queue == "" || o.Cluster == "" {
		return nil, errors.New("ecs: events need a queue and a cluster")
	}
	cfg, err := awsConfig(ctx, o.Region, o.Credentials)
	if err != nil {
		return nil, fmt.Errorf("ecs: %w", err)
	}
	if o.Endpoint != "" {
		cfg.BaseEndpoint = &o.Endpoint
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Events{o: o, queues: sqs.NewFromConfig(cfg), rules: eventbridge.NewFromConfig(cfg), cluster: awsecs.NewFromConfig(cfg)}
	if strings.Contains(o.Queue, "://") {
		e.url = o.Queue
	}
	return e, nil
}

// Ensure makes the queue, its policy and the rule be there, where the queue is
// named and no URL was given. It can be called again.
func (e *Events) Ensure(ctx context.Context) error {
	if e.url != "" {
		return nil
	}
	clusterARN, err := e.clusterARN(ctx)
	if err != nil {
		return err
	}
	url, queueARN, err := e.ensureQueue(ctx)
	if err != nil {
		return fmt.Errorf("events queue %q: %w", e.o.Queue, err)
	}
	if err := e.ensureRule(ctx, clusterARN, url, queueARN); err != nil {
		return fmt.Errorf("events rule %q: %w", e.ruleName(), err)
	}
	e.url = url
	return nil
}

func (e *Events) clusterARN(ctx context.Context) (string, error) {
	if strings.HasPrefix(e.o.Cluster, "arn:") {
		return e.o.Cluster, nil
	}
	out, err := e.cluster.DescribeClusters(ctx, &awsecs.DescribeClustersInput{Clusters: []string{e.o.Cluster}})
	if err != nil {
		return "", fmt.Errorf("cluster %q: %w", e.o.Cluster, err)
	}
	if len(out.Clusters) == 0 {
		return "", fmt.Errorf("cluster %q: there is no such cluster to hear of", e.o.Cluster)
	}
	return aws.ToString(out.Clusters[0].ClusterArn), nil
}

func (e *Events) ensureQueue(ctx context.Context) (url, arn string, err error) {
	found, err := e.queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &e.o.Queue})
	var none *sqstypes.QueueDoesNotExist
	switch {
	case errors.As(err, &none):
		made, err := e.queues.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName: &e.o.Queue, Attributes: map[string]string{"MessageRetentionPeriod": "300", "ReceiveMessageWaitTimeSeconds": fmt.Sprint(pollSeconds)},
		})
		if err != nil {
			return "", "", err
		}
		url = aws.ToString(made.QueueUrl)
	case err != nil:
		return "", "", err
	default:
		url = aws.ToString(found.QueueUrl)
	}
	out, err := e.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return "", "", err
	}
	return url, out.Attributes[string(sqstypes.QueueAttributeNameQueueArn)], nil
}

// ruleName is one for each cluster and queue.
func (e *Events) ruleName() string {
	sum := sha256.Sum256([]byte(e.o.Cluster + "\n" + e.o.Queue))
	name := "plimsoll-" + plimsoll.ARNName(e.o.Cluster)
	return name[:min(len(name), 50)] + "-" + hex.EncodeToString(sum[:4])
}

func (e *Events) ensureRule(ctx context.Context, clusterARN, url, queueARN string) error {
	name := e.ruleName()
	pattern, err := json.Marshal(map[string]any{
		"source": []string{"aws.ecs", "aws.ec2"},
		"detail-type": []string{
			"ECS Task State Change", "ECS Container Instance State Change", "ECS Service Action", "ECS Deployment State Change",
			spotNotice,
		},
		// An instance's notice does not say of which cluster it is a host. Events of deployments name no cluster but in their service's ARN.
		"resources": []map[string]string{
			{"prefix": ofCluster(clusterARN, "task")}, {"prefix": ofCluster(clusterARN, "container-instance")},
			{"prefix": ofCluster(clusterARN, "service")}, {"prefix": instances(clusterARN)},
		},
	})
	if err != nil {
		return err
	}
	rule, err := e.rules.PutRule(ctx, &eventbridge.PutRuleInput{
		Name: &name, EventPattern: aws.String(string(pattern)), State: ebtypes.RuleStateEnabled,
		Description: aws.String("Changes of the ECS cluster " + plimsoll.ARNName(clusterARN) + ", for Plimsoll"),
	})
	if err != nil {
		return err
	}
	if err := e.allow(ctx, url, queueARN, aws.ToString(rule.RuleArn)); err != nil {
		return err
	}
	out, err := e.rules.PutTargets(ctx, &eventbridge.PutTargetsInput{
		Rule: &name, Targets: []ebtypes.Target{{Id: aws.String("plimsoll"), Arn: &queueARN}},
	})
	if err != nil {
		return err
	}
	for _, f := range out.FailedEntries {
		return fmt.Errorf("target %s: %s: %s", queueARN, aws.ToString(f.ErrorCode), aws.ToString(f.ErrorMessage))
	}
	return nil
}

// ofCluster is how the ARNs of a kind begin, of what belongs to a cluster.
func ofCluster(clusterARN, kind string) string {
	head, name, _ := strings.Cut(clusterARN, ":cluster/")
	return head + ":" + kind + "/" + name + "/"
}

// instances is how the ARNs of EC2 begin where a cluster is (arn:aws:ec2:).
func instances(clusterARN string) string {
	_, rest, _ := strings.Cut(clusterARN, ":")
	partition, _, _ := strings.Cut(rest, ":")
	return "arn:" + partition + ":ec2:"
}

// allow lets EventBridge send to the queue. A policy that somebody else has
// written is left as it is.
func (e *Events) allow(ctx context.Context, url, queueARN, ruleARN string) error {
	out, err := e.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNamePolicy},
	})
	if err != nil {
		return err
	}
	if policy := out.Attributes[string(sqstypes.QueueAttributeNamePolicy)]; policy != "" {
		if !strings.Contains(policy, ruleARN) {
			return fmt.Errorf("the queue has a policy of its own: allow sqs:SendMessage to events.amazonaws.com there where aws:SourceArn is %s, or name another queue", ruleARN)
		}
		return nil
	}
	policy, err := json.Marshal(map[string]any{
		"Version": "2012-10-17",
		"Statement": []map[string]any{{
			"Sid": "PlimsollEvents", "Effect": "Allow", "Principal": map[string]string{"Service": "events.amazonaws.com"},
			"Action": "sqs:SendMessage", "Resource": queueARN,
			"Condition": map[string]any{"ArnEquals": map[string]string{"aws:SourceArn": ruleARN}},
		}},
	})
	if err != nil {
		return err
	}
	_, err = e.queues.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{
		QueueUrl: &url, Attributes: map[string]string{string(sqstypes.QueueAttributeNamePolicy): string(policy)},
	})
	return err
}

// Listen calls changed after every change that the queue brings, until ctx ends.
// Errors are logged and tried again: whoever listens has a slow look of its own.
func (e *Events) Listen(ctx context.Context, changed func()) {
	wait := firstRelisten
	for ctx.Err() == nil {
		err := e.poll(ctx, changed)
		if err == nil {
			wait = firstRelisten
			continue
		}
		if ctx.Err() != nil {
			return
		}
		e.o.Log.Warn("the events queue cannot be read; changes are seen at the next look", "queue", e.o.Queue, "again in", wait, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRelisten)
	}
}

// poll waits for messages once. A message is but a wake: what changed is read
// from the cluster, where it shows; of a spot instance's end only the notice tells.
func (e *Events) poll(ctx context.Context, changed func()) error {
	if e.url == "" {
		return errors.New("the queue is not there yet")
	}
	out, err := e.queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &e.url, MaxNumberOfMessages: pollMessages, WaitTimeSeconds: pollSeconds, VisibilityTimeout: keptSeconds,
	})
	if err != nil || len(out.Messages) == 0 {
		return err
	}
	var entries []sqstypes.DeleteMessageBatchRequestEntry
	for i, m := range out.Messages {
		if e.o.Hear == nil || !e.o.Hear(aws.ToString(m.Body)) {
			entries = append(entries, sqstypes.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
	}
	changed()
	if len(entries) == 0 {
		return nil
	}
	_, err = e.queues.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &e.url, Entries: entries})
	return err
}
