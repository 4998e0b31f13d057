package queue

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"plimsoll/engine/store"
)

// The log holds, for a queue of the id Q, its configuration, its messages, the
// last receipt of each message that was received, and what a FIFO queue was sent
// in the last five minutes; beside them the tasks that move messages.
const (
	queuePrefix   = "queue/"   // queue/NAME
	messagePrefix = "message/" // message/Q/ID
	receiptPrefix = "receipt/" // receipt/Q/ID
	oncePrefix    = "once/"    // once/Q/KEY
	movePrefix    = "move/"    // move/HANDLE
)

func messageKey(queueID, id string) string { return messagePrefix + queueID + "/" + id }
func receiptKey(queueID, id string) string { return receiptPrefix + queueID + "/" + id }
func onceKey(queueID, key string) string   { return oncePrefix + queueID + "/" + key }

// deletions are the records of the end of messages.
func (l *live) deletions(ids ...string) []store.Record {
	records := make([]store.Record, 0, 2*len(ids))
	for _, id := range ids {
		records = append(records, store.Record{Key: messageKey(l.id, id)}, store.Record{Key: receiptKey(l.id, id)})
	}
	return records
}

var errShort = errors.New("the record is too short")

// encodeMessage leaves room for the sequence, which setSequence fills in.
func encodeMessage(m *Message) ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("message %q: %w", m.ID, err)
	}
	return append(make([]byte, 8, 8+len(text)), text...), nil
}

func setSequence(value []byte, sequence uint64) { binary.BigEndian.PutUint64(value, sequence) }

func decodeMessage(value []byte) (*Message, error) {
	if len(value) < 8 {
		return nil, errShort
	}
	m := &Message{Sequence: binary.BigEndian.Uint64(value)}
	return m, json.Unmarshal(value[8:], m)
}

// saved is a receipt's record: when the message is visible again is a part of
// it.
type saved struct {
	receipt
	until time.Time
}

func (l *live) receiptRecord(e *entry) store.Record {
	value := make([]byte, 0, 40)
	value = binary.BigEndian.AppendUint64(value, e.number)
	value = binary.BigEndian.AppendUint64(value, uint64(e.receipt.count))
	for _, t := range []time.Time{e.first, e.taken, e.at} {
		value = binary.BigEndian.AppendUint64(value, uint64(nanoseconds(t)))
	}
	return store.Record{Key: receiptKey(l.id, e.ID), Value: value}
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func decodeReceipt(value []byte) (saved, error) {
	if len(value) < 40 {
		return saved{}, errShort
	}
	field := func(i int) uint64 { return binary.BigEndian.Uint64(value[8*i:]) }
	at := func(i int) time.Time { return time.Unix(0, int64(field(i))) }
	return saved{receipt{number: field(0), count: int(field(1)), first: at(2), taken: at(3)}, at(4)}, nil
}

// loaded is what the log had.
type loaded struct {
	queues   []Config
	messages map[string][]*Message // by the queue's id
	receipts map[string]saved      // by the rest of the key
	once     map[string][]sent     // by the queue's id
	moves    []*move
	// keys are those of all records that belong to a queue, by its id.
	keys map[string][]string
}

// load reads the log.
func load(log Log) (*loaded, error) {
	all := &loaded{messages: map[string][]*Message{}, receipts: map[string]saved{}, once: map[string][]sent{}, keys: map[string][]string{}}
	return all, log.Load(func(key string, value []byte) error {
		if err := all.read(key, value); err != nil {
			return fmt.Errorf("queue log: the record %q: %w", key, err)
		}
		return nil
	})
}

func (all *loaded) read(key string, value []byte) error {
	kind, rest, _ := strings.Cut(key, "/")
	id, name, _ := strings.Cut(rest, "/")
	switch kind + "/" {
	case queuePrefix:
		var c Config
		err := json.Unmarshal(value, &c)
		if err == nil {
			err = c.parse()
		}
		all.queues = append(all.queues, c)
		return err
	case movePrefix:
		m := &move{}
		err := json.Unmarshal(value, &m.Move)
		all.moves = append(all.moves, m)
		return err
	case messagePrefix:
		m, err := decodeMessage(value)
		all.messages[id] = append(all.messages[id], m)
		all.keys[id] = append(all.keys[id], key)
		return err
	case receiptPrefix:
		r, err := decodeReceipt(value)
		all.receipts[rest] = r
		all.keys[id] = append(all.keys[id], key)
		return err
	case oncePrefix:
		o, err := decodeSent(name, value)
		all.once[id] = append(all.once[id], o)
		all.keys[id] = append(all.keys[id], key)
		return err
	}
	return errors.New("nothing of a queue has such a key")
}
