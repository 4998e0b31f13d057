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
	// refusal is why no call is taken.
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

// refuse gives the error to all that wait and to all that come. A later error
// takes the place of an earlier one.
func (c *calls) refuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusal = err
	for id, answer := range c.waiting {
		answer <- engine.Reply{ID: id, Err: c.refusal}
		delete(c.waiting, id)
	}
}

// admit takes calls again, unless they are refused for another reason by now.
func (c *calls) admit(past error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusal == past {
		c.refusal = nil
	}
}

func (c *calls) refused() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusal
}
