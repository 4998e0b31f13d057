package queue_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"plimsoll/engine/queue"
)

// known is what the model knows of a message: the one who has it, until when,
// and how often it was received.
type known struct {
	id, group, queue string
	sent             int // its place in the order of sending, or of coming into its queue
	delayed, held    time.Time
	handle           string
	count, earlier   int
	old              []string // handles of earlier receives
}

// model is what queues have to be like, in plain words. Its source has a
// dead-letter queue.
type model struct {
	fifo     bool
	most     int // receives before a message is dead
	messages map[string]*known
	gone     map[string]bool // ids that were deleted
	once     map[string]sentOnce
	sent     int
}

type sentOnce struct {
	id string
	at time.Time
}

const (
	source = "source"
	dead   = "dead"
)

// settle moves what was received too often and is not held any more; of a FIFO
// queue's group the first, while none of the group is held.
func (m *model) settle(now time.Time) {
	for _, k := range slices.SortedFunc(maps.Values(m.messages), func(a, b *known) int { return cmp.Compare(a.sent, b.sent) }) {
		if k.queue != source || k.count < m.most || k.held.After(now) || m.fifo && m.mayBeGiven(k.id, source, now, nil) != "" {
			continue
		}
		k.queue, k.earlier, k.count, k.handle, k.old = dead, k.count, 0, "", nil
		k.held = time.Time{}
		m.sent++
		k.sent = m.sent
	}
}

func (m *model) depth(name string, now time.Time) (d queue.Depth) {
	for _, k := range m.messages {
		switch {
		case k.queue != name:
		case k.held.After(now):
			d.InFlight++
		case k.delayed.After(now):
			d.Delayed++
		default:
			d.Visible++
		}
	}
	return d
}

// mayBeGiven tells why a message may not be given now; empty: it may. before
// are those given in the same answer before it.
func (m *model) mayBeGiven(id, name string, now time.Time, before []string) string {
	k := m.messages[id]
	switch {
	case k == nil:
		return "it was never sent, or was deleted"
	case k.queue != name:
		return "it is in the queue " + k.queue
	case k.held.After(now):
		return "another has it"
	case k.delayed.After(now):
		return "it is delayed"
	case slices.Contains(before, id):
		return "it is in the answer twice"
	}
	for _, other := range m.messages {
		if !m.fifo || other.queue != name || other.group != k.group || other == k || slices.Contains(before, other.id) {
			continue
		}
		if other.held.After(now) {
			return "its group has " + other.id + " in flight"
		}
		if other.sent < k.sent {
			return "it is before " + other.id + " in its group"
		}
	}
	return ""
}

// TestAnyHistoryOfAQueueIsTheModels sends, receives, extends, gives back,
// deletes, waits and restarts at random, with a dead-letter queue behind: none
// is lost, none is in two hands, a group's order holds, the counts add up, and
// nothing is left in the log when all is gone.
func TestAnyHistoryOfAQueueIsTheModels(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		t.Run(fmt.Sprintf("fifo %v", fifo), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rapid.Check(bubble{t}, func(t *rapid.T) { history(t, fifo) })
			})
		})
	}
}

// bubble hides the test's deadline from rapid: its clock is another.
type bubble struct{ *testing.T }

// world is a set under test, with its model.
type world struct {
	*model
	log *memory
	set *queue.Set
}

func (w *world) name(of string) string {
	if w.fifo {
		return of + ".fifo"
	}
	return of
}

func history(t *rapid.T, fifo bool) {
	w := &world{log: newMemory(), model: &model{
		fifo: fifo, most: 3, messages: map[string]*known{}, gone: map[string]bool{}, once: map[string]sentOnce{},
	}}
	w.open(t)
	defer func() { w.set.Close() }()
	attributes := map[string]string{}
	if fifo {
		attributes["FifoQueue"] = "true"
	}
	check(t, w.set.Create(w.name(dead), attributes, nil))
	attributes["RedrivePolicy"] = `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:` + w.name(dead) + `","maxReceiveCount":3}`
	check(t, w.set.Create(w.name(source), attributes, nil))
	t.Repeat(map[string]func(*rapid.T){
		"send":    w.send,
		"receive": w.receive,
		"delete":  w.delete,
		"change":  w.change,
		"wait": func(t *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "milliseconds")) * time.Millisecond)
		},
		"restart": func(t *rapid.T) { w.set.Close(); w.open(t) },
		"":        w.compare,
	})
	w.empty(t)
}

func (w *world) open(t *rapid.T) {
	s, err := queue.Open(queue.Options{Log: w.log, Now: time.Now, Random: random{}, Arrived: nil})
	check(t, err)
	w.set = s
}

func check(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) send(t *rapid.T) {
	drafts := make([]queue.Draft, rapid.IntRange(1, 4).Draw(t, "messages"))
	for i := range drafts {
		d := &drafts[i]
		d.Body = "x"
		d.Group = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "group")
		if w.fifo {
			d.Deduplication = fmt.Sprint(rapid.IntRange(0, 200).Draw(t, "deduplication"))
		} else if rapid.Bool().Draw(t, "delayed") {
			delay := time.Duration(rapid.IntRange(0, 10).Draw(t, "delay")) * time.Second
			d.Delay = &delay
		}
	}
	now := time.Now()
	results, err := w.set.Send(w.name(source), drafts)
	check(t, err)
	for i, r := range results {
		check(t, r.Err)
		d := drafts[i]
		if w.fifo {
			if first, ok := w.once[d.Deduplication]; ok && now.Before(first.at.Add(5*time.Minute)) {
				if r.ID != first.id {
					t.Fatalf("sent again as %s, was %s", r.ID, first.id)
				}
				continue
			}
			w.once[d.Deduplication] = sentOnce{r.ID, now}
		}
		w.sent++
		k := &known{id: r.ID, group: d.Group, queue: source, sent: w.sent}
		if d.Delay != nil {
			k.delayed = r.Sent.Add(*d.Delay)
		}
		w.messages[r.ID] = k
	}
}

