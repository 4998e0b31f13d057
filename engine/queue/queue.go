// Package queue is the embedded engine's message queues, with the behaviour of
// SQS: Queue is one queue's messages as plain state, to which the time is
// passed; Set is the queues of an engine, durable through a log, with long
// polls. It must not know of the wire (engine/awsapi has SQS's protocol), of
// tasks, or of what is in a message.
package queue

import (
	"container/heap"
	"container/list"
	"fmt"
	"time"
)

// maxInFlight is how many messages of a queue may be in flight at once.
const maxInFlight = 120_000

// Error is a refusal in SQS's words. Code is the name of the exception in the
// API model ("QueueDoesNotExist"), or of the error that all services share
// ("InvalidParameterValue").
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func refuse(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Attribute is a message attribute: a value that travels beside the body.
type Attribute struct {
	DataType string `json:"t"`
	String   string `json:"s,omitempty"`
	Binary   []byte `json:"b,omitempty"`
}

// Message is what was sent.
type Message struct {
	ID   string `json:"id"`
	Body string `json:"body"`
	// Sent is when it was sent, to the millisecond; Sender is the account.
	Sent   time.Time `json:"sent"`
	Sender string    `json:"sender,omitempty"`
	// Due is when it may be received for the first time.
	Due        time.Time            `json:"due"`
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	System     map[string]Attribute `json:"system,omitempty"` // AWSTraceHeader
}

// Received is a message in the hands of a receiver.
type Received struct {
	*Message
	// Receipt is the number of this receipt of the message; Handle stands for
	// it outside (Set fills it in).
	Receipt uint64
	Handle  string
	// Count is how often the message has been received since the engine
	// started, this time included; First is when it was the first time.
	Count int
	First time.Time
}

// Depth is how many messages a queue has.
type Depth struct {
	// Visible can be received; InFlight are with a receiver; Delayed wait for
	// their time.
	Visible, InFlight, Delayed int
}

// entry is a message and where it is.
type entry struct {
	*Message
	seq     uint64
	inOrder *list.Element // place in Queue.order
	// index is the place in the heap that holds the entry: ready if visible,
	// else waiting.
	index    int
	visible  bool
	at       time.Time // not visible: when it will be
	inFlight bool
	receipt  uint64 // number of the receipt it is out under; 0 before the first
	count    int
	first    time.Time
}

// Queue is the messages of one queue. It is not safe for concurrent use, and
// knows the time only from what it is told. Times do not go back.
type Queue struct {
	retention time.Duration
	byID      map[string]*entry
	order     *list.List // entries in the order of sending
	ready     readyHeap
	waiting   waitingHeap
	inFlight  int
	nextSeq   uint64
	receipts  uint64
}

// New makes an empty queue that keeps messages for the time given. Receipts are
// numbered from the one after lastReceipt: it is to be over every number of an
// earlier life of the queue.
func New(retention time.Duration, lastReceipt uint64) *Queue {
	return &Queue{retention: retention, receipts: lastReceipt, byID: map[string]*entry{}, order: list.New()}
}

// SetRetention changes how long messages are kept, of those there already too.
func (q *Queue) SetRetention(d time.Duration) { q.retention = d }

// Put adds a message. Putting an id again does nothing.
func (q *Queue) Put(now time.Time, m *Message) {
	if q.byID[m.ID] != nil {
		return
	}
	q.nextSeq++
	e := &entry{Message: m, seq: q.nextSeq}
	e.inOrder = q.order.PushBack(e)
	q.byID[m.ID] = e
	if m.Due.After(now) {
		q.hide(e, m.Due)
	} else {
		q.show(e)
	}
}

// Take receives up to most messages, the oldest first, and hides them until
// now + visibility.
func (q *Queue) Take(now time.Time, most int, visibility time.Duration) ([]Received, error) {
	q.advance(now)
	if len(q.ready) > 0 && q.inFlight >= maxInFlight {
		return nil, refuse("OverLimit", "Too many messages in flight for this queue: %d. "+
			"Delete messages after they are processed, or let their visibility timeouts end.", maxInFlight)
	}
	n := min(most, len(q.ready), maxInFlight-q.inFlight)
	taken := make([]Received, 0, n)
	for range n {
		e := q.ready[0]
		q.unlink(e)
		q.receipts++
		e.receipt = q.receipts
		e.count++
		if e.first.IsZero() {
			e.first = now
		}
		e.inFlight = true
		q.inFlight++
		q.hide(e, now.Add(visibility))
		taken = append(taken, Received{Message: e.Message, Receipt: e.receipt, Count: e.count, First: e.first})
	}
	return taken, nil
}

// Stale tells whether the message has been received again since the receipt:
// who holds the older one has no say any more. A receipt from before the
// engine's last start is good as long as nobody else has had the message.
func (q *Queue) Stale(id string, receipt uint64) bool {
	e := q.byID[id]
	return e != nil && e.stale(receipt)
}

// Drop takes messages out. Those that are not there are left out.
func (q *Queue) Drop(ids []string) {
	for _, id := range ids {
		if e := q.byID[id]; e != nil {
			q.drop(e)
		}
	}
}

// Change sets when a message in flight becomes visible again: now + visibility.
func (q *Queue) Change(now time.Time, id string, receipt uint64, visibility time.Duration) error {
	q.advance(now)
	e := q.byID[id]
	switch {
	case e == nil:
		return refuse("InvalidParameterValue", "Value for parameter ReceiptHandle is invalid. "+
			"Reason: Message does not exist or is not available for visibility timeout change.")
	case !e.inFlight && e.receipt == 0 && e.visible:
		// Received before the engine's last start, by the holder of this
		// receipt: it is in flight again.
		e.receipt, e.count, e.first = receipt, 1, now
	case !e.inFlight || e.stale(receipt):
		return refuse("MessageNotInflight", "The specified message isn't in flight.")
	}
	q.unlink(e)
	if e.inFlight {
		q.inFlight--
		e.inFlight = false
	}
	if visibility <= 0 {
		q.show(e)
		return nil
	}
	e.inFlight = true
	q.inFlight++
	q.hide(e, now.Add(visibility))
	return nil
}

// stale tells whether the message has gone to somebody else since the receipt.
func (e *entry) stale(receipt uint64) bool {
	return e.receipt != 0 && e.receipt != receipt
}

// IDs gives the ids of all messages, in the order of sending.
func (q *Queue) IDs() []string {
	ids := make([]string, 0, len(q.byID))
	for e := q.order.Front(); e != nil; e = e.Next() {
		ids = append(ids, e.Value.(*entry).ID)
	}
	return ids
}

// Expire takes out the messages that are older than the retention, and gives
// their ids.
func (q *Queue) Expire(now time.Time) []string {
	var gone []string
	for front := q.order.Front(); front != nil; front = q.order.Front() {
		e := front.Value.(*entry)
		if now.Before(e.Sent.Add(q.retention)) {
			break
		}
		q.drop(e)
		gone = append(gone, e.ID)
	}
	return gone
}

// Depth counts the messages at now.
func (q *Queue) Depth(now time.Time) Depth {
	q.advance(now)
	return Depth{Visible: len(q.ready), InFlight: q.inFlight, Delayed: len(q.waiting) - q.inFlight}
}

// Next is when the next hidden message becomes visible; false: none is hidden.
func (q *Queue) Next() (time.Time, bool) {
	if len(q.waiting) == 0 {
		return time.Time{}, false
	}
	return q.waiting[0].at, true
}

// advance makes visible what is due.
func (q *Queue) advance(now time.Time) {
	for len(q.waiting) > 0 && !q.waiting[0].at.After(now) {
		e := q.waiting[0]
		q.unlink(e)
		if e.inFlight {
			e.inFlight = false
			q.inFlight--
		}
		q.show(e)
	}
}

func (q *Queue) show(e *entry) {
	e.visible = true
	heap.Push(&q.ready, e)
}

func (q *Queue) hide(e *entry, until time.Time) {
	e.visible, e.at = false, until
	heap.Push(&q.waiting, e)
}

// unlink takes an entry out of the heap that it is in.
func (q *Queue) unlink(e *entry) {
	if e.visible {
		heap.Remove(&q.ready, e.index)
	} else {
		heap.Remove(&q.waiting, e.index)
	}
}

func (q *Queue) drop(e *entry) {
	q.unlink(e)
	if e.inFlight {
		q.inFlight--
	}
	q.order.Remove(e.inOrder)
	delete(q.byID, e.ID)
}

// readyHeap has the oldest message on top.
type readyHeap []*entry

func (h readyHeap) Len() int           { return len(h) }
func (h readyHeap) Less(i, j int) bool { return h[i].seq < h[j].seq }
func (h readyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *readyHeap) Push(x any)        { e := x.(*entry); e.index = len(*h); *h = append(*h, e) }
func (h *readyHeap) Pop() any          { return pop((*[]*entry)(h)) }

// waitingHeap has the message that becomes visible next on top.
type waitingHeap []*entry

func (h waitingHeap) Len() int           { return len(h) }
func (h waitingHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h waitingHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *waitingHeap) Push(x any)        { e := x.(*entry); e.index = len(*h); *h = append(*h, e) }
func (h *waitingHeap) Pop() any          { return pop((*[]*entry)(h)) }

func pop(h *[]*entry) *entry {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
