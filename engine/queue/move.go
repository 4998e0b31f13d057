package queue

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"plimsoll/engine/store"
)

// The statuses of a task that moves messages, with SQS's names.
const (
	MoveRunning    = "RUNNING"
	MoveCompleted  = "COMPLETED"
	MoveCancelling = "CANCELLING"
	MoveCancelled  = "CANCELLED"
	MoveFailed     = "FAILED"
)

const (
	movesKept = 10 // of a source
	moveBatch = 10 // messages
	// maxMoveRate is the most messages a second that can be asked for.
	maxMoveRate = 500
)

// Move is a task that moves messages out of a dead-letter queue.
type Move struct {
	Handle string `json:"handle"`
	Source string `json:"source"`
	// Destination is a queue's name; empty: each message goes back to where it
	// came from.
	Destination string `json:"destination,omitempty"`
	// Rate is how many messages a second are moved; 0: as many as can be.
	Rate    int       `json:"rate,omitempty"`
	Status  string    `json:"status"`
	Started time.Time `json:"started"`
	// Moved is how many have been moved since the task, or the engine, started;
	// Total is how many were there at the start.
	Moved int `json:"moved"`
	Total int `json:"total"`
	// Failure says why a task is FAILED.
	Failure string `json:"failure,omitempty"`
}

// move is a Move that runs, or ran. Set.moving guards it.
type move struct {
	Move
	cancelled chan struct{}
}

