package ecs

import (
	"encoding/json"
	"maps"
	"time"
)

// spotNotice is the detail-type of the event by which EC2 says, two minutes
// before, that it takes a spot instance away.
const spotNotice = "EC2 Spot Instance Interruption Warning"

// noticeFor is how long a notice holds: the instance is gone by then, or was kept.
const noticeFor = 15 * time.Minute

// interruptedBy gives the instance that an event says will be taken away, and when
// that was said (zero: the event does not tell); empty: it is another event.
func interruptedBy(event string) (instanceID string, said time.Time) {
	var e struct {
		Source     string `json:"source"`
		DetailType string `json:"detail-type"`
		Time       string `json:"time"`
		Detail     struct {
			InstanceID string `json:"instance-id"`
		} `json:"detail"`
	}
	if json.Unmarshal([]byte(event), &e) != nil || e.Source != "aws.ec2" || e.DetailType != spotNotice {
		return "", time.Time{}
	}
	said, _ = time.Parse(time.RFC3339, e.Time) // zero where it cannot be read
	return e.Detail.InstanceID, said
}

// Hear notes what an event of EventBridge says and nothing else shows: that an
// instance is about to be taken away. HostGroups shows it as interrupted from now on.
// An instance of no host of the cluster's is no matter. As long as the notice counts,
// keep asks for the event to be told again: it is written down nowhere else, and the
// next process needs it.
func (c *Cluster) Hear(event string) (keep bool) {
	id, said := interruptedBy(event)
	return id != "" && c.interrupt(id, said)
}

func (c *Cluster) interrupt(instanceID string, said time.Time) (counts bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if said.IsZero() || said.After(now) {
		said = now
	}
	if now.Sub(said) >= noticeFor {
		return false
	}
	if c.registered == nil {
		return true // no snapshot has told yet whose it is
	}
	if _, ours := c.registered[instanceID]; !ours {
		return false
	}
	maps.DeleteFunc(c.interrupted, func(_ string, at time.Time) bool { return now.Sub(at) >= noticeFor })
	if c.interrupted == nil {
		c.interrupted = map[string]time.Time{}
	}
	c.interrupted[instanceID] = said
	return true
}

// noticed tells whether a notice of an instance holds.
func (c *Cluster) noticed(instanceID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known := c.interrupted[instanceID]
	return known && c.now().Sub(at) < noticeFor
}
