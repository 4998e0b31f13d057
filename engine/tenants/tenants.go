// Package tenants keeps who may use an embedded engine: each tenant has an
// account of its own, access keys, and quotas. The file of them is the interface
// between the command line, which changes it, and the running engine, which
// reads it again when it has changed. Bounded puts an engine under a tenant's
// quota. It must not know of the wire's protocols, nor decide anything else about
// what a tenant runs.
package tenants

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"plimsoll/engine/awsapi"
)

// FileName is the name of the file in the state's folder.
const FileName = "tenants.json"

// MostTenants bounds the tenants of one engine.
const MostTenants = 100

// ErrUnknown is wrapped by the error for a tenant that there is not.
var ErrUnknown = errors.New("no such tenant")

// Quota bounds a tenant; 0 is no bound. All but RequestsPerSecond are counted
// in each region by itself, as AWS counts them.
type Quota struct {
	Clusters int `json:"clusters,omitempty"`
	Services int `json:"services,omitempty"`
	// Tasks bounds the desired counts of all services and the standalone tasks
	// together.
	Tasks int `json:"tasks,omitempty"`
	Hosts int `json:"hosts,omitempty"`
	// CPU (units) and Memory (MiB) bound what all hosts register together.
	CPU    int64 `json:"cpu,omitempty"`
	Memory int64 `json:"memory,omitempty"`
	Queues int   `json:"queues,omitempty"`
	// RequestsPerSecond are over all regions; twice as many may come at once.
	RequestsPerSecond float64 `json:"requestsPerSecond,omitempty"`
}

// Hosts are the logical hosts that a tenant has in each region from the start,
// in its cluster "default".
type Hosts struct {
	Count  int   `json:"count"`
	Zones  int   `json:"zones"`
	CPU    int64 `json:"cpu"`    // units, each
	Memory int64 `json:"memory"` // MiB, each
}

