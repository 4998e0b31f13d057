package store

import (
	"errors"
	"slices"
	"testing"
)

func TestATableKeepsItsRowsOverARestart(t *testing.T) {
	dir := t.TempDir()
	type row struct{ Name string }
	open := func() (*Log, *Table[row]) {
		log, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		table, err := NewTable[row](log, "row/")
		if err != nil {
			t.Fatal(err)
		}
		return log, table
	}
	log, table := open()
	for _, name := range []string{"b", "a", "gone"} {
		if err := table.Put(name, row{name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Append([]Record{{Key: "other/x", Value: []byte("no JSON")}}); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	if err := table.Update("a", func(r row, there bool) (row, error) { return row{}, refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
	if err := errors.Join(table.Delete("gone"), table.Delete("never"), log.Close()); err != nil {
		t.Fatal(err)
	}
	log, table = open()
	defer func() { _ = log.Close() }()
	if got := table.All(); !slices.Equal(got, []row{{"a"}, {"b"}}) || table.Len() != 2 {
		t.Errorf("got %v", got)
	}
	if _, ok := table.Get("gone"); ok {
		t.Error("a deleted row is there again")
	}
}
