package router

import (
	"io"
	"net/http"
	"sync"
)

// sharedBody lends the client's body to one attempt. Closing it ends the loan
// and leaves the body as it is: net/http closes what it is given even where no
// connection was made, and the next attempt needs the body whole.
type sharedBody struct {
	from io.Reader
	// ended, if any, is called when the body has been read to its end.
	ended func()

	mu     sync.Mutex
	closed bool
	err    error
}

func (b *sharedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.from.Read(p)
	if err == io.EOF && b.ended != nil {
		b.ended()
	}
	if err != nil && err != io.EOF {
		b.mu.Lock()
		if !b.closed {
			b.err = err
		}
		b.mu.Unlock()
	}
	return n, err
}

func (b *sharedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// failed is the error that the client's side of the body ended in.
func (b *sharedBody) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
