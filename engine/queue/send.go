package queue

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDelay is the longest delay of a message.
const maxDelay = 900 * time.Second

// Draft is a message to be sent.
type Draft struct {
	Body string
	// Delay is how long it is hidden, 0 to 900 s; nil: the queue's own.
	Delay      *time.Duration
	Attributes map[string]Attribute
	System     map[string]Attribute
	Sender     string
	// Group and Deduplication are MessageGroupId and MessageDeduplicationId.
	Group, Deduplication string
}

// check refuses what SQS refuses.
func (d *Draft) check(c *Config) error {
	if d.Body == "" {
		return refuse("MissingParameter", "The request must contain the parameter MessageBody.")
	}
	if at := badCharacter(d.Body); at >= 0 {
		return refuse("InvalidMessageContents", "The message has a character at byte %d that is not allowed: "+
			"allowed are #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD and #x10000 to #x10FFFF.", at)
	}
	if err := d.checkOrder(c); err != nil {
		return err
	}
	if len(d.Attributes) > 10 {
		return invalid("MessageAttributes", len(d.Attributes), "At most 10 attributes are allowed.")
	}
	for _, name := range slices.Sorted(maps.Keys(d.Attributes)) {
		if err := checkAttribute(name, d.Attributes[name]); err != nil {
			return err
		}
	}
	for name, a := range d.System {
		if name != "AWSTraceHeader" || a.DataType != "String" {
			return invalid("MessageSystemAttributes", name, "Only AWSTraceHeader, of type String, is allowed.")
		}
	}
	if most := c.number(MaximumSize); d.Size() > most {
		return refuse("InvalidParameterValue", "One or more parameters are invalid. "+
			"Reason: Message must be shorter than %d bytes, got %d.", most, d.Size())
	}
	return nil
}

// checkOrder refuses a delay, a group or an id of deduplication that is bad, or
// not for such a queue.
func (d *Draft) checkOrder(c *Config) error {
	const other = "The request includes a parameter that is not valid for this queue type."
	if d.Delay != nil {
		n := int(*d.Delay / time.Second)
		if *d.Delay < 0 || *d.Delay > maxDelay {
			return invalid("DelaySeconds", n, "DelaySeconds must be >= 0 and <= 900.")
		}
		if c.fifo() && n > 0 {
			return invalid("DelaySeconds", n, other+" A FIFO queue delays all its messages alike, by its own DelaySeconds.")
		}
	}
	const form = "Can only include alphanumeric and punctuation characters. 1 to 128 in length."
	if d.Group != "" && !isID(d.Group) {
		return invalid("MessageGroupId", strconv.Quote(d.Group), form)
	}
	if d.Deduplication != "" && !isID(d.Deduplication) {
		return invalid("MessageDeduplicationId", strconv.Quote(d.Deduplication), form)
	}
	switch {
	case !c.fifo() && d.Deduplication != "":
		return invalid("MessageDeduplicationId", d.Deduplication, other)
	case c.fifo() && d.Group == "":
		return refuse("MissingParameter", "The request must contain the parameter MessageGroupId.")
	case c.fifo() && d.Deduplication == "" && c.Text(ContentBased) != "true":
		return refuse("InvalidParameterValue", "The queue should either have ContentBasedDeduplication enabled "+
			"or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// isID tells whether s is 1 to 128 characters of ASCII that are seen.
func isID(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 128
}

// IsID tells whether s may be a ReceiveRequestAttemptId.
func IsID(s string) bool { return isID(s) }

// Size counts the body and the attributes' names, types and values.
func (d *Draft) Size() int {
	n := len(d.Body)
	for name, a := range d.Attributes {
		n += len(name) + len(a.DataType) + len(a.String) + len(a.Binary)
	}
	return n
}

func checkAttribute(name string, a Attribute) error {
	bad := func(reason string) error {
		return refuse("InvalidParameterValue", "The message attribute %q is invalid. Reason: %s", name, reason)
	}
	lower := strings.ToLower(name)
	if len(name) > 256 || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") ||
		strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") ||
		!isWord(strings.ReplaceAll(name, ".", ""), 256) {
		return bad("A name has letters, digits, hyphens, underscores and single full stops, " +
			"does not begin with AWS. or Amazon., and has at most 256 characters.")
	}
	kind, _, _ := strings.Cut(a.DataType, ".")
	switch kind {
	case "String", "Number":
		if a.String == "" {
			return bad("A " + kind + " needs a StringValue that is not empty.")
		}
		if badCharacter(a.String) >= 0 {
			return bad("The value has a character that is not allowed.")
		}
		if _, err := strconv.ParseFloat(a.String, 64); kind == "Number" && err != nil {
			return bad("Can't cast the value of message (user) attribute to a number.")
		}
	case "Binary":
		if len(a.Binary) == 0 {
			return bad("A Binary needs a BinaryValue that is not empty.")
		}
	default:
		return bad("The type must be String, Number or Binary, or begin with one of them and a full stop; got \"" +
			a.DataType + "\".")
	}
	return nil
}

// badCharacter is where the first character is that a message may not have; -1
// if there is none.
func badCharacter(s string) int {
	for i, r := range s {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		case r == '\t', r == '\n', r == '\r':
		case r < ' ', r == 0xFFFE, r == 0xFFFF:
			return i
		}
	}
	return -1
}