// StartMove begins to move the messages of a dead-letter queue, and gives the
// task's handle. The task goes on after a restart.
func (s *Set) StartMove(source, destination string, rate int) (string, error) {
	if rate < 0 || rate > maxMoveRate {
		return "", invalid("MaxNumberOfMessagesPerSecond", rate, "Must be from 1 to 500.")
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	if err := s.checkMove(source, destination); err != nil {
		return "", err
	}
	s.moving.Lock()
	defer s.moving.Unlock()
	for _, m := range s.moves {
		if m.Source == source && (m.Status == MoveRunning || m.Status == MoveCancelling) {
			return "", refuse("UnsupportedOperation", "There is already a task running. "+
				"Only one active task is allowed for a source queue arn at a given time.")
		}
	}
	id, err := uuid.NewRandomFromReader(s.random)
	if err != nil {
		return "", fmt.Errorf("random bytes for the handle of a task: %w", err)
	}
	m := &move{Move: Move{
		Handle: id.String(), Source: source, Destination: destination, Rate: rate,
		Status: MoveRunning, Started: s.now(), Total: s.Depth(source).Visible,
	}}
	if err := s.saveMove(m); err != nil {
		return "", err
	}
	s.moves = append(s.moves, m)
	s.run(m)
	return m.Handle, nil
}

func (s *Set) checkMove(source, destination string) error {
	sources, err := s.Sources(source)
	if err != nil {
		return refuse("ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	if len(sources) == 0 {
		return invalid("SourceArn", source, "Source queue must be configured as a Dead Letter Queue.")
	}
	if destination == "" {
		return nil
	}
	from, err := s.find(source)
	if err != nil {
		return err
	}
	to, err := s.find(destination)
	switch {
	case err != nil:
		return refuse("ResourceNotFoundException", "The resource that you specified for the DestinationArn parameter doesn't exist.")
	case from == to:
		return invalid("DestinationArn", destination, "Source and destination are the same queue.")
	case from.messages.fifo != to.messages.fifo:
		return invalid("DestinationArn", destination, "Source and destination must be queues of the same type.")
	}
	return nil
}

// Moves gives a source's tasks, the latest first, at most ten.
func (s *Set) Moves(source string) ([]Move, error) {
	if !s.Exists(source) {
		return nil, refuse("ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	s.moving.Lock()
	defer s.moving.Unlock()
	var moves []Move
	for _, m := range slices.Backward(s.moves) {
		if m.Source == source {
			moves = append(moves, m.Move)
		}
	}
	return moves, nil
}

// CancelMove ends a task after the messages that it is moving at the moment,
// and gives how many it has moved.
func (s *Set) CancelMove(handle string) (int, error) {
	s.moving.Lock()
	defer s.moving.Unlock()
	i := slices.IndexFunc(s.moves, func(m *move) bool { return m.Handle == handle })
	if i < 0 {
		return 0, refuse("ResourceNotFoundException", "Task does not exist.")
	}
	m := s.moves[i]
	if m.Status != MoveRunning {
		return 0, refuse("UnsupportedOperation", "Only active tasks can be cancelled; this one is %s.", m.Status)
	}
	m.Status = MoveCancelling
	if err := s.saveMove(m); err != nil {
		m.Status = MoveRunning
		return 0, err
	}
	close(m.cancelled)
	return m.Moved, nil
}

// saveMove writes a task down. s.moving is held, or nobody else knows the task.
func (s *Set) saveMove(m *move) error {
	value, err := json.Marshal(m.Move)
	if err != nil {
		return fmt.Errorf("the task %q: %w", m.Handle, err)
	}
	return s.log.Begin([]store.Record{{Key: movePrefix + m.Handle, Value: value}})()
}

// resume goes on with the tasks that the log had.
func (s *Set) resume(moves []*move) {
	slices.SortFunc(moves, func(a, b *move) int { return a.Started.Compare(b.Started) })
	s.moving.Lock()
	defer s.moving.Unlock()
	s.moves = moves
	for _, m := range moves {
		if m.Status == MoveRunning || m.Status == MoveCancelling {
			s.run(m)
		}
	}
}

// run moves messages until there are none, or somebody ends it.
func (s *Set) run(m *move) {
	m.cancelled = make(chan struct{})
	if m.Status == MoveCancelling {
		close(m.cancelled)
	}
	s.workers.Go(func() {
		for {
			select {
			case <-s.running.Done():
				return // it goes on when the engine does
			case <-m.cancelled:
				s.finish(m, MoveCancelled, "")
				return
			default:
			}
			n, failure := s.moveSome(m)
			if n == 0 || failure != "" {
				status := MoveCompleted
				if failure != "" {
					status = MoveFailed
				}
				s.finish(m, status, failure)
				return
			}
			if m.Rate > 0 {
				s.pause(m, time.Duration(n)*time.Second/time.Duration(m.Rate))
			}
		}
	})
}

func (s *Set) pause(m *move, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.cancelled:
	case <-s.running.Done():
	}
}

// moveSome moves a few messages that could be received, and gives how many; or
// why that is not possible.
func (s *Set) moveSome(m *move) (int, string) {
	l, err := s.enter(m.Source)
	if err != nil {
		return 0, "AWS.SimpleQueueService.NonExistentQueue"
	}
	n := moveBatch
	if m.Rate > 0 {
		n = min(n, m.Rate)
	}
	leaving := l.messages.withdraw(s.now(), n)
	s.release(l)
	moved := 0
	for len(leaving) > 0 {
		// Those that go to the same queue go together.
		name := m.home(leaving[0])
		end := slices.IndexFunc(leaving, func(e *entry) bool { return m.home(e) != name })
		if end < 0 {
			end = len(leaving)
		}
		var to *live
		if name != "" {
			to, _ = s.find(name) // nil if it is not there
		}
		err := s.transfer(l, to, leaving[:end], s.renew)
		if err != nil {
			_ = s.transfer(l, nil, leaving[end:], nil) // puts them back
			return moved, failureOf(name, to, err)
		}
		moved += end
		leaving = leaving[end:]
		s.moving.Lock()
		m.Moved += end
		s.moving.Unlock()
	}
	return moved, ""
}

func (m *move) home(e *entry) string {
	if m.Destination != "" {
		return m.Destination
	}
	return e.DeadFrom
}

func failureOf(name string, to *live, err error) string {
	switch {
	case name == "":
		return "CouldNotDetermineMessageSource"
	case to == nil:
		return "AWS.SimpleQueueService.NonExistentQueue"
	}
	return err.Error()
}

// renew makes a message that is moved a new one, as SQS does: its retention and
// its receives begin again.
func (s *Set) renew(m *Message, _ int) {
	if id, err := uuid.NewRandomFromReader(s.random); err == nil {
		m.ID = id.String()
	} // else it keeps its own, which is as good
	m.Sent = s.now().Truncate(time.Millisecond)
	m.Due, m.DeadFrom, m.Earlier = m.Sent, "", 0
}

// finish ends a task, and forgets the oldest of its source that are too many.
func (s *Set) finish(m *move, status, failure string) {
	s.moving.Lock()
	defer s.moving.Unlock()
	m.Status, m.Failure = status, failure
	_ = s.saveMove(m) // at worst the task runs again, and finds nothing to do
	mine := 0
	for i := len(s.moves) - 1; i >= 0; i-- {
		if old := s.moves[i]; old.Source == m.Source {
			if mine++; mine > movesKept {
				_ = s.log.Begin([]store.Record{{Key: movePrefix + old.Handle}})() // or at the next time
				s.moves = slices.Delete(s.moves, i, i+1)
			}
		}
	}
}
