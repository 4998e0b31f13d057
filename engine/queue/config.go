package queue

import (
	"encoding/json"
	"errors"
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

	redrive redrive // what the attributes say, read by parse
	allow   redriveAllow
}

// The attributes that can be set, with SQS's names.
const (
	VisibilityTimeout = "VisibilityTimeout"
	DelaySeconds      = "DelaySeconds"
	Retention         = "MessageRetentionPeriod"
	WaitTime          = "ReceiveMessageWaitTimeSeconds"
	MaximumSize       = "MaximumMessageSize"
	FIFO              = "FifoQueue"
	ContentBased      = "ContentBasedDeduplication"
	Scope             = "DeduplicationScope"
	Throughput        = "FifoThroughputLimit"
	Redrive           = "RedrivePolicy"
	RedriveAllow      = "RedriveAllowPolicy"
	Policy            = "Policy"
	ManagedSSE        = "SqsManagedSseEnabled"
	KMSKey            = "KmsMasterKeyId"
	KMSReuse          = "KmsDataKeyReusePeriodSeconds"
)

const fifoSuffix = ".fifo"

// attribute is what one of them may be, and what it is where nobody set it.
type attribute struct {
	least, most int // a number from least to most; in seconds, but for MaximumSize
	words       []string
	check       func(value string) error // of a policy; the empty text takes it away
	usual       string                   // empty: there is none
	fifo        bool                     // FIFO queues have it alone
}

var boolean = []string{"false", "true"}

// attributes are SQS's own.
var attributes = map[string]attribute{
	VisibilityTimeout: {most: 43200, usual: "30"},
	DelaySeconds:      {most: 900, usual: "0"},
	Retention:         {least: 60, most: 1209600, usual: "345600"},
	WaitTime:          {most: 20, usual: "0"},
	MaximumSize:       {least: 1024, most: 1 << 20, usual: "1048576"},
	FIFO:              {words: []string{"true"}, fifo: true},
	ContentBased:      {words: boolean, usual: "false", fifo: true},
	Scope:             {words: []string{"queue", "messageGroup"}, usual: "queue", fifo: true},
	Throughput:        {words: []string{"perQueue", "perMessageGroupId"}, usual: "perQueue", fifo: true},
	Redrive:           {check: func(v string) error { _, err := readRedrive(v); return err }},
	RedriveAllow:      {check: func(v string) error { _, err := readRedriveAllow(v); return err }},
	Policy:            {check: checkPolicy},
	ManagedSSE:        {words: boolean, usual: "false"},
	KMSKey:            {check: noKMS},
	KMSReuse:          {least: 60, most: 86400},
}

func noKMS(key string) error {
	if key == "" {
		return nil
	}
	return refuse("KmsNotFound", "There is no KMS here, and so no key %q. Leave KmsMasterKeyId out; "+
		"messages are kept unencrypted, in files that only their owner can read.", key)
}

func checkPolicy(text string) error {
	if text != "" && !json.Valid([]byte(text)) {
		return refuse("InvalidAttributeValue", "Invalid value for the parameter Policy: it is not JSON.")
	}
	return nil
}

// checkAttributes refuses what is unknown, out of range, or not for such a
// queue.
func checkAttributes(given map[string]string, fifo bool) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		a, ok := attributes[name]
		value := given[name]
		switch {
		case !ok:
			return refuse("InvalidAttributeName", "Unknown Attribute %s. Allowed: %s.",
				name, strings.Join(slices.Sorted(maps.Keys(attributes)), ", "))
		case a.fifo && !fifo:
			return refuse("InvalidAttributeName", "Unknown Attribute %s: only a FIFO queue has it "+
				"(a name that ends in .fifo, and FifoQueue=true).", name)
		case a.check != nil:
			if err := a.check(value); err != nil {
				return err
			}
		case a.words != nil:
			if !slices.Contains(a.words, value) {
				return refuse("InvalidAttributeValue", "Invalid value for the parameter %s: %q. Allowed: %s.",
					name, value, strings.Join(a.words, ", "))
			}
		default:
			n, err := strconv.Atoi(value)
			if err != nil || n < a.least || n > a.most {
				return refuse("InvalidAttributeValue", "Invalid value for the parameter %s: %q. Must be from %d to %d.",
					name, value, a.least, a.most)
			}
		}
	}
	return nil
}

