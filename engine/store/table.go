package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Table is one kind of entity in a log: a value of type T under each key, as
// JSON, under a prefix of its own. What Put and Delete have answered is on disk.
// It is safe for concurrent use; what it gives is not to be changed.
type Table[T any] struct {
	log    *Log
	prefix string
	write  sync.Mutex // held over a change, so that memory and disk agree

	mu   sync.RWMutex
	rows map[string]T
}

// NewTable reads the entities of a kind. Prefix ends in "/", and no other
// table's begins with it.
func NewTable[T any](log *Log, prefix string) (*Table[T], error) {
	t := &Table[T]{log: log, prefix: prefix, rows: map[string]T{}}
	err := log.Load(func(key string, value []byte) error {
		name, mine := strings.CutPrefix(key, prefix)
		if !mine {
			return nil
		}
		var row T
		if err := json.Unmarshal(value, &row); err != nil {
			return fmt.Errorf("record %q: %w", key, err)
		}
		t.rows[name] = row
		return nil
	})
	return t, err
}

// Get gives the entity under a key.
func (t *Table[T]) Get(key string) (T, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	row, ok := t.rows[key]
	return row, ok
}

// All gives every entity, in the order of the keys.
func (t *Table[T]) All() []T {
	t.mu.RLock()
	defer t.mu.RUnlock()
	rows := make([]T, 0, len(t.rows))
	for _, key := range slices.Sorted(maps.Keys(t.rows)) {
		rows = append(rows, t.rows[key])
	}
	return rows
}

// Len is the number of entities.
func (t *Table[T]) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.rows)
}

// Put sets the entity under a key.
func (t *Table[T]) Put(key string, row T) error {
	return t.Update(key, func(T, bool) (T, error) { return row, nil })
}

// Update changes the entity under a key, which may not be there yet, while
// nobody else changes one. An error of change leaves it as it is.
func (t *Table[T]) Update(key string, change func(row T, there bool) (T, error)) error {
	t.write.Lock()
	defer t.write.Unlock()
	row, there := t.Get(key)
	row, err := change(row, there)
	if err != nil {
		return err
	}
	value, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("record %q: %w", t.prefix+key, err)
	}
	if err := t.log.Append([]Record{{Key: t.prefix + key, Value: value}}); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[key] = row
	return nil
}

// Delete takes the entity under a key away, if it is there.
func (t *Table[T]) Delete(key string) error {
	t.write.Lock()
	defer t.write.Unlock()
	if _, there := t.Get(key); !there {
		return nil
	}
	if err := t.log.Append([]Record{{Key: t.prefix + key}}); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rows, key)
	return nil
}
