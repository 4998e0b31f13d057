package queue

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"plimsoll/engine/store"
)

// onceFor is how long a FIFO queue knows a message again.
const onceFor = 5 * time.Minute

// sent is what a FIFO queue remembers of a message that it was sent.
type sent struct {
	key      string
	id       string
	sequence uint64
	at       time.Time
	wait     func() error // until the message is on disk
}

// once is what was sent in the last five minutes, whatever has become of it.
type once struct {
	byKey map[string]*sent
	row   []*sent // by time
}

// deduplication is the id by which a message is known again, and the key under
// which it is remembered.
func (c *Config) deduplication(d *Draft) (id, key string) {
	id = d.Deduplication
	if id == "" {
		sum := sha256.Sum256([]byte(d.Body))
		id = hex.EncodeToString(sum[:])
	}
	if c.Text(Scope) == "messageGroup" {
		return id, d.Group + "\n" + id // no id has a line's end
	}
	return id, id
}

// find gives what was sent under the key, if it is remembered.
func (o *once) find(now time.Time, key string) *sent {
	if s := o.byKey[key]; s != nil && now.Before(s.at.Add(onceFor)) {
		return s
	}
	return nil
}

func (o *once) add(s *sent) {
	if o.byKey == nil {
		o.byKey = map[string]*sent{}
	}
	o.byKey[s.key] = s
	o.row = append(o.row, s)
}

// undo forgets what could not be written.
func (o *once) undo(s *sent) {
	if o.byKey[s.key] == s {
		delete(o.byKey, s.key)
	}
	s.at = time.Time{} // what is left of it goes with the next expiry
}

// expire forgets what is too old, and gives the keys.
func (o *once) expire(now time.Time) []string {
	var keys []string
	for len(o.row) > 0 && !now.Before(o.row[0].at.Add(onceFor)) {
		s := o.row[0]
		o.row[0] = nil
		o.row = o.row[1:]
		if o.byKey[s.key] == s {
			delete(o.byKey, s.key)
			keys = append(keys, s.key)
		}
	}
	return keys
}

// next is when something is to be forgotten; false: there is nothing.
func (o *once) next() (time.Time, bool) {
	if len(o.row) == 0 {
		return time.Time{}, false
	}
	return o.row[0].at.Add(onceFor), true
}

func (l *live) onceRecord(s *sent) store.Record {
	value := binary.BigEndian.AppendUint64(nil, s.sequence)
	value = binary.BigEndian.AppendUint64(value, uint64(s.at.UnixNano()))
	return store.Record{Key: onceKey(l.id, s.key), Value: append(value, s.id...)}
}

func decodeSent(key string, value []byte) (sent, error) {
	if len(value) < 16 {
		return sent{}, errShort
	}
	return sent{
		key: key, sequence: binary.BigEndian.Uint64(value), id: string(value[16:]),
		at:   time.Unix(0, int64(binary.BigEndian.Uint64(value[8:]))),
		wait: func() error { return nil },
	}, nil
}