// checkTogether refuses attributes that do not go with each other.
func (c *Config) checkTogether() error {
	if c.Text(Throughput) == "perMessageGroupId" && c.Text(Scope) != "messageGroup" {
		return refuse("InvalidAttributeValue", "Invalid value for the parameter %s: perMessageGroupId needs %s=messageGroup.",
			Throughput, Scope)
	}
	return nil
}

// Text is an attribute's value, or its default; empty if it has none.
func (c *Config) Text(name string) string {
	if text, ok := c.Attributes[name]; ok {
		return text
	}
	if a := attributes[name]; !a.fifo || c.fifo() {
		return a.usual
	}
	return ""
}

// All gives the attributes that have a value.
func (c *Config) All() map[string]string {
	all := map[string]string{}
	for name := range attributes {
		if text := c.Text(name); text != "" {
			all[name] = text
		}
	}
	return all
}

func (c *Config) number(name string) int {
	n, _ := strconv.Atoi(c.Text(name)) // checked when it was set
	return n
}

func (c *Config) seconds(name string) time.Duration {
	return time.Duration(c.number(name)) * time.Second
}

func (c *Config) fifo() bool { return IsFIFO(c.Name) }

// IsFIFO tells whether a queue of the name is a FIFO queue.
func IsFIFO(name string) bool { return strings.HasSuffix(name, fifoSuffix) }

// with gives the configuration with attributes changed. An empty policy takes
// it away.
func (c Config) with(given map[string]string) (Config, error) {
	if err := checkAttributes(given, c.fifo()); err != nil {
		return c, err
	}
	c.Attributes = maps.Clone(c.Attributes)
	if c.Attributes == nil {
		c.Attributes = map[string]string{}
	}
	maps.Copy(c.Attributes, given)
	maps.DeleteFunc(c.Attributes, func(_, value string) bool { return value == "" })
	return c, errors.Join(c.parse(), c.checkTogether())
}

// parse reads the policies among the attributes, and puts the numbers and the
// RedrivePolicy into the form in which they are given back.
func (c *Config) parse() error {
	for name, value := range c.Attributes {
		if n, err := strconv.Atoi(value); err == nil {
			c.Attributes[name] = strconv.Itoa(n)
		}
	}
	var err, err2 error
	c.redrive, err = readRedrive(c.Attributes[Redrive])
	c.allow, err2 = readRedriveAllow(c.Attributes[RedriveAllow])
	if c.redrive.target != "" {
		c.Attributes[Redrive] = c.redrive.String()
	}
	return errors.Join(err, err2)
}

// same tells whether creating the queue with these attributes again asks for
// what is there: what is not named is not compared.
func (c *Config) same(given map[string]string) (bool, error) {
	changed, err := c.with(given)
	if err != nil {
		return false, err
	}
	for name := range given {
		if changed.Text(name) != c.Text(name) {
			return false, nil
		}
	}
	return true, nil
}

func checkName(name string, given map[string]string) error {
	word, fifo := strings.CutSuffix(name, fifoSuffix)
	if fifo != (given[FIFO] == "true") {
		return refuse("InvalidParameterValue", "The queue name %q is invalid. The name of a FIFO queue ends in %s, and "+
			"a queue whose name does so is made with the attribute FifoQueue=true.", name, fifoSuffix)
	}
	if !isWord(word, 80) || len(name) > 80 {
		return refuse("InvalidParameterValue", "The queue name %q is invalid. "+
			"Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.", name)
	}
	return nil
}

// maxTags is the most tags of a queue.
const maxTags = 50

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return invalid("Tags", len(tags), "A queue has at most 50 tags.")
	}
	for key, value := range tags {
		if key == "" || len([]rune(key)) > 128 || strings.HasPrefix(key, "aws:") {
			return invalid("Tags", strconv.Quote(key), "A tag's key has 1 to 128 characters and does not begin with aws:.")
		}
		if len([]rune(value)) > 256 {
			return invalid("Tags", strconv.Quote(key), "A tag's value has at most 256 characters.")
		}
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
