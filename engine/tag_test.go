package engine_test

import (
	"testing"

	"plimsoll"
	"plimsoll/engine"
)

func TestAChangedPriorityHoldsForTheTasksThatWaitAlready(t *testing.T) {
	c := newHosts(t, 1)
	c.service("full", 5, 1, 200)
	c.service("second", 1, 6, 200)
	c.service("third", 1, 7, 200)
	c.run()
	third, _ := c.m.Service("", "third")
	c.do(engine.TagResource{ARN: third.ARN, Set: map[string]string{plimsoll.TagPriority: "2"}})
	c.desire("full", 4)
	c.run()
	c.expect("third", 1, 0)
	c.expect("second", 0, 1)

	refusal := c.refused(engine.TagResource{ARN: third.ARN, Set: map[string]string{plimsoll.TagPriority: "high"}})
	equal(t, "the refusal of a priority that is no number", refusal.Code, "InvalidParameterException")
	c.do(engine.TagResource{ARN: third.ARN, Remove: []string{plimsoll.TagPriority}})
	now, _ := c.m.Service("", "third")
	equal(t, "the priority without a tag", now.Priority, plimsoll.LowestPriority)
}
