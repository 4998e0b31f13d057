package app_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"plimsoll/app"
	"plimsoll/engine/store"
	"plimsoll/engine/tenants"
)

var quiet = slog.New(slog.DiscardHandler)

// fill gives an engine something of everything: tasks of two tenants, a queue in
// another region.
func (s *engineStand) fill() {
	s.t.Helper()
	s.run(ecs.NewFromConfig(s.config("us-east-1")))
	red := s.tenant("red", tenants.Quota{})
	s.run(ecs.NewFromConfig(s.config("us-east-1", red.Keys[0])))
	queues := sqs.NewFromConfig(s.config("eu-west-1"))
	made, err := queues.CreateQueue(s.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("jobs")})
	s.must(err)
	_, err = queues.SendMessage(s.t.Context(), &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String("job")})
	s.must(err)
}

func names(parts []app.Part) (list []string) {
	for _, p := range parts {
		list = append(list, p.Name)
	}
	return list
}

func TestABackupOfARunningEngineIsRestoredElsewhereWithAllTenantsAndRegions(t *testing.T) {
	state := t.TempDir()
	s := newEngine(t, state)
	s.fill()
	file := filepath.Join(t.TempDir(), "backup.tar.gz")
	if _, err := app.BackupState(state, file, time.Now()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the keys: %v, %v", info, err)
	}
	if _, err := app.BackupState(state, file, time.Now()); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("a backup over another: %v", err)
	}
	if _, err := app.RestoreState(state, file, true, time.Now()); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a restore under a running engine: %v", err)
	}
	s.must(s.stop())

	other := t.TempDir()
	if _, err := app.RestoreState(other, file, false, time.Now()); err != nil {
		t.Fatal(err)
	}
	parts, err := app.CheckState(other)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"engine", "queues", "records", "tenants.json", "credentials", "worlds/" + app.Account + "/eu-west-1/queues"} {
		if !slices.Contains(names(parts), name) {
			t.Errorf("%s is missing in %v", name, names(parts))
		}
	}
	again := newEngine(t, other)
	book, err := tenants.Read(other)
	s.must(err)
	for who, c := range map[string]*ecs.Client{
		"home": ecs.NewFromConfig(again.config("us-east-1")), "red": ecs.NewFromConfig(again.config("us-east-1", book.Tenants[0].Keys[0])),
	} {
		listed, err := c.ListTaskDefinitions(t.Context(), &ecs.ListTaskDefinitionsInput{})
		if err != nil || len(listed.TaskDefinitionArns) != 1 {
			t.Errorf("%s has %+v, %v", who, listed, err)
		}
	}
	queues := sqs.NewFromConfig(again.config("eu-west-1"))
	url, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("jobs")})
	s.must(err)
	got, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url.QueueUrl})
	if err != nil || len(got.Messages) != 1 || *got.Messages[0].Body != "job" {
		t.Errorf("received %+v, %v", got, err)
	}
}

// stopped is the state of an engine that has run, and a backup of it.
func stopped(t *testing.T) (state, backup string) {
	t.Helper()
	state = t.TempDir()
	s := newEngine(t, state)
	s.fill()
	s.must(s.stop())
	backup = filepath.Join(t.TempDir(), "backup.tar.gz")
	if _, err := app.BackupState(state, backup, time.Now()); err != nil {
		t.Fatal(err)
	}
	return state, backup
}

// damage flips a bit in the middle of a log's newest file.
func damage(t *testing.T, log string) string {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(log, "segment-*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no segment in %s: %v", log, err)
	}
	path := segments[len(segments)-1]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDamageAnywhereIsFoundWithItsPlaceAndTheStartNamesTheWayOut(t *testing.T) {
	state, backup := stopped(t)
	for _, log := range []string{"engine", "worlds/" + app.Account + "/eu-west-1/queues"} {
		path := damage(t, filepath.Join(state, log))
		parts, err := app.CheckState(state)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, p := range parts {
			if p.Name == log {
				found = strings.Contains(p.Damage, path+" at offset ") && strings.Contains(p.Remedy, "truncate -s")
			} else if p.Damage != "" {
				t.Errorf("%s is said to be damaged: %s", p.Name, p.Damage)
			}
		}
		if !found {
			t.Errorf("the damage of %s is not told: %+v", path, parts)
		}
		err = app.Engine(t.Context(), app.EngineOptions{State: state, AWS: "127.0.0.1:0", Cluster: "default", Region: "us-east-1", Hosts: 1, Zones: 1, Runtime: "fake", Out: &output{}, Log: quiet})
		for _, words := range []string{path, "offset", fmt.Sprintf("plimsoll state check --state %q", state), "plimsoll state restore FILE"} {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("the start says %v, and not %q", err, words)
			}
		}
		if _, err := app.RestoreState(state, backup, false, time.Now()); err == nil || !strings.Contains(err.Error(), "--overwrite") {
			t.Errorf("a restore over a state that was not asked for: %v", err)
		}
		done, err := app.RestoreState(state, backup, true, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(done.Replaced, log)); err != nil {
			t.Errorf("what was there before is gone: %v", err)
		}
		again := newEngine(t, state)
		again.must(again.stop())
		parts, err = app.CheckState(state)
		if err != nil || slices.ContainsFunc(parts, func(p app.Part) bool { return p.Damage != "" }) {
			t.Errorf("after the restore: %+v, %v", parts, err)
		}
	}
}

func TestABackupThatIsNotWholeChangesNothing(t *testing.T) {
	state, backup := stopped(t)
	data, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	before, err := app.CheckState(state)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	flipped := slices.Clone(data)
	flipped[len(flipped)/2] ^= 1
	for what, content := range map[string][]byte{"cut": data[:len(data)-9], "flipped": flipped, "empty": nil, "text": []byte("hello")} {
		if err := os.WriteFile(bad, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := app.RestoreState(state, bad, true, time.Now()); err == nil || !strings.Contains(err.Error(), "nothing has been changed") {
			t.Errorf("%s: %v", what, err)
		}
		after, err := app.CheckState(state)
		if err != nil || !slices.Equal(names(after), names(before)) {
			t.Errorf("%s: the state is now %v, %v", what, names(after), err)
		}
	}
}

func TestAnInterruptedRestoreIsNotStartedOn(t *testing.T) {
	state, backup := stopped(t)
	if err := os.WriteFile(filepath.Join(state, "restore-under-way"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(state, "engine")); err != nil {
		t.Fatal(err)
	}
	o := app.EngineOptions{State: state, AWS: "127.0.0.1:0", Cluster: "default", Region: "us-east-1", Hosts: 1, Zones: 1, Runtime: "fake", Out: &output{}, Log: quiet}
	if err := app.Engine(t.Context(), o); err == nil || !strings.Contains(err.Error(), "restore") {
		t.Fatalf("got %v", err)
	}
	if _, err := app.RestoreState(state, backup, true, time.Now()); err != nil {
		t.Fatal(err)
	}
	newEngine(t, state) // it starts
}
