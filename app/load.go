package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll/compose"
	"plimsoll/load"
	"plimsoll/router"
)

// The height of the built-in curve: what two cores can answer of the example,
// and a little more.
const (
	peakRequests = 60.0 // per second
	peakMessages = 2.0  // per second, in bursts of two seconds
)

// startLoad replays the traffic curve against the project, as a client of the
// router and of the AWS endpoint.
func (u *up) startLoad() error {
	if !u.o.Load {
		return nil
	}
	targets, queues := loadOf(u.project, u.run.Router, u.routerToken())
	var err error
	u.load, err = load.New(load.Options{
		Curve: u.curve, Targets: targets, Queues: queues, For: u.o.LoadFor, Log: u.o.Log,
		Sender: newSender(awsAccess{Endpoint: u.engine.endpoint, Region: u.run.Region, Credentials: u.engine.provider()}),
	})
	if err != nil {
		return fmt.Errorf("%s: --load: %w", u.project.File, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		summary, err := u.load.Run(ctx)
		if err != nil {
			u.o.Log.Error("the load ended", "err", err)
			return
		}
		u.o.Log.Info("the load ended", slog.String("summary", summary.String()))
	}()
	u.stack.push("the load", func(context.Context) error { stop(); <-ended; return nil })
	return nil
}

// readCurve gives the curve to replay: that of a file, or the built-in one.
func readCurve(o UpOptions) (load.Curve, error) {
	if o.Trace == "" {
		return load.Builtin(peakRequests, peakMessages)
	}
	file, err := os.Open(o.Trace)
	if err != nil {
		return load.Curve{}, misusef("--trace: %w", err)
	}
	defer func() { _ = file.Close() }()
	curve, err := load.ReadTrace(file, o.Trace)
	if err != nil {
		return load.Curve{}, misusef("--trace: %w", err)
	}
	return curve, nil
}

// loadOf is what the file says that the load sends, and where.
func loadOf(project *compose.Project, routerURL, token string) ([]load.Target, []load.Queue) {
	var targets []load.Target
	var queues []load.Queue
	header := http.Header{}
	if token != "" {
		header.Set(router.TokenField, token)
	}
	for _, s := range project.Services {
		l := s.Scaling.Load
		if l == nil {
			continue
		}
		if r := s.Scaling.Route; r != nil && len(l.Paths) > 0 {
			targets = append(targets, load.Target{URL: routerURL, Host: r.Host, Header: header, Paths: l.Paths, Share: l.Share})
		}
		for _, t := range s.Scaling.Triggers {
			if p, ok := t.Parameters.(*compose.SQSQueue); ok && len(l.Messages) > 0 {
				queues = append(queues, load.Queue{Name: cmp.Or(p.QueueURL, p.Queue), Bodies: l.Messages, Share: l.Share})
			}
		}
	}
	return targets, queues
}

// sender puts the load's messages into SQS queues, by name or by URL.
type sender struct {
	api  *awssqs.Client
	urls map[string]string
}

func newSender(access awsAccess) *sender {
	return &sender{
		api: awssqs.NewFromConfig(aws.Config{
			Region: access.Region, BaseEndpoint: &access.Endpoint, Credentials: access.Credentials,
		}),
		urls: map[string]string{},
	}
}

// Send implements load.Sender. It is called from one goroutine.
func (s *sender) Send(ctx context.Context, queue string, bodies []string) error {
	url, err := s.url(ctx, queue)
	if err != nil {
		return err
	}
	in := &awssqs.SendMessageBatchInput{QueueUrl: &url}
	for i, body := range bodies {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: new(fmt.Sprint(i)), MessageBody: &body})
	}
	out, err := s.api.SendMessageBatch(ctx, in)
	if err != nil {
		return err
	}
	var problems []error
	for _, f := range out.Failed {
		problems = append(problems, fmt.Errorf("message %s: %s", aws.ToString(f.Id), aws.ToString(f.Message)))
	}
	return errors.Join(problems...)
}

func (s *sender) url(ctx context.Context, queue string) (string, error) {
	if url, ok := s.urls[queue]; ok {
		return url, nil
	}
	out, err := s.api.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: &queue})
	if err != nil {
		return "", err
	}
	s.urls[queue] = aws.ToString(out.QueueUrl)
	return s.urls[queue], nil
}
