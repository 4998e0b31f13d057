package queue

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what a queue was made with, and the durable record of it.
type Config struct {
	Name string `json:"name"`
	// ID is unique to this life of the queue: a queue that is deleted and made
	// again has none of its messages.
	ID string `json:"id"`
	// Key signs the queue's receipt handles.
	Key        []byte            `json:"key"`
	Attributes map[string]string `json:"attributes"` // as set; without the defaults
	Tags       map[string]string `json:"tags,omitempty"`
	Created    time.Time         `json:"created"`
	Modified   time.Time         `json:"modified"`
}

// The attributes that can be set, with SQS's names.
const (
	VisibilityTimeout = "VisibilityTimeout"
	DelaySeconds      = "DelaySeconds"
	Retention         = "MessageRetentionPeriod"
	WaitTime          = "ReceiveMessageWaitTimeSeconds"
	MaximumSize       = "MaximumMessageSize"
)

// attributeRange is what an attribute may be. All but MaximumMessageSize
// (bytes) are in seconds.
type attributeRange struct{ least, most, usual int }

// ranges are SQS's own.
var ranges = map[string]attributeRange{
	VisibilityTimeout: {0, 43200, 30},
	DelaySeconds:      {0, 900, 0},
	Retention:         {60, 1209600, 345600},
	WaitTime:          {0, 20, 0},
	MaximumSize:       {1024, 1 << 20, 1 << 20},
}

// Settable gives the names of the attributes that can be set, in order.
func Settable() []string { return slices.Sorted(maps.Keys(ranges)) }

// number is an attribute's value, or its default.
func (c *Config) number(name string) int {
	if text, ok := c.Attributes[name]; ok {
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	return ranges[name].usual
}

func (c *Config) seconds(name string) time.Duration {
	return time.Duration(c.number(name)) * time.Second
}

// checkAttributes refuses unknown names and values out of range.
func checkAttributes(attributes map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		r, ok := ranges[name]
		if !ok {
			return refuse("InvalidAttributeName", "The attribute %q is unknown, or not supported here. Supported: %s.",
				name, strings.Join(Settable(), ", "))
		}
		n, err := strconv.Atoi(attributes[name])
		if err != nil || n < r.least || n > r.most {
			return refuse("InvalidAttributeValue", "Invalid value for the parameter %s: %q. Must be from %d to %d.",
				name, attributes[name], r.least, r.most)
		}
	}
	return nil
}

func checkName(name string) error {
	if strings.HasSuffix(name, ".fifo") {
		return refuse("UnsupportedOperation", "The queue %q is a FIFO queue by its name; "+
			"FIFO queues are not supported here. Leave %q out for a standard queue.", name, ".fifo")
	}
	if !isWord(name, 80) {
		return refuse("InvalidParameterValue", "The queue name %q is invalid. "+
			"Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.", name)
	}
	return nil
}

// IsEntryID tells whether s may be the id of an entry of a batch.
func IsEntryID(s string) bool { return isWord(s, 80) }

// isWord tells whether s is 1 to most letters, digits, hyphens and underscores.
func isWord(s string, most int) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= most
}

// same tells whether creating the queue with these attributes again asks for
// what is there: what is not named is not compared.
func (c *Config) same(attributes map[string]string) bool {
	for name, text := range attributes {
		n, err := strconv.Atoi(text)
		if err != nil || n != c.number(name) {
			return false
		}
	}
	return true
}
