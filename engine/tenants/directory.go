package tenants

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"plimsoll/engine/awsapi"
)

// Directory finds what is behind an access key, for a running engine: the home
// account's own key, and those of the tenants. It reads the file of the tenants
// again when that has changed. It is safe for concurrent use.
type Directory struct {
	dir  string
	home awsapi.Keys
	now  func() time.Time
	log  *slog.Logger

	book    atomic.Pointer[readBook]
	reading sync.Mutex

	limits  sync.Mutex
	limiter map[string]*rate.Limiter // by account
}

var _ awsapi.Credentials = (*Directory)(nil)

// readBook is the file as it was read last.
type readBook struct {
	Book
	file      os.FileInfo      // nil: there was none
	keys      map[string]owner // by access key
	byAccount map[string]*Tenant
}

type owner struct {
	tenant *Tenant
	key    Key
}

// OpenDirectory reads the tenants of a state's folder.
func OpenDirectory(dir string, home awsapi.Keys, now func() time.Time, log *slog.Logger) (*Directory, error) {
	d := &Directory{dir: dir, home: home, now: now, log: log, limiter: map[string]*rate.Limiter{}}
	return d, d.read()
}

func (d *Directory) read() error {
	d.reading.Lock()
	defer d.reading.Unlock()
	info, _ := os.Stat(filepath.Join(d.dir, FileName))
	book, err := Read(d.dir)
	if err != nil {
		if last := d.book.Load(); last != nil {
			same := *last // which is not to be read again until it changes
			same.file = info
			d.book.Store(&same)
		}
		return err
	}
	next := &readBook{Book: book, file: info, keys: map[string]owner{}, byAccount: map[string]*Tenant{}}
	for i := range book.Tenants {
		t := &book.Tenants[i]
		next.byAccount[t.Account] = t
		for _, k := range t.Keys {
			next.keys[k.ID] = owner{t, k}
		}
	}
	d.book.Store(next)
	return nil
}

// current is the file's content, read again if the file has changed. A file
// that can not be read leaves things as they are, and the log says so.
func (d *Directory) current() *readBook {
	book := d.book.Load()
	info, err := os.Stat(filepath.Join(d.dir, FileName))
	if err != nil || book.file != nil && os.SameFile(info, book.file) &&
		info.ModTime().Equal(book.file.ModTime()) && info.Size() == book.file.Size() {
		return book
	}
	if err := d.read(); err != nil {
		d.log.Error("the tenants stay as they were", "error", err)
	}
	return d.book.Load()
}

// Lookup implements awsapi.Credentials.
func (d *Directory) Lookup(accessKeyID, sessionToken string) (awsapi.Credential, bool) {
	if accessKeyID == d.home.AccessKeyID {
		return d.home.Lookup(accessKeyID, sessionToken)
	}
	book := d.current()
	if o, ok := book.keys[accessKeyID]; ok {
		if o.tenant.Removing || !o.key.Expires.IsZero() && !d.now().Before(o.key.Expires) {
			return awsapi.Credential{}, false
		}
		return awsapi.Keys{AccessKeyID: o.key.ID, Secret: o.key.Secret, Account: o.tenant.Account}.Lookup(accessKeyID, "")
	}
	if c, ok := d.home.Lookup(accessKeyID, sessionToken); ok {
		return c, true
	}
	for account, t := range book.byAccount {
		if t.Removing {
			continue
		}
		if c, ok := (awsapi.Keys{Secret: t.Issuer, Account: account}).Lookup(accessKeyID, sessionToken); ok {
			return c, true
		}
	}
	return awsapi.Credential{}, false
}

// Issuer gives what the credentials of an account's tasks come from.
func (d *Directory) Issuer(account string) awsapi.Keys {
	if t := d.current().byAccount[account]; t != nil {
		return awsapi.Keys{Secret: t.Issuer, Account: account}
	}
	return d.home
}

// Tenant gives the tenant of an account; false: the account is the home
// account, or nobody's.
func (d *Directory) Tenant(account string) (Tenant, bool) {
	t := d.current().byAccount[account]
	if t == nil {
		return Tenant{}, false
	}
	return *t, true
}

// Quota is what bounds an account; the home account has no bounds.
func (d *Directory) Quota(account string) Quota {
	t, _ := d.Tenant(account)
	return t.Quota
}

// Removing gives the tenants that are to go.
func (d *Directory) Removing() []Tenant {
	return slices.DeleteFunc(slices.Clone(d.current().Tenants), func(t Tenant) bool { return !t.Removing })
}

// Admit refuses a caller whose requests come faster than its quota allows.
func (d *Directory) Admit(c awsapi.Caller) error {
	if c.Account == d.home.Account {
		return nil // without a look at the file: this is on the way of every request
	}
	most := d.Quota(c.Account).RequestsPerSecond
	if most <= 0 {
		return nil
	}
	d.limits.Lock()
	l := d.limiter[c.Account]
	burst := max(1, int(2*most))
	if l == nil || l.Limit() != rate.Limit(most) {
		l = rate.NewLimiter(rate.Limit(most), burst)
		d.limiter[c.Account] = l
	}
	d.limits.Unlock()
	if l.AllowN(d.now(), 1) {
		return nil
	}
	return &awsapi.Error{
		Code: "ThrottlingException", QueryCode: "Throttling",
		Message: fmt.Sprintf("Rate exceeded: %g requests a second are allowed.", most),
	}
}
