package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/engine/store"
)

// post is a queue that fails as it is told to.
type post struct {
	mu   sync.Mutex
	got  []string
	fail []error
}

// read is what has been delivered until now.
func (p *post) read() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

func (p *post) send(_, _ string, bodies []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.fail) > 0 {
		err := p.fail[0]
		p.fail = p.fail[1:]
		return err
	}
	for _, body := range bodies {
		var e struct {
			Detail struct{ N int }
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			return err
		}
		p.got = append(p.got, fmt.Sprint(e.Detail.N))
	}
	return nil
}

func change(n int) Event {
	return Event{DetailType: "ECS Task State Change", Resources: []string{"arn"}, Detail: json.RawMessage(fmt.Sprintf(`{"N":%d}`, n))}
}

func openOutbox(t *testing.T, dir string, p *post) (*store.Log, *Outbox) {
	t.Helper()
	log, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := OpenRules(log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := rules.Put(Rule{Name: "all", Pattern: `{"source":["aws.ecs"]}`}); err != nil {
		t.Fatal(err)
	}
	if err := rules.PutTargets("all", []Target{{ID: "q", ARN: "arn:aws:sqs:r:a:q"}}); err != nil {
		t.Fatal(err)
	}
	b := NewOutbox(OutboxOptions{Rules: rules, Account: "1", Region: "r", Log: log, Send: p.send, Now: time.Now, Logs: slog.New(slog.DiscardHandler)})
	err = log.Load(func(key string, value []byte) error { _, err := b.Load(key, value); return err })
	if err != nil {
		t.Fatal(err)
	}
	return log, b
}

func TestWhatWasDurableIsDeliveredInOrderAfterACrash(t *testing.T) {
	dir, p := t.TempDir(), &post{}
	log, b := openOutbox(t, dir, p)
	for n := range 12 { // written, and nothing delivered before the end
		if err := log.Append(b.Add(time.Now(), []Event{change(n)})); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log, b = openOutbox(t, dir, p)
	next := b.Add(time.Now(), []Event{change(12)})
	if err := log.Append(next); err != nil {
		t.Fatal(err)
	}
	b.Durable(next)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	for len(b.take()) > 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	want := strings.Fields("0 1 2 3 4 5 6 7 8 9 10 11 12")
	if !slices.Equal(p.read(), want) {
		t.Errorf("got %v, want %v", p.read(), want)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, b = openOutbox(t, dir, p); len(b.take()) != 0 {
		t.Error("what was delivered is in the outbox still")
	}
}

// journal is a log that keeps nothing.
type journal struct{}

func (journal) Append([]store.Record) error { return nil }

func TestAQueueThatFailsIsTriedAgainAndOneThatIsGoneIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &post{fail: []error{errors.New("the disk is full"), errors.New("the disk is full")}}
		rules := &Rules{}
		pattern, _ := ParsePattern(`{"source":["aws.ecs"]}`)
		rules.compiled.Store(&[]compiledRule{{Rule: Rule{Targets: []Target{{ID: "q", ARN: "q"}}}, pattern: pattern}})
		b := NewOutbox(OutboxOptions{Rules: rules, Log: journal{}, Send: p.send, Now: time.Now, Logs: slog.New(slog.DiscardHandler)})
		go b.Run(t.Context())
		b.Durable(b.Add(time.Now(), []Event{change(1), change(2)}))
		synctest.Wait()
		if len(p.read()) != 0 {
			t.Errorf("delivered at once: %v", p.read())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Equal(p.read(), []string{"1", "2"}) {
			t.Errorf("after a second: %v", p.read())
		}
		p.mu.Lock()
		p.fail = []error{fmt.Errorf("%w: q", ErrNoQueue)}
		p.mu.Unlock()
		b.Durable(b.Add(time.Now(), []Event{change(3)}))
		synctest.Wait()
		b.Durable(b.Add(time.Now(), []Event{change(4)}))
		synctest.Wait()
		if !slices.Equal(p.read(), []string{"1", "2", "4"}) {
			t.Errorf("after the queue was gone: %v", p.read())
		}
	})
}

func TestOnlyWhatARuleAsksForIsKept(t *testing.T) {
	log, b := openOutbox(t, t.TempDir(), &post{})
	defer func() { _ = log.Close() }()
	rules := b.o.Rules
	if !rules.Wants("ECS Task State Change") {
		t.Error("the rule asks for all of aws.ecs")
	}
	if err := rules.SetState("all", Disabled); err != nil {
		t.Fatal(err)
	}
	if rules.Wants("ECS Task State Change") || len(b.Add(time.Now(), []Event{change(1)})) != 0 {
		t.Error("a disabled rule is kept events for")
	}
	if err := rules.Put(Rule{Name: "all", Pattern: `{"detail-type":["ECS Service Action"]}`}); err != nil {
		t.Fatal(err)
	}
	if rules.Wants("ECS Task State Change") || !rules.Wants("ECS Service Action") {
		t.Error("the rule names one detail type")
	}
	var refusal *Error
	if err := rules.Delete("all"); !errors.As(err, &refusal) || refusal.Code != "ValidationException" {
		t.Errorf("a rule with targets was deleted: %v", err)
	}
	if unknown, err := rules.RemoveTargets("all", []string{"q", "x"}); err != nil || !slices.Equal(unknown, []string{"x"}) {
		t.Errorf("%v %v", unknown, err)
	}
	if err := errors.Join(rules.Delete("all"), rules.Delete("all")); err != nil {
		t.Error(err)
	}
}