// Key is an access key. A key that was replaced holds until Expires.
type Key struct {
	ID      string    `json:"id"`
	Secret  string    `json:"secret"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

// Tenant is one of those who share an engine.
type Tenant struct {
	Name    string    `json:"name"`
	Account string    `json:"account"` // 12 digits
	Created time.Time `json:"created"`
	// Keys are the newest last.
	Keys []Key `json:"keys"`
	// Issuer is what the credentials of tasks are derived from: it outlives
	// the keys, so that a rotation takes nothing from what runs.
	Issuer string `json:"issuer"`
	Quota  Quota  `json:"quota"`
	Hosts  Hosts  `json:"hosts"`
	// Removing tells that the tenant's keys hold no more, and that its tasks
	// and its state are to go.
	Removing bool `json:"removing,omitempty"`
}

// valid gives the keys that hold at a time.
func (t *Tenant) valid(now time.Time) []Key {
	if t.Removing {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(t.Keys), func(k Key) bool {
		return !k.Expires.IsZero() && !now.Before(k.Expires)
	})
}

// Book is what is in the file.
type Book struct {
	Version int      `json:"version"`
	Tenants []Tenant `json:"tenants"`
}

// Find gives the tenant of a name.
func (b *Book) Find(name string) (*Tenant, error) {
	for i := range b.Tenants {
		if b.Tenants[i].Name == name {
			return &b.Tenants[i], nil
		}
	}
	return nil, fmt.Errorf("tenant %q: %w (plimsoll tenants list shows them)", name, ErrUnknown)
}

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Add makes a tenant with its first key. Taken are accounts that are not to be
// given out.
func (b *Book) Add(name string, quota Quota, hosts Hosts, now time.Time, taken ...string) (*Tenant, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("tenant %q: a name has 1 to 63 lower-case letters, digits and hyphens, and begins with a letter or digit", name)
	}
	if _, err := b.Find(name); err == nil {
		return nil, fmt.Errorf("tenant %q is there already; rotate gives it a new key, quota other bounds", name)
	}
	if len(b.Tenants) >= MostTenants {
		return nil, fmt.Errorf("tenant %q: there are %d tenants, and no more are allowed; remove one first", name, len(b.Tenants))
	}
	for _, t := range b.Tenants {
		taken = append(taken, t.Account)
	}
	account, err := newAccount(taken)
	if err != nil {
		return nil, err
	}
	first, err := newKey(account, now)
	if err != nil {
		return nil, err
	}
	issuer, err := awsapi.NewKeys(rand.Reader, account)
	if err != nil {
		return nil, err
	}
	b.Tenants = append(b.Tenants, Tenant{
		Name: name, Account: account, Created: now.UTC(), Keys: []Key{first}, Issuer: issuer.Secret, Quota: quota, Hosts: hosts,
	})
	return &b.Tenants[len(b.Tenants)-1], nil
}

// Rotate gives a tenant a new key. The others hold for the time given.
func (b *Book) Rotate(name string, keep time.Duration, now time.Time) (*Tenant, error) {
	t, err := b.Find(name)
	if err != nil {
		return nil, err
	}
	if t.Removing {
		return nil, fmt.Errorf("tenant %q is being removed", name)
	}
	t.Keys = t.valid(now)
	end := now.Add(keep).UTC()
	for i := range t.Keys {
		if t.Keys[i].Expires.IsZero() || t.Keys[i].Expires.After(end) {
			t.Keys[i].Expires = end
		}
	}
	next, err := newKey(t.Account, now)
	if err != nil {
		return nil, err
	}
	t.Keys = append(t.valid(now), next)
	return t, nil
}

// Drop forgets a tenant.
func (b *Book) Drop(name string) {
	b.Tenants = slices.DeleteFunc(b.Tenants, func(t Tenant) bool { return t.Name == name })
}

func newKey(account string, now time.Time) (Key, error) {
	made, err := awsapi.NewKeys(rand.Reader, account)
	return Key{ID: made.AccessKeyID, Secret: made.Secret, Created: now.UTC()}, err
}

func newAccount(taken []string) (string, error) {
	for {
		n, err := rand.Int(rand.Reader, big.NewInt(900_000_000_000))
		if err != nil {
			return "", err
		}
		account := n.Add(n, big.NewInt(100_000_000_000)).String()
		if !slices.Contains(taken, account) {
			return account, nil
		}
	}
}

// Read reads the file of a state's folder; none is an empty book.
func Read(dir string) (Book, error) {
	path := filepath.Join(dir, FileName)
	book := Book{Version: 1}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return book, nil
	}
	if err != nil {
		return book, fmt.Errorf("the tenants: %w", err)
	}
	if err := json.Unmarshal(data, &book); err != nil {
		return book, fmt.Errorf("the tenants: %s: %w; put back a copy of it, or move it away to be without tenants", path, err)
	}
	if book.Version != 1 {
		return book, fmt.Errorf("the tenants: %s has version %d, and this program knows 1", path, book.Version)
	}
	return book, nil
}

// Change reads the file, has it changed and writes it, durably and whole, while
// nobody else does. An error of change leaves the file as it is.
func Change(dir string, change func(*Book) error) error {
	lock, err := os.OpenFile(filepath.Join(dir, FileName+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("the tenants: %w", err)
	}
	defer func() { _ = lock.Close() }() // which gives the lock back
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("the tenants: lock %s: %w", lock.Name(), err)
	}
	book, err := Read(dir)
	if err != nil {
		return err
	}
	if err := change(&book); err != nil {
		return err
	}
	data, err := json.MarshalIndent(book, "", "  ")
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, FileName), append(data, '\n')); err != nil {
		return fmt.Errorf("the tenants: %w", err)
	}
	return nil
}

// replace writes a file whole, readable by its owner only, and has its name on
// disk when it returns.
func replace(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	if _, err := temp.Write(data); err != nil {
		return errors.Join(err, temp.Close())
	}
	if err := errors.Join(temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
