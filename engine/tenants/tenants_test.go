package tenants_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"plimsoll/engine/awsapi"
	"plimsoll/engine/tenants"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	home = awsapi.Keys{AccessKeyID: "AKIAHOME", Secret: "home", Account: "123456789012"}
)

func add(t *testing.T, dir, name string, quota tenants.Quota) tenants.Tenant {
	t.Helper()
	var made tenants.Tenant
	err := tenants.Change(dir, func(b *tenants.Book) error {
		one, err := b.Add(name, quota, tenants.Hosts{}, noon, home.Account)
		if err == nil {
			made = *one
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func directory(t *testing.T, dir string, now *time.Time) *tenants.Directory {
	t.Helper()
	d, err := tenants.OpenDirectory(dir, home, func() time.Time { return *now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestATenantsKeyFindsItsAccount(t *testing.T) {
	dir, now := t.TempDir(), noon
	d := directory(t, dir, &now)
	red := add(t, dir, "red", tenants.Quota{}) // after the directory was opened
	if c, ok := d.Lookup(red.Keys[0].ID, ""); !ok || c.Account != red.Account || c.Secret != red.Keys[0].Secret {
		t.Errorf("got %+v %v", c, ok)
	}
	if c, ok := d.Lookup(home.AccessKeyID, ""); !ok || c.Account != home.Account {
		t.Errorf("home: got %+v %v", c, ok)
	}
	if _, ok := d.Lookup("AKIANOBODY", ""); ok {
		t.Error("nobody's key was found")
	}
	info, err := os.Stat(filepath.Join(dir, tenants.FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v (%v)", info.Mode(), err)
	}
}

func TestARotatedKeyHoldsForTheTimeStated(t *testing.T) {
	dir, now := t.TempDir(), noon
	red := add(t, dir, "red", tenants.Quota{})
	d := directory(t, dir, &now)
	issued := d.Issuer(red.Account).Issue("task", "arn:aws:iam::1:role/r", noon.Add(6*time.Hour))
	var next tenants.Tenant
	if err := tenants.Change(dir, func(b *tenants.Book) error {
		one, err := b.Rotate("red", time.Hour, noon)
		next = *one
		return err
	}); err != nil {
		t.Fatal(err)
	}
	holds := func(id string) bool { _, ok := d.Lookup(id, ""); return ok }
	if len(next.Keys) != 2 || !holds(red.Keys[0].ID) || !holds(next.Keys[1].ID) {
		t.Errorf("after the rotation: %+v", next.Keys)
	}
	now = noon.Add(time.Hour)
	if holds(red.Keys[0].ID) || !holds(next.Keys[1].ID) {
		t.Error("the old key is to end after an hour, the new one is not")
	}
	if c, ok := d.Lookup(issued.AccessKeyID, issued.Token); !ok || c.Account != red.Account || c.Session != "task" {
		t.Errorf("what a task was issued before does not hold: %+v %v", c, ok)
	}
}

func TestATenantThatIsRemovedIsRefusedAtOnce(t *testing.T) {
	dir, now := t.TempDir(), noon
	red := add(t, dir, "red", tenants.Quota{})
	d := directory(t, dir, &now)
	if err := tenants.Change(dir, func(b *tenants.Book) error {
		one, err := b.Find("red")
		one.Removing = true
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Lookup(red.Keys[0].ID, ""); ok || len(d.Removing()) != 1 {
		t.Error("the key still holds, or the tenant is not among those to go")
	}
}

func TestRequestsBeyondTheQuotaAreThrottled(t *testing.T) {
	dir, now := t.TempDir(), noon
	red := add(t, dir, "red", tenants.Quota{RequestsPerSecond: 2})
	d := directory(t, dir, &now)
	admitted := func(account string) (n int) {
		for range 10 {
			if d.Admit(awsapi.Caller{Account: account}) == nil {
				n++
			}
		}
		return n
	}
	if n := admitted(red.Account); n != 4 {
		t.Errorf("%d at once, want 4", n)
	}
	now = now.Add(time.Second)
	if n := admitted(red.Account); n != 2 {
		t.Errorf("%d a second later, want 2", n)
	}
	if n := admitted(home.Account); n != 10 {
		t.Errorf("%d of the home account, want all", n)
	}
	var refusal *awsapi.Error
	if err := d.Admit(awsapi.Caller{Account: red.Account}); !errors.As(err, &refusal) || refusal.Code != "ThrottlingException" {
		t.Errorf("got %v", err)
	}
}

func TestChangesAtTheSameTimeLoseNothing(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, name := range names {
		group.Go(func() {
			if err := tenants.Change(dir, func(b *tenants.Book) error {
				_, err := b.Add(name, tenants.Quota{}, tenants.Hosts{}, noon)
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	book, err := tenants.Read(dir)
	if err != nil || len(book.Tenants) != len(names) {
		t.Errorf("%d tenants (%v)", len(book.Tenants), err)
	}
}

func TestADamagedFileIsNamedAndChangesNothing(t *testing.T) {
	dir, now := t.TempDir(), noon
	red := add(t, dir, "red", tenants.Quota{})
	d := directory(t, dir, &now)
	if err := os.WriteFile(filepath.Join(dir, tenants.FileName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Lookup(red.Keys[0].ID, ""); !ok {
		t.Error("a running engine is to go on with what it had read")
	}
	if _, err := tenants.Read(dir); err == nil {
		t.Error("a damaged file was read")
	}
	if err := tenants.Change(dir, func(*tenants.Book) error { return nil }); err == nil {
		t.Error("a damaged file was written over")
	}
}

func TestNamesAreChecked(t *testing.T) {
	var b tenants.Book
	for _, name := range []string{"", "Red", "a/b", "..", "-a", "a b"} {
		if _, err := b.Add(name, tenants.Quota{}, tenants.Hosts{}, noon); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if _, err := b.Add("red", tenants.Quota{}, tenants.Hosts{}, noon); err != nil {
		t.Error(err)
	}
	if _, err := b.Add("red", tenants.Quota{}, tenants.Hosts{}, noon); err == nil {
		t.Error("red was added twice")
	}
	if _, err := b.Rotate("blue", 0, noon); !errors.Is(err, tenants.ErrUnknown) {
		t.Errorf("got %v", err)
	}
}
