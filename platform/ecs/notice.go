package ecs

import (
	"encoding/json"
	"time"
)

// spotNotice is the detail-type of the event by which EC2 says, two minutes
// before, that it takes a spot instance away.
const spotNotice = "EC2 Spot Instance Interruption Warning"

// noticeFor is how long a notice holds: the instance is gone by then, or was kept.
const noticeFor = 15 * time.Minute

// interruptedBy gives the instance that an event says will be taken away; empty:
// it is another event.
func interruptedBy(event string) string {
	var e struct {
		Source     string `json:"source"`
		DetailType string `json:"detail-type"`
		Detail     struct {
			InstanceID string `json:"instance-id"`
		} `json:"detail"`
	}
	if json.Unmarshal([]byte(event), &e) != nil || e.Source != "aws.ec2" || e.DetailType != spotNotice {
		return ""
	}
	return e.Detail.InstanceID
}

// Hear notes what an event of EventBridge says and nothing else shows: that an
// instance is about to be taken away. HostGroups shows it as interrupted from now on.
// An instance of no host of the cluster's is no matter.
func (c *Cluster) Hear(event string) {
	if id := interruptedBy(event); id != "" {
		c.interrupt(id)
	}
}

func (c *Cluster) interrupt(instanceID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupted == nil {
		c.interrupted = map[string]time.Time{}
	}
	now := c.now()
	for id, at := range c.interrupted {
		if now.Sub(at) >= noticeFor {
			delete(c.interrupted, id)
		}
	}
	if _, ours := c.registered[instanceID]; ours {
		c.interrupted[instanceID] = now
	}
}

// noticed tells whether a notice of an instance holds.
func (c *Cluster) noticed(instanceID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known := c.interrupted[instanceID]
	return known && c.now().Sub(at) < noticeFor
}
