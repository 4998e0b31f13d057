// Package sqs reads the demand on a service from the length of an Amazon SQS
// queue, in AWS or of the embedded engine. It must not know who works on the
// queue.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll/demand"
	"plimsoll/demand/amazon"
)

// Options make a Source. The keys in errors are those of the trigger.
type Options struct {
	// QueueURL or Queue, a name in the account, says which queue.
	QueueURL, Queue string
	// Region (awsRegion) and Credentials, if both are known, are all that is
	// used; what is missing comes from the AWS environment. The region of a
	// QueueURL of AWS's own is that in its host name.
	Region      string
	Credentials aws.CredentialsProvider
	// Endpoint (awsEndpoint) is the URL of an endpoint other than AWS's own.
	Endpoint string
	// IgnoreInFlight leaves out the messages that are being worked on
	// (scaleOnInFlight: false); Delayed adds those that are not visible yet
	// (scaleOnDelayed: true).
	IgnoreInFlight, Delayed bool
	// Changed, if any, gives a notice when messages have arrived. It holds at
	// most one and is never closed.
	Changed <-chan struct{}
	// Pace, if any, says how often the queue is to be read.
	Pace *Pace
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Source reads one queue.
type Source struct {
	o   Options
	api *awssqs.Client

	mu    sync.Mutex
	url   string // as QueueURL, or as GetQueueUrl gave it; empty: not known yet
	pacer *pacer // nil without Options.Pace
}

var (
	_ demand.Source   = (*Source)(nil)
	_ demand.Notifier = (*Source)(nil)
	_ demand.Pacer    = (*Source)(nil)
)

// New checks the options; it makes no call.
func New(o Options) (*Source, error) {
	if (o.QueueURL == "") == (o.Queue == "") {
		return nil, fmt.Errorf("aws-sqs-queue: queueURL %q, queue %q: exactly one of them must be given", o.QueueURL, o.Queue)
	}
	if err := errors.Join(amazon.CheckURL("queueURL", o.QueueURL), amazon.CheckURL("awsEndpoint", o.Endpoint)); err != nil {
		return nil, fmt.Errorf("aws-sqs-queue: %w", err)
	}
	if o.Region == "" {
		o.Region = regionOf(o.QueueURL)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	cfg, err := amazon.Config(o.Region, o.Credentials)
	if err != nil {
		return nil, fmt.Errorf("aws-sqs-queue: %w", err)
	}
	api := awssqs.NewFromConfig(cfg, func(opts *awssqs.Options) {
		if o.Endpoint != "" {
			opts.BaseEndpoint = aws.String(o.Endpoint)
		}
	})
	s := &Source{o: o, api: api, url: o.QueueURL}
	if o.Pace != nil {
		s.pacer = newPacer(*o.Pace, o.Now())
	}
	return s, nil
}

// regionOf is the region in a host name such as sqs.eu-west-1.amazonaws.com.
func regionOf(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	parts := strings.Split(u.Hostname(), ".")
	if len(parts) >= 4 && parts[0] == "sqs" && parts[2] == "amazonaws" {
		return parts[1]
	}
	return ""
}

// Changed is Options.Changed.
func (s *Source) Changed() <-chan struct{} { return s.o.Changed }

// Read gives the number of messages. A queue that does not exist, or a number
// that the answer lacks, is an error.
func (s *Source) Read(ctx context.Context) (demand.Sample, error) {
	s.paced(func(p *pacer) { p.called(s.o.Now()) })
	sample, err := s.read(ctx)
	if err != nil {
		s.paced((*pacer).failed)
		return demand.Sample{}, fmt.Errorf("aws-sqs-queue %q: %w", s.o.Queue+s.o.QueueURL, err)
	}
	s.paced(func(p *pacer) { p.saw(sample.Value) })
	return sample, nil
}

// Next is when the queue is to be read again; the zero time without a pace.
func (s *Source) Next(now time.Time) (next time.Time) {
	s.paced(func(p *pacer) { next = p.next(now) })
	return next
}

// paced does something to the pacer, if there is one.
func (s *Source) paced(do func(*pacer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pacer != nil {
		do(s.pacer)
	}
}

// part is one of the numbers that a queue's length is made of.
type part struct {
	attribute types.QueueAttributeName
	word      string
}

func (s *Source) parts() []part {
	list := []part{{types.QueueAttributeNameApproximateNumberOfMessages, "visible"}}
	if !s.o.IgnoreInFlight {
		list = append(list, part{types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, "in flight"})
	}
	if s.o.Delayed {
		list = append(list, part{types.QueueAttributeNameApproximateNumberOfMessagesDelayed, "delayed"})
	}
	return list
}

func (s *Source) read(ctx context.Context) (demand.Sample, error) {
	sample := demand.Sample{At: s.o.Now()}
	queue, err := s.queueURL(ctx)
	if err != nil {
		return demand.Sample{}, err
	}
	parts := s.parts()
	var names []types.QueueAttributeName
	for _, p := range parts {
		names = append(names, p.attribute)
	}
	out, err := s.api.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: names})
	if err != nil {
		s.forget(err)
		return demand.Sample{}, err
	}
	var words []string
	for _, p := range parts {
		value, err := demand.ParseValue(out.Attributes[string(p.attribute)])
		if err != nil {
			return demand.Sample{}, fmt.Errorf("%s: %w", p.attribute, err)
		}
		sample.Value += value
		words = append(words, fmt.Sprintf("%.0f %s", value, p.word))
	}
	sample.Detail = strings.Join(words, " + ")
	return sample, nil
}

// queueURL asks for the URL of a queue that is given by name, once.
func (s *Source) queueURL(ctx context.Context) (string, error) {
	s.mu.Lock()
	known := s.url
	s.mu.Unlock()
	if known != "" {
		return known, nil
	}
	out, err := s.api.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: &s.o.Queue})
	if err != nil {
		return "", err
	}
	if aws.ToString(out.QueueUrl) == "" {
		return "", errors.New("the answer to GetQueueUrl has no URL in it")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = *out.QueueUrl
	return s.url, nil
}

// forget drops the URL of a queue that is given by name and exists no more: it
// may be made again, elsewhere.
func (s *Source) forget(err error) {
	var gone *types.QueueDoesNotExist
	if s.o.Queue != "" && errors.As(err, &gone) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.url = ""
	}
}
