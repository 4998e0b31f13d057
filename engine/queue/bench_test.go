package queue_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"plimsoll/engine/queue"
	"plimsoll/engine/store"
)

func durable(b *testing.B) *queue.Set {
	b.Helper()
	log, err := store.Open(b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = log.Close() })
	s := open(b, log, nil)
	create(b, s, "jobs", nil)
	return s
}

// BenchmarkSend is durable sends by 16 clients, in batches of ten: messages/s.
func BenchmarkSend(b *testing.B) {
	s := durable(b)
	drafts := make([]queue.Draft, 10)
	for i := range drafts {
		drafts[i].Body = strings.Repeat("x", 256)
	}
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Send("jobs", drafts); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N*len(drafts))/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkReceiveDelete is 16 clients that receive a message and delete it,
// durably.
func BenchmarkReceiveDelete(b *testing.B) {
	s := durable(b)
	for sent := 0; sent < b.N; sent += 10 {
		drafts := make([]queue.Draft, 10)
		for i := range drafts {
			drafts[i].Body = fmt.Sprint(sent, i)
		}
		if _, err := s.Send("jobs", drafts); err != nil {
			b.Fatal(err)
		}
	}
	var done atomic.Int64
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			got, err := s.Receive(context.Background(), "jobs", queue.Receive{Max: 1})
			if err != nil || len(got) != 1 {
				b.Errorf("%d messages, %v", len(got), err)
				return
			}
			if _, err := s.Remove("jobs", []string{got[0].Handle}); err != nil {
				b.Error(err)
				return
			}
			done.Add(1)
		}
	})
	b.ReportMetric(float64(done.Load())/b.Elapsed().Seconds(), "messages/s")
}
