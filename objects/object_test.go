package objects_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"plimsoll/objects"
)

func TestTheEventIsOfS3sShape(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "in box", "käse & brot+.txt")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := objects.Read(root, "pictures", path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 4, 12, 0, 0, 5e6, time.UTC)
	var got, want any
	if err := json.Unmarshal([]byte(o.Created("us-east-1", now)), &got); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1",
		"eventTime":"2026-03-04T12:00:00.005Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"plimsoll"},
		"requestParameters":{"sourceIPAddress":"127.0.0.1"},"responseElements":{"x-amz-request-id":"001899A197680FCB40"},
		"s3":{"s3SchemaVersion":"1.0","configurationId":"plimsoll put",
		"bucket":{"name":"pictures","ownerIdentity":{"principalId":"plimsoll"},"arn":"arn:aws:s3:::pictures"},
		"object":{"key":"in+box/k%C3%A4se+%26+brot%2B.txt","size":5,"eTag":"5d41402abc4b2a76b9719d911017c592","sequencer":"001899A197680FCB40"}}}]}`), &want)
	if a, b := text(got), text(want); a != b {
		t.Errorf("got  %s\nwant %s", a, b)
	}
	if later := o.Created("us-east-1", now.Add(1)); later <= o.Created("us-east-1", now) {
		t.Error("a later event has no greater sequencer")
	}
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestWhatIsNoFileOfTheBucketIsRefused(t *testing.T) {
	root := t.TempDir()
	outside := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := objects.Read(root, "b", outside); !errors.Is(err, objects.ErrOutside) {
		t.Errorf("outside: %v", err)
	}
	if _, err := objects.Read(root, "b", root); err == nil {
		t.Error("a folder was read")
	}
	if _, err := objects.Read(root, "b", filepath.Join(root, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}
