package worker_test

import (
	"context"
	"fmt"
	"time"

	"plimsoll/worker"
)

// A worker takes messages until there is none for the idle time. The queue here
// is one in memory; worker/sqs has one for SQS.
func ExampleRun() {
	queue := newQueue("chart-1", "chart-2")
	err := worker.Run(context.Background(), worker.Options{Queue: queue, Idle: 10 * time.Millisecond},
		func(_ context.Context, m worker.Message) error {
			fmt.Println("working on", m.Body)
			return nil
		})
	fmt.Println("done", err)
	// Output:
	// working on chart-1
	// working on chart-2
	// done <nil>
}
