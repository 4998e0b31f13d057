package queue

import (
	"testing"
	"time"
)

// FuzzRecordsOfALog reads what a log may hold after anything but this program
// wrote it: an error, never a panic.
func FuzzRecordsOfALog(f *testing.F) {
	f.Add("queue/a", []byte(`{"name":"a","id":"i","attributes":{"RedrivePolicy":"{}"}}`))
	f.Add("message/i/m", append(make([]byte, 8), `{"id":"m","body":"x"}`...))
	f.Add("receipt/i/m", make([]byte, 40))
	f.Add("once/i/k", make([]byte, 16))
	f.Add("move/h", []byte(`{"handle":"h"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		all := &loaded{messages: map[string][]*Message{}, receipts: map[string]saved{}, once: map[string][]sent{}, keys: map[string][]string{}}
		_ = all.read(key, value)
	})
}

// FuzzHandles holds that a handle which a queue did not give is refused.
func FuzzHandles(f *testing.F) {
	c := Config{Name: "a", Key: []byte("key")}
	f.Add(c.handle("id", 7))
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, handle string) {
		id, number, err := c.readHandle(handle)
		if err == nil && c.handle(id, number) != handle {
			t.Errorf("%q was taken for a handle of %q, %d", handle, id, number)
		}
	})
}

// FuzzPolicies holds that a policy which is accepted is the same when it is read
// again in the form in which it is given back.
func FuzzPolicies(f *testing.F) {
	f.Add(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:dead","maxReceiveCount":"3"}`)
	f.Add(`{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:us-east-1:123456789012:a"]}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := readRedrive(text); err == nil {
			if again, err := readRedrive(p.String()); err != nil || again != p {
				t.Errorf("%q gives %q, which is %+v, %v", text, p.String(), again, err)
			}
		}
		if p, err := readRedriveAllow(text); err == nil {
			p.allows("a")
		}
	})
}

// FuzzDrafts sends anything: it is refused, or it is what a receiver gets.
func FuzzDrafts(f *testing.F) {
	f.Add("body", "name", "String", "value", "group", "id", int64(3))
	f.Add("\x00", "AWS.x", "Number.int", "x", " ", "", int64(-1))
	f.Fuzz(func(t *testing.T, body, name, kind, value, group, id string, delay int64) {
		for _, c := range []Config{{Name: "a"}, {Name: "a.fifo"}} {
			wait := time.Duration(delay)
			d := Draft{
				Body: body, Group: group, Deduplication: id, Delay: &wait,
				Attributes: map[string]Attribute{name: {DataType: kind, String: value, Binary: []byte(value)}},
			}
			if d.check(&c) != nil {
				continue
			}
			m := Message{ID: "m", Body: body, Group: group, Deduplication: id, Attributes: d.Attributes}
			record, err := encodeMessage(&m)
			if err != nil {
				t.Fatal(err)
			}
			back, err := decodeMessage(record)
			if err != nil || back.Body != body || back.Group != group || AttributesMD5(back.Attributes) != AttributesMD5(m.Attributes) {
				t.Errorf("%+v became %+v, %v", m, back, err)
			}
		}
	})
}
