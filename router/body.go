package router

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// bodyKept is how much of a body's beginning is kept, so that it can be sent again to a
// target that says that it has not looked at it.
const bodyKept = 64 << 10

// errNotKept is why a body cannot be sent again.
var errNotKept = errors.New("the target did not take the request, and too much of its body was sent to send it again")

// original is the client's body, which attempts are lent from its beginning on. The
// reads of two loans may overlap: that of the former may be under way still.
type original struct {
	from io.Reader

	mu      sync.Mutex
	read    sync.Cond // the end of one
	reading bool
	total   int
	seen    []byte // all that was read, unless lost
	lost    bool   // there is no reading from the beginning any more
	err     error  // what the reading has ended in
	failed  error  // the same, but for the end of the body, if a loan was open then
}

// newOriginal keeps the beginning of the body if that is asked for.
func newOriginal(from io.Reader, keep bool) *original {
	o := &original{from: from, lost: !keep}
	o.read.L = &o.mu
	return o
}

// readAt reads what follows on the first bytes.
func (o *original) readAt(p []byte, at int) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		switch {
		case at < o.total && o.lost:
			return 0, errNotKept
		case at < o.total:
			return copy(p, o.seen[at:]), nil
		case o.err != nil:
			return 0, o.err
		case !o.reading:
			return o.readOn(p)
		}
		o.read.Wait()
	}
}

// readOn reads from the client; o.mu is held, but while it waits.
func (o *original) readOn(p []byte) (int, error) {
	o.reading = true
	o.mu.Unlock()
	n, err := o.from.Read(p)
	o.mu.Lock()
	o.reading, o.err = false, err
	if o.total += n; o.total > bodyKept {
		o.lost, o.seen = true, nil
	} else if !o.lost {
		o.seen = append(o.seen, p[:n]...)
	}
	o.read.Broadcast()
	return n, err
}

// settle is called when the body need not be read from its beginning again.
func (o *original) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lost, o.seen = true, nil
}

// again gives the body from its beginning on.
func (o *original) again(ended func()) (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost && o.total > 0 {
		return nil, errNotKept
	}
	return &sharedBody{of: o, ended: ended}, nil
}

// failure is the error that the client's side of the body ended in.
func (o *original) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// sharedBody lends the client's body to one attempt. Closing it ends the loan
// and leaves the body as it is: net/http closes what it is given even where no
// connection was made, and the next attempt needs the body whole.
type sharedBody struct {
	of *original
	// ended, if any, is called when the body has been read to its end.
	ended func()
	at    int

	mu     sync.Mutex
	closed bool
}

func (b *sharedBody) Read(p []byte) (int, error) {
	if b.over() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.of.readAt(p, b.at)
	b.at += n
	if err == io.EOF && b.ended != nil {
		b.ended()
	}
	if err != nil && err != io.EOF && err != errNotKept && !b.over() {
		b.of.mu.Lock()
		b.of.failed = err
		b.of.mu.Unlock()
	}
	return n, err
}

func (b *sharedBody) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

func (b *sharedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}
