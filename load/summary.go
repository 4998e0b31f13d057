package load

import (
	"fmt"
	"maps"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// recentTime is what the recent quantiles are over, at least; at most twice it.
const recentTime = 5 * time.Second

// Summary is what a run has sent and got, up to now or to its end.
type Summary struct {
	Elapsed time.Duration `json:"elapsed"`
	// Round counts the rounds of the curve, from 1; Position is the time in it.
	Round    int           `json:"round"`
	Position time.Duration `json:"position"`
	// RequestRate and MessageRate are what the curve asks for now, per second.
	RequestRate float64 `json:"requestRate"`
	MessageRate float64 `json:"messageRate"`
	// Sent are the requests begun; OK those answered with 2xx or 3xx, Errors
	// all other outcomes, Cut those that the end of the run broke off. Missed
	// were due and not sent, because all workers waited for answers.
	Sent   uint64 `json:"sent"`
	OK     uint64 `json:"ok"`
	Errors uint64 `json:"errors"`
	Cut    uint64 `json:"cut"`
	Missed uint64 `json:"missed"`
	// Codes counts the answers by status; 0 are requests without an answer.
	Codes map[int]uint64 `json:"codes"`
	// Messages were taken by the queue, MessageErrors were not.
	Messages      uint64 `json:"messages"`
	MessageErrors uint64 `json:"messageErrors"`
	// The latencies are over the whole run, and over the last 5 to 10 s.
	P50       time.Duration `json:"p50"`
	P99       time.Duration `json:"p99"`
	RecentP50 time.Duration `json:"recentP50"`
	RecentP99 time.Duration `json:"recentP99"`
	// LastError is the last failed request's or message's.
	LastError string `json:"lastError,omitempty"`
}

// InFlight are the requests that have no outcome yet.
func (s Summary) InFlight() int { return int(s.Sent - s.OK - s.Errors - s.Cut) }

// String is one line for people.
func (s Summary) String() string {
	return fmt.Sprintf("%d requests sent, %d ok, %d errors, %d missed; p50 %s, p99 %s; %d messages, %d errors",
		s.Sent, s.OK, s.Errors, s.Missed, s.P50.Round(time.Millisecond/10), s.P99.Round(time.Millisecond/10), s.Messages, s.MessageErrors)
}

// tally is the live Summary.
type tally struct {
	mu      sync.Mutex
	sum     Summary
	all     vegeta.LatencyMetrics
	recent  vegeta.LatencyMetrics // since the last turn
	older   vegeta.LatencyMetrics // between the last two turns
	counts  [2]int                // answers in recent and older
	turned  time.Time
	answers int
}

func (t *tally) sent() {
	t.mu.Lock()
	t.sum.Sent++
	t.mu.Unlock()
}

// result takes in a request's outcome; cut tells that the run's end broke it
// off.
func (t *tally) result(r *vegeta.Result, cut bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cut && r.Code == 0 {
		t.sum.Cut++
		return
	}
	if t.sum.Codes == nil {
		t.sum.Codes = map[int]uint64{}
	}
	t.sum.Codes[int(r.Code)]++
	if r.Code >= 200 && r.Code < 400 && r.Error == "" {
		t.sum.OK++
	} else {
		t.sum.Errors++
		t.sum.LastError = r.Error
	}
	t.turn(now)
	t.all.Add(r.Latency)
	t.recent.Add(r.Latency)
	t.counts[0]++
	t.answers++
}

// turn begins a new recent time where the last is over; t.mu is held.
func (t *tally) turn(now time.Time) {
	if now.Sub(t.turned) < recentTime {
		return
	}
	t.older, t.counts[1] = t.recent, t.counts[0]
	if now.Sub(t.turned) >= 2*recentTime {
		t.older, t.counts[1] = vegeta.LatencyMetrics{}, 0
	}
	t.recent, t.counts[0] = vegeta.LatencyMetrics{}, 0
	t.turned = now
}

func (t *tally) messages(n int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.sum.MessageErrors += uint64(n)
		t.sum.LastError = err.Error()
		return
	}
	t.sum.Messages += uint64(n)
}

func (t *tally) summary(now time.Time) Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(now)
	s := t.sum
	s.Codes = maps.Clone(s.Codes)
	if t.answers > 0 {
		s.P50, s.P99 = t.all.Quantile(0.5), t.all.Quantile(0.99)
	}
	// The fuller of the two: the recent one has only just begun at times.
	switch {
	case t.counts[0] > 0 && t.counts[0] >= t.counts[1]:
		s.RecentP50, s.RecentP99 = t.recent.Quantile(0.5), t.recent.Quantile(0.99)
	case t.counts[1] > 0:
		s.RecentP50, s.RecentP99 = t.older.Quantile(0.5), t.older.Quantile(0.99)
	}
	return s
}
