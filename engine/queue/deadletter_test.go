package queue_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/engine/queue"
)

const arnPrefix = "arn:aws:sqs:us-east-1:123456789012:"

func redriveTo(name, most string) map[string]string {
	return map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + arnPrefix + name + `","maxReceiveCount":` + most + `}`}
}

// tire receives the only message of a queue and gives it back, so many times.
func tire(t testing.TB, s *queue.Set, name string, times int) {
	t.Helper()
	for range times {
		got := receive(t, s, name, 0)
		if len(got) != 1 {
			t.Fatalf("received %v", bodies(got))
		}
		refusals, err := s.ChangeVisibility(name, []queue.Hide{{Handle: got[0].Handle}})
		if err != nil || refusals[0] != nil {
			t.Fatal(refusals, err)
		}
	}
}

func TestAMessageReceivedTooOftenGoesToTheDeadLetterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		var arrived []string
		s := open(t, log, func(name string) { arrived = append(arrived, name) })
		create(t, s, "dead", nil)
		create(t, s, "jobs", redriveTo("dead", `"2"`))
		send(t, s, "jobs", "poison")
		arrived = nil
		tire(t, s, "jobs", 2)
		if s.Depth("jobs") != (queue.Depth{}) || s.Depth("dead") != (queue.Depth{Visible: 1}) {
			t.Fatalf("jobs %+v, dead %+v", s.Depth("jobs"), s.Depth("dead"))
		}
		if !slices.Contains(arrived, "dead") {
			t.Errorf("told of arrivals in %v", arrived)
		}
		s.Close()
		s = open(t, log, nil)
		got := receive(t, s, "dead", 0)
		if len(got) != 1 || got[0].Body != "poison" || got[0].DeadFrom != "jobs" || got[0].Count != 3 {
			t.Errorf("%+v", got)
		}
		if sources, err := s.Sources("dead"); err != nil || !slices.Equal(sources, []string{"jobs"}) {
			t.Errorf("%v, %v", sources, err)
		}
		if info, err := s.Info("jobs"); err != nil || info.Text("RedrivePolicy") != redriveTo("dead", "2")["RedrivePolicy"] {
			t.Errorf("%+v, %v", info.Attributes, err)
		}
		// Without its target the queue goes on giving.
		if err := s.Delete("dead"); err != nil {
			t.Fatal(err)
		}
		send(t, s, "jobs", "again")
		tire(t, s, "jobs", 5)
	})
}

func TestADeadLetterQueueSaysWhoseLettersItTakes(t *testing.T) {
	s := open(t, newMemory(), nil)
	create(t, s, "none", map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"denyAll"}`})
	create(t, s, "some", map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"byQueue","sourceQueueArns":["` + arnPrefix + `friend"]}`})
	createFIFO(t, s, "line.fifo")
	create(t, s, "friend", redriveTo("some", "3"))
	for name, attributes := range map[string]map[string]string{
		"denied":          redriveTo("none", "3"),
		"not named":       redriveTo("some", "3"),
		"absent":          redriveTo("nobody", "3"),
		"of another kind": redriveTo("line.fifo", "3"),
		"itself":          redriveTo("stranger", "3"),
		"too few":         redriveTo("friend", "0"),
		"too many":        redriveTo("friend", "1001"),
		"no number":       redriveTo("friend", `"x"`),
		"no ARN":          {"RedrivePolicy": `{"deadLetterTargetArn":"friend","maxReceiveCount":3}`},
		"no map":          {"RedrivePolicy": `x`},
		"no permission":   {"RedriveAllowPolicy": `{"redrivePermission":"x"}`},
		"no sources":      {"RedriveAllowPolicy": `{"redrivePermission":"byQueue"}`},
		"needless":        {"RedriveAllowPolicy": `{"redrivePermission":"allowAll","sourceQueueArns":["` + arnPrefix + `a"]}`},
	} {
		if err := s.Create("stranger", attributes, nil); !isRefusal(err, "InvalidParameterValue") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What it stops to allow later stays where it is.
	send(t, s, "friend", "x")
	if err := s.SetAttributes("some", map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"denyAll"}`}); err != nil {
		t.Fatal(err)
	}
	tire(t, s, "friend", 5)
	if err := s.SetAttributes("friend", map[string]string{"RedrivePolicy": ""}); err != nil {
		t.Errorf("taking the policy away: %v", err)
	}
}

func TestDeadLettersAreMovedBackToWhereTheyCameFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := open(t, log, nil)
		create(t, s, "dead", nil)
		create(t, s, "jobs", redriveTo("dead", "1"))
		for _, body := range []string{"a", "b", "c"} {
			send(t, s, "jobs", body)
			tire(t, s, "jobs", 1)
		}
		handle, err := s.StartMove("dead", "", 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.StartMove("dead", "", 0); !isRefusal(err, "UnsupportedOperation") {
			t.Errorf("a second task: %v", err)
		}
		synctest.Wait()
		if s.Depth("jobs").Visible != 1 || s.Depth("dead").Visible != 2 {
			t.Fatalf("one a second: jobs %+v, dead %+v", s.Depth("jobs"), s.Depth("dead"))
		}
		s.Close() // it goes on after a restart
		s = open(t, log, nil)
		time.Sleep(5 * time.Second)
		moves, err := s.Moves("dead")
		if err != nil || len(moves) != 1 || moves[0].Status != queue.MoveCompleted || moves[0].Total != 3 || moves[0].Handle != handle {
			t.Errorf("%+v, %v", moves, err)
		}
		got := receive(t, s, "jobs", 0)
		if bodies(got) != "a b c" || got[0].Count != 1 || got[0].DeadFrom != "" {
			t.Errorf("%+v", got)
		}
		if _, err := s.CancelMove(handle); !isRefusal(err, "UnsupportedOperation") {
			t.Errorf("cancelling what is over: %v", err)
		}
	})
}

func TestATaskThatMovesMessagesIsCancelledOrFailsWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newMemory(), nil)
		create(t, s, "dead", nil)
		create(t, s, "other", nil)
		create(t, s, "jobs", redriveTo("dead", "1"))
		send(t, s, "dead", "a", "b", "c")
		handle, err := s.StartMove("dead", "other", 1)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if moved, err := s.CancelMove(handle); err != nil || moved != 2 {
			t.Errorf("%d moved, %v", moved, err)
		}
		synctest.Wait()
		if moves, _ := s.Moves("dead"); moves[0].Status != queue.MoveCancelled || s.Depth("other").Visible != 2 || s.Depth("dead").Visible != 1 {
			t.Errorf("%+v, other %+v", moves, s.Depth("other"))
		}
		if _, err := s.StartMove("dead", "", 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if moves, _ := s.Moves("dead"); moves[0].Status != queue.MoveFailed || moves[0].Failure != "CouldNotDetermineMessageSource" {
			t.Errorf("sent to the dead-letter queue by hand: %+v", moves)
		}
		time.Sleep(2 * time.Second)
		if d := s.Depth("dead"); d.Visible != 1 {
			t.Errorf("it is still there: %+v", d)
		}
		for _, test := range []struct{ source, destination, code string }{
			{"nobody", "", "ResourceNotFoundException"},
			{"dead", "nobody", "ResourceNotFoundException"},
			{"dead", "dead", "InvalidParameterValue"},
			{"jobs", "", "InvalidParameterValue"},
		} {
			if _, err := s.StartMove(test.source, test.destination, 0); !isRefusal(err, test.code) {
				t.Errorf("%+v: %v", test, err)
			}
		}
	})
}