func (w *world) receive(t *rapid.T) {
	of := rapid.SampledFrom([]string{source, source, dead}).Draw(t, "queue")
	visibility := time.Duration(rapid.IntRange(0, 15).Draw(t, "visibility")) * time.Second
	now := time.Now()
	w.settle(now)
	most := rapid.IntRange(1, 10).Draw(t, "most")
	got, err := w.set.Receive(t.Context(), w.name(of), queue.Receive{Max: most, Visibility: &visibility})
	check(t, err)
	var before []string
	for _, r := range got {
		if why := w.mayBeGiven(r.ID, of, now, before); why != "" {
			t.Fatalf("%s was given: %s", r.ID, why)
		}
		before = append(before, r.ID)
	}
	if len(got) == 0 {
		for id := range w.messages {
			if w.mayBeGiven(id, of, now, nil) == "" {
				t.Fatalf("nothing was given, but %s may be", id)
			}
		}
	}
	for _, r := range got {
		k := w.messages[r.ID]
		k.count++
		if r.Count != k.count+k.earlier {
			t.Fatalf("%s was received %d times, not %d", r.ID, k.count+k.earlier, r.Count)
		}
		if k.handle != "" {
			k.old = append(k.old, k.handle)
		}
		k.handle, k.held = r.Handle, now.Add(visibility)
	}
}

// pick draws a message that was received, and one of its handles.
func (w *world) pick(t *rapid.T) (k *known, handle string, latest bool) {
	w.settle(time.Now())
	var all []*known
	for _, k := range w.messages {
		if k.handle != "" {
			all = append(all, k)
		}
	}
	if len(all) == 0 {
		t.Skip("nothing was received")
	}
	slices.SortFunc(all, func(a, b *known) int { return cmp.Compare(a.sent, b.sent) })
	k = rapid.SampledFrom(all).Draw(t, "message")
	if len(k.old) > 0 && rapid.Bool().Draw(t, "old") {
		return k, k.old[len(k.old)-1], false
	}
	return k, k.handle, true
}

func (w *world) delete(t *rapid.T) {
	k, handle, latest := w.pick(t)
	refusals, err := w.set.Remove(w.name(k.queue), []string{handle})
	check(t, err)
	held := k.held.After(time.Now())
	if refused := refusals[0] != nil; refused != (w.fifo && (!latest || !held)) {
		t.Fatalf("latest %v, held %v: %v", latest, held, refusals[0])
	}
	if latest && refusals[0] == nil {
		delete(w.messages, k.id)
		w.gone[k.id] = true
	}
}

func (w *world) change(t *rapid.T) {
	k, handle, latest := w.pick(t)
	now := time.Now()
	visibility := time.Duration(rapid.IntRange(0, 30).Draw(t, "visibility")) * time.Second
	refusals, err := w.set.ChangeVisibility(w.name(k.queue), []queue.Hide{{Handle: handle, Visibility: visibility}})
	check(t, err)
	if refused := refusals[0] != nil; refused != (!latest || !k.held.After(now)) {
		t.Fatalf("latest %v, held until %v at %v: %v", latest, k.held, now, refusals[0])
	}
	if refusals[0] == nil {
		k.held = now.Add(visibility)
	}
}

func (w *world) compare(t *rapid.T) {
	now := time.Now()
	w.settle(now)
	for _, of := range []string{source, dead} {
		w.set.Depth(w.name(source)) // time may have brought some to the other
		if got, want := w.set.Depth(w.name(of)), w.depth(of, now); got != want {
			t.Fatalf("%s has %+v, not %+v", of, want, got)
		}
	}
}

// empty takes all that is left, and looks for what stays behind.
func (w *world) empty(t *rapid.T) {
	for range 1000 {
		if len(w.messages) == 0 {
			break
		}
		time.Sleep(time.Second)
		for _, of := range []string{source, dead} {
			now := time.Now()
			w.settle(now)
			got, err := w.set.Receive(t.Context(), w.name(of), queue.Receive{Max: 10})
			check(t, err)
			for _, r := range got {
				refusals, err := w.set.Remove(w.name(of), []string{r.Handle})
				check(t, err)
				check(t, refusals[0])
				delete(w.messages, r.ID)
			}
		}
	}
	if len(w.messages) > 0 {
		t.Fatalf("%d messages were never given", len(w.messages))
	}
	time.Sleep(6 * time.Minute) // what a FIFO queue remembers goes too
	synctest.Wait()
	if len(w.log.values) != 2 {
		t.Fatalf("%d records are left of two empty queues: %v", len(w.log.values), slices.Collect(maps.Keys(w.log.values)))
	}
	if n := w.set.Held(); n != 0 {
		t.Fatalf("%d things are held for two empty queues", n)
	}
}

// random is bytes from a counter: ids have to differ, and that is all.
type random struct{}

var drawn uint64

func (random) Read(p []byte) (int, error) {
	drawn++
	for i := range p {
		p[i] = byte(drawn >> (8 * (i % 8)))
	}
	return len(p), nil
}
