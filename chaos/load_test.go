package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// client calls the engine with what chance says, until its stop is closed. It
// has a service and a queue of its own, so that their order is known.
type client struct {
	t     *testing.T
	name  string
	r     *rand.Rand
	o     *oracle
	l     ledger
	ecs   *ecs.Client
	sqs   *sqs.Client
	calls int
}

// mostLive is how many tasks run at a time, those of services apart.
const mostLive = 24

// load has clients call until the stop is closed, and returns when all have ended.
func load(t *testing.T, e *engine, o *oracle, l ledger, seed, round uint64, stop <-chan struct{}) *sync.WaitGroup {
	var all sync.WaitGroup
	tasks, queues := e.clients(once)
	for i := range uint64(4) {
		c := &client{
			t: t, name: fmt.Sprint("client-", i), r: rand.New(rand.NewPCG(seed, round<<8|i)),
			o: o, l: l, ecs: tasks, sqs: queues,
		}
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !c.act() {
					return // nobody answers any more
				}
				c.calls++
			}
		})
	}
	return &all
}

// act does one thing. False: the engine is gone.
func (c *client) act() bool {
	var err error
	switch n := c.r.IntN(100); {
	case n < 30:
		err = c.runTask()
	case n < 42:
		err = c.stopTask()
	case n < 50:
		c.tellOne()
	case n < 65:
		err = c.scale()
	case n < 72:
		err = c.register()
	case n < 88:
		err = c.send()
	default:
		err = c.receive()
	}
	var refusal smithy.APIError
	if errors.As(err, &refusal) {
		c.t.Errorf("%s: the engine refused a good call: %v", c.name, err)
	}
	return err == nil
}

func (c *client) token() string { return fmt.Sprintf("%s-%08x", c.name, c.r.Uint32()) }

func (c *client) runTask() error {
	if len(c.o.arns()) >= mostLive {
		return nil
	}
	ctx, cancel := within(c.t)
	defer cancel()
	token := c.token()
	c.o.with(func() { c.o.asked[token] = true })
	out, err := c.ecs.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("chaos"), StartedBy: &token})
	if err != nil {
		return err
	}
	if len(out.Tasks) != 1 {
		c.t.Errorf("RunTask with room for it: %+v", out.Failures)
		return nil
	}
	c.o.answered(func() {
		delete(c.o.asked, token)
		c.o.tasks[*out.Tasks[0].TaskArn] = &task{arn: *out.Tasks[0].TaskArn}
	})
	return nil
}

func (c *client) stopTask() error {
	one := c.o.pick(c.r.IntN(1000), func(t *task) bool { return !t.ends() })
	if one == nil {
		return nil
	}
	ctx, cancel := within(c.t)
	defer cancel()
	c.o.with(func() { one.stop = true })
	_, err := c.ecs.StopTask(ctx, &ecs.StopTaskInput{Task: &one.arn})
	if err == nil {
		c.o.answered(func() {})
		return nil
	}
	// Perhaps it was carried out, perhaps not: asked again after the restart.
	return err
}

// tellOne has a task that runs end with a code.
func (c *client) tellOne() { tellTask(c.t, c.o, c.l, c.r) }

func tellTask(t *testing.T, o *oracle, l ledger, r *rand.Rand) {
	how := told[r.IntN(len(told))]
	one := o.pick(r.IntN(1000), func(t *task) bool { return !t.ends() })
	if one == nil {
		return
	}
	pids, err := l.started()
	if err != nil {
		t.Error(err)
		return
	}
	its := pids[id(one.arn)]
	if len(its) != 1 || !l.alive(id(one.arn), its[0]) {
		return // it has not begun yet
	}
	o.with(func() { one.codes = append(one.codes, how.code) })
	_ = syscall.Kill(its[0], how.signal) // it may have ended just now
}

func id(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// scale makes the client's service, or sets its desired count.
func (c *client) scale() error {
	ctx, cancel := within(c.t)
	defer cancel()
	count := c.r.Int32N(4)
	made := false
	c.o.with(func() {
		d := c.o.services[c.name]
		if made = d != nil; !made {
			d = &desired{}
			c.o.services[c.name] = d
			d.counts = []int32{-1} // none: it may not be there
		}
		d.counts = append(d.counts, count)
	})
	var err error
	if made {
		_, err = c.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Service: &c.name, DesiredCount: &count})
	} else {
		_, err = c.ecs.CreateService(ctx, &ecs.CreateServiceInput{ServiceName: &c.name, TaskDefinition: aws.String("chaos"), DesiredCount: &count})
	}
	if err == nil {
		c.o.answered(func() { c.o.services[c.name].counts = []int32{count} })
	}
	return err
}

// definition is the task that the script is.
func (l ledger) definition(family string) *ecs.RegisterTaskDefinitionInput {
	return &ecs.RegisterTaskDefinitionInput{
		Family: &family, ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("main"), Command: []string{"/bin/sh", "-c", script, "sh", l.path},
			Cpu: 1, Memory: aws.Int32(8), StopTimeout: aws.Int32(10),
		}},
	}
}

func (c *client) register() error {
	ctx, cancel := within(c.t)
	defer cancel()
	out, err := c.ecs.RegisterTaskDefinition(ctx, c.l.definition(c.name))
	if err == nil {
		c.o.answered(func() { c.o.families[c.name] = out.TaskDefinition.Revision })
	}
	return err
}

// queue makes the client's queue, which may be there already.
func (c *client) queue() (*queue, error) {
	var q *queue
	c.o.with(func() { q = c.o.queues[c.name] })
	if q != nil {
		return q, nil
	}
	ctx, cancel := within(c.t)
	defer cancel()
	out, err := c.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &c.name, Attributes: map[string]string{"VisibilityTimeout": "1"}})
	if err != nil {
		return nil, err
	}
	q = &queue{url: *out.QueueUrl, sent: map[string]bool{}, maybe: map[string]bool{}, deleted: map[string]bool{}}
	c.o.answered(func() { c.o.queues[c.name] = q })
	return q, nil
}

func (c *client) send() error {
	q, err := c.queue()
	if err != nil {
		return err
	}
	ctx, cancel := within(c.t)
	defer cancel()
	body := c.token()
	c.o.with(func() { q.maybe[body] = true })
	if _, err = c.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body}); err == nil {
		c.o.answered(func() { delete(q.maybe, body); q.sent[body] = true })
	}
	return err
}

func (c *client) receive() error {
	q, err := c.queue()
	if err != nil {
		return err
	}
	ctx, cancel := within(c.t)
	defer cancel()
	got, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &q.url})
	if err != nil {
		return err
	}
	for _, m := range got.Messages {
		c.o.with(func() {
			if q.deleted[*m.Body] {
				c.t.Errorf("%s: a message was received whose deletion had been answered: %s", c.name, *m.Body)
			}
			q.deleted[*m.Body] = false
		})
		if _, err := c.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &q.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
			return err
		}
		c.o.answered(func() { q.deleted[*m.Body] = true })
	}
	return nil
}
