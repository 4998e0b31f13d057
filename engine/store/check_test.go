package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestACopyOfALogInUseHasAllThatWasAnsweredBeforeIt(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, quickly(Options{CompactBytes: 2 << 10}))
	defer l.Close()
	done := make(chan struct{})
	stop := make(chan struct{})
	answered := make(chan int, 1)
	answered <- 0
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := l.Append([]Record{put("n", fmt.Sprint(n)), put(fmt.Sprint("k", n%20), strings.Repeat("x", n%200))}); err != nil {
				t.Error(err)
				return
			}
			<-answered
			answered <- n
		}
	}()
	for i := range 30 {
		least := <-answered
		answered <- least
		to := filepath.Join(t.TempDir(), fmt.Sprint("copy", i))
		if err := Copy(dir, to); err != nil {
			t.Fatal(err)
		}
		c := open(t, to, quickly(Options{}))
		n := 0
		fmt.Sscan(contents(t, c)["n"], &n)
		if n < least {
			t.Fatalf("the copy has %d appends, %d were answered before it", n, least)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if report, err := Check(dir); err != nil || report.Keys == 0 && n > 0 {
			t.Fatalf("a sound log in use: %+v, %v", report, err)
		}
	}
	close(stop)
	<-done
}

func TestCheckTellsATornTailFromDamageAndChangesNothing(t *testing.T) {
	path, lengths, _ := history(t, t.TempDir())
	dir := filepath.Dir(path)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if report, err := Check(dir); err != nil || report.Torn != nil || report.Bytes != int64(len(sound)) {
		t.Errorf("sound: %+v, %v", report, err)
	}
	torn := sound[:len(sound)-5]
	if err := os.WriteFile(path, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := Check(dir)
	want := &Tail{File: path, Offset: lengths[5], Bytes: int64(len(torn)) - lengths[5]}
	if diff := cmp.Diff(want, report.Torn); err != nil || diff != "" {
		t.Errorf("torn: %v %s", err, diff)
	}
	if after, _ := os.ReadFile(path); len(after) != len(torn) {
		t.Error("the tail was cut")
	}
	sound[lengths[2]+20] ^= 1
	if err := os.WriteFile(path, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := Check(dir); !errors.As(err, &corrupt) || corrupt.Offset != lengths[2] {
		t.Errorf("damaged: %v", err)
	}
	for _, words := range []string{"plimsoll state check", "plimsoll state restore", "truncate -s"} {
		if !strings.Contains(corrupt.Error(), words) {
			t.Errorf("%q does not say %q", corrupt, words)
		}
	}
}

func TestWhoHoldsALogKeepsOthersOut(t *testing.T) {
	dir := t.TempDir()
	hold, err := Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{}).Close()
}

// FuzzReader gives the log's reader anything at all for a segment. Whatever it
// takes for whole frames reads the same a second time and when more follows.
func FuzzReader(f *testing.F) {
	batch := appendBatch(nil, []Record{put("a", "1"), {Key: "b"}, put("", strings.Repeat("\x00", 600))})
	whole := append([]byte(segmentMagic), batch...)
	f.Add(whole)
	f.Add(append(whole[:len(whole):len(whole)], batch...))
	f.Add(whole[:len(whole)-1])
	f.Add(append(whole[:len(whole):len(whole)], make([]byte, 700)...))
	f.Add([]byte(segmentMagic))
	f.Add(append([]byte(segmentMagic), appendEnd(nil, 3)...))
	filled := fillBatch(appendRecords(beginBatch(nil), []Record{put("k", strings.Repeat("v", 480))}), magicSize)
	sealFrame(filled)
	f.Add(append([]byte(segmentMagic), filled...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < magicSize {
			return
		}
		got := map[string]string{}
		apply := func(key string, value []byte, gone bool) {
			if got[key] = string(value); gone {
				delete(got, key)
			}
		}
		good, err := readFrames(data, apply)
		if good < magicSize || good > len(data) || err == nil && good != len(data) {
			t.Fatalf("%d of %d bytes are good, error %v", good, len(data), err)
		}
		if err != nil && !errors.Is(err, errTorn) && !errors.Is(err, errDamaged) {
			t.Fatalf("an error of no kind: %v", err)
		}
		first := got
		got = map[string]string{}
		more := append(data[:good:good], batch...)
		if all, err := readFrames(more, apply); err != nil || all != len(more) {
			t.Fatalf("after what is good %d of %d bytes are read: %v", all, len(more), err)
		}
		first["a"], first[""] = "1", strings.Repeat("\x00", 600)
		delete(first, "b")
		// A damaged batch may have given some of its records before it was found out.
		if err == nil || errors.Is(err, errTorn) {
			if !maps.Equal(first, got) {
				t.Fatalf("read first %q, then with more after it %q", first, got)
			}
		}
	})
}
