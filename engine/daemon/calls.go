package daemon

import (
	"sync"

	"plimsoll/engine"
)

// calls are the commands that wait for their answer.
type calls struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan engine.Reply
	// refusal is why no call is taken any more.
	refusal error
}

// open gives a call its id and the channel on which its answer comes.
func (c *calls) open() (uint64, <-chan engine.Reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusal != nil {
		return 0, nil, c.refusal
	}
	c.last++
	answer := make(chan engine.Reply, 1)
	c.waiting[c.last] = answer
	return c.last, answer, nil
}

// answer gives a reply to the call that waits for it, if it still does.
func (c *calls) answer(r engine.Reply) {
	c.mu.Lock()
	answer := c.waiting[r.ID]
	delete(c.waiting, r.ID)
	c.mu.Unlock()
	if answer != nil {
		answer <- r
	}
}

func (c *calls) abandon(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// refuse gives the error to all that wait and to all that come.
func (c *calls) refuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusal == nil {
		c.refusal = err
	}
	for id, answer := range c.waiting {
		answer <- engine.Reply{ID: id, Err: c.refusal}
		delete(c.waiting, id)
	}
}

func (c *calls) refused() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusal
}
