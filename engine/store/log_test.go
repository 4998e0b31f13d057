package store

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// quick is a file whose syncs cost nothing, for tests that crash no machine.
type quick struct{ file }

func (quick) Sync() error { return nil }

type quickDisk struct{ osDisk }

func (d quickDisk) create(path string) (file, error) {
	f, err := d.osDisk.create(path)
	return quick{f}, err
}

func (quickDisk) syncDir(string) error { return nil }

func quickly(o Options) Options {
	o.disk = quickDisk{}
	return o
}

// failer is what both *testing.T and *rapid.T offer.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func open(t failer, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func contents(t failer, l *Log) map[string]string {
	t.Helper()
	got := map[string]string{}
	if err := l.Load(func(key string, value []byte) error {
		got[key] = string(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func put(key, value string) Record { return Record{Key: key, Value: []byte(value)} }

func appendAll(t failer, l *Log, records ...Record) {
	t.Helper()
	if err := l.Append(records); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasAppendedIsThereAfterReopening(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	appendAll(t, l, put("a", "1"), put("b", "2"), put("empty", ""))
	appendAll(t, l, put("a", "3"), Record{Key: "b"})
	want := map[string]string{"a": "3", "empty": ""}
	if diff := cmp.Diff(want, contents(t, l)); diff != "" {
		t.Error("before closing", diff)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	defer l.Close()
	if diff := cmp.Diff(want, contents(t, l)); diff != "" {
		t.Error("after reopening", diff)
	}
}

func TestARecordMayBeChangedByTheCallerAfterItsAppend(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	defer l.Close()
	value := []byte("good")
	appendAll(t, l, Record{Key: "a", Value: value})
	copy(value, "evil")
	if got := contents(t, l)["a"]; got != "good" {
		t.Errorf("got %q", got)
	}
}

func TestAppendAfterCloseIsRefused(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]Record{put("a", "1")}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestASecondHolderIsToldThePidOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{strconv.Itoa(os.Getpid()), dir, "--state"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
	l.Close()
	open(t, dir, Options{}).Close()
}

// history writes a log of single appends and gives, per append, the length of
// the file after it and the contents then.
func history(t *testing.T, dir string) (path string, lengths []int64, states []map[string]string) {
	l := open(t, dir, Options{})
	path = filepath.Join(dir, segmentName(1))
	record := func() {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, info.Size())
		states = append(states, contents(t, l))
	}
	record()
	for i := range 6 {
		batch := []Record{put(fmt.Sprintf("task/%d", i), fmt.Sprintf(`{"n":%d}`, i)), put("last", fmt.Sprint(i))}
		if i == 4 {
			batch = append(batch, Record{Key: "task/1"}, put("long", strings.Repeat("x", 300)))
		}
		appendAll(t, l, batch...)
		record()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path, lengths, states
}

func TestEveryTruncationOfTheLogLoadsAPrefixOfWholeAppends(t *testing.T) {
	path, lengths, states := history(t, t.TempDir())
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for size := range len(data) + 1 {
		whole := 0
		for i, n := range lengths {
			if n <= int64(size) {
				whole = i
			}
		}
		for _, tail := range []int{0, 40} { // a hole, as a file system may leave
			torn := append(data[:size:size], make([]byte, tail)...)
			if err := os.WriteFile(filepath.Join(dir, segmentName(1)), torn, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Open(dir, quickly(Options{}))
			if err != nil {
				// A hole that begins inside a short payload cannot be told from
				// damage; that is refused, not lost.
				if tail > 0 {
					continue
				}
				t.Fatalf("cut to %d: %v", size, err)
			}
			if diff := cmp.Diff(states[whole], contents(t, l)); diff != "" {
				t.Fatalf("cut to %d and %d zeros: %s", size, tail, diff)
			}
			appendAll(t, l, put("after", "crash"))
			l.Close()
			l = open(t, dir, quickly(Options{}))
			if got := contents(t, l)["after"]; got != "crash" {
				t.Fatalf("cut to %d: an append after the crash gave %q", size, got)
			}
			l.Close()
		}
	}
}

func TestEveryFlippedByteIsFoundAndNothingIsChanged(t *testing.T) {
	path, _, _ := history(t, t.TempDir())
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, segmentName(1))
	for i := range data {
		for _, mask := range []byte{0x01, 0x80, 0xff, data[i]} {
			if mask == 0 {
				continue
			}
			bad := append([]byte(nil), data...)
			bad[i] ^= mask
			if err := os.WriteFile(file, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, Options{})
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("byte %d ^ %#x: got %v", i, mask, err)
			}
			if corrupt.File != file || corrupt.Offset > int64(i) || !strings.Contains(err.Error(), "restore") {
				t.Fatalf("byte %d: %v", i, err)
			}
			if after, _ := os.ReadFile(file); string(after) != string(bad) {
				t.Fatalf("byte %d: the file was changed", i)
			}
		}
	}
}

func TestTheRemedyOfADamagedLogWorks(t *testing.T) {
	path, lengths, states := history(t, t.TempDir())
	data, _ := os.ReadFile(path)
	data[lengths[2]+3] ^= 0xff
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Dir(path), Options{})
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		t.Fatal(err)
	}
	if err := os.Truncate(path, corrupt.Offset); err != nil {
		t.Fatal(err)
	}
	l := open(t, filepath.Dir(path), Options{})
	defer l.Close()
	if diff := cmp.Diff(states[2], contents(t, l)); diff != "" {
		t.Error(diff)
	}
}

func TestAnyHistoryOfAppendsCompactionsAndReopeningsEqualsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "store")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := quickly(Options{CompactBytes: 256})
		l := open(t, dir, o)
		defer func() { l.Close() }()
		oracle := map[string]string{}
		key := rapid.SampledFrom([]string{"a", "b", "c", "d", ""})
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				var batch []Record
				for range rapid.IntRange(1, 5).Draw(t, "records") {
					k := key.Draw(t, "key")
					if rapid.Bool().Draw(t, "delete") {
						batch = append(batch, Record{Key: k})
						delete(oracle, k)
						continue
					}
					v := rapid.StringN(0, 40, -1).Draw(t, "value")
					batch = append(batch, put(k, v))
					oracle[k] = v
				}
				appendAll(t, l, batch...)
			},
			"reopen": func(t *rapid.T) {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = open(t, dir, o)
			},
			"": func(t *rapid.T) {
				if diff := cmp.Diff(oracle, contents(t, l)); diff != "" {
					t.Fatal(diff)
				}
			},
		})
	})
}

func TestConcurrentAppendsAreAllKeptInAnOrderThatEachCallerSaw(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{CompactBytes: 4 << 10})
	const writers, each = 16, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := l.Append([]Record{
					put(fmt.Sprintf("w%d", w), fmt.Sprint(i)),
					put(fmt.Sprintf("w%d/%d", w, i%3), fmt.Sprint(i)),
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	before := contents(t, l)
	for w := range writers {
		if got := before[fmt.Sprintf("w%d", w)]; got != fmt.Sprint(each-1) {
			t.Errorf("writer %d: last is %q", w, got)
		}
	}
	l.Close()
	l = open(t, dir, Options{})
	defer l.Close()
	if diff := cmp.Diff(before, contents(t, l)); diff != "" {
		t.Error(diff)
	}
}

func TestTheFolderStaysNearTheSizeOfTheLiveData(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{CompactBytes: 16 << 10})
	for i := range 400 {
		appendAll(t, l, put(fmt.Sprintf("k%d", i%7), strings.Repeat("v", 500)))
	}
	want := contents(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if written := int64(400 * 500); total > written/2 {
		t.Errorf("%d bytes are kept of %d written, %v", total, written, entries)
	}
	l = open(t, dir, Options{})
	defer l.Close()
	if diff := cmp.Diff(want, contents(t, l)); diff != "" {
		t.Error(diff)
	}
}

func TestACrashAtAnyStepOfACompactionLosesNothing(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	appendAll(t, l, put("a", "1"), put("b", "2"))
	l.writes.Lock()
	live, n := maps.Clone(l.live), l.number
	if err := l.createSegment(n + 1); err != nil {
		t.Fatal(err)
	}
	l.writes.Unlock()
	appendAll(t, l, put("c", "3"))
	want := contents(t, l)

	check := func(step string) {
		t.Helper()
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		c := open(t, copied, Options{})
		defer c.Close()
		if diff := cmp.Diff(want, contents(t, c)); diff != "" {
			t.Errorf("%s: %s", step, diff)
		}
	}
	check("new segment")
	if err := os.WriteFile(l.path(snapshotName(n)+tempSuffix), []byte("half a snap"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("half a snapshot")
	first, err := os.ReadFile(l.path(segmentName(n)))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.snapshot(n, live); err != nil {
		t.Fatal(err)
	}
	check("after")
	if err := os.WriteFile(l.path(segmentName(n)), first, 0o600); err != nil {
		t.Fatal(err)
	}
	check("the covered segment is still there")
	l.Close()

	if err := os.Remove(filepath.Join(dir, segmentName(n+1))); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a lost segment was not noticed: %v", err)
	}
}

func TestADamagedSnapshotIsFound(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	appendAll(t, l, put("a", "1"), put("b", "2"))
	live := maps.Clone(l.live)
	if err := l.createSegment(2); err != nil {
		t.Fatal(err)
	}
	if err := l.snapshot(1, live); err != nil {
		t.Fatal(err)
	}
	l.Close()
	path := filepath.Join(dir, snapshotName(1))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	for i := range data {
		bad := append([]byte(nil), data...)
		bad[i] ^= 0x20
		os.WriteFile(path, bad, 0o600)
		if _, err := Open(dir, Options{}); !errors.As(err, &corrupt) {
			t.Fatalf("byte %d: %v", i, err)
		}
		os.WriteFile(path, data[:i], 0o600)
		if _, err := Open(dir, Options{}); !errors.As(err, &corrupt) {
			t.Fatalf("cut to %d: %v", i, err)
		}
	}
}

// faulty is a file whose faults are set from outside.
type faulty struct {
	file
	f *faults
}

type faults struct {
	short            int // write so many bytes less
	write, sync, cut error
	syncs            int
}

func (f faulty) Write(p []byte) (int, error) {
	if f.f.write == nil {
		return f.file.Write(p)
	}
	n, _ := f.file.Write(p[:len(p)-min(f.f.short, len(p))])
	return n, f.f.write
}

func (f faulty) Sync() error {
	f.f.syncs++
	if f.f.sync != nil {
		return f.f.sync
	}
	return f.file.Sync()
}

func (f faulty) Truncate(size int64) error {
	if f.f.cut != nil {
		return f.f.cut
	}
	return f.file.Truncate(size)
}

func withFaults(f *faults) Options {
	return Options{disk: faultyDisk{f: f}}
}

type faultyDisk struct {
	osDisk
	f *faults
}

func (d faultyDisk) create(path string) (file, error) {
	under, err := d.osDisk.create(path)
	return faulty{under, d.f}, err
}

// fullForSnapshots is a disk on which no snapshot finds room.
type fullForSnapshots struct{ osDisk }

func (d fullForSnapshots) create(path string) (file, error) {
	if strings.HasSuffix(path, tempSuffix) {
		return nil, syscall.ENOSPC
	}
	return d.osDisk.create(path)
}

func TestAFailedSyncBreaksTheLogForGoodAndIsNotRepeated(t *testing.T) {
	f := &faults{}
	l := open(t, t.TempDir(), withFaults(f))
	defer l.Close()
	appendAll(t, l, put("a", "1"))
	f.sync = syscall.EIO
	if err := l.Append([]Record{put("a", "2")}); !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	f.sync = nil
	syncs := f.syncs
	if err := l.Append([]Record{put("a", "3")}); !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("the next append: %v", err)
	}
	if f.syncs != syncs {
		t.Error("the sync was tried again")
	}
	if got := contents(t, l)["a"]; got != "1" {
		t.Errorf("a refused value is shown: %q", got)
	}
}

func TestAFailedOrShortWriteBreaksTheLogAndItsTailIsCutAtTheNextOpen(t *testing.T) {
	f := &faults{}
	dir := t.TempDir()
	l := open(t, dir, withFaults(f))
	appendAll(t, l, put("a", "1"))
	f.write, f.short = io.ErrShortWrite, 5
	if err := l.Append([]Record{put("a", "2")}); !errors.Is(err, ErrBroken) {
		t.Fatalf("got %v", err)
	}
	f.write = nil
	if err := l.Append([]Record{put("a", "3")}); !errors.Is(err, ErrBroken) {
		t.Fatalf("the next append: %v", err)
	}
	l.Close()
	l = open(t, dir, Options{})
	defer l.Close()
	if diff := cmp.Diff(map[string]string{"a": "1"}, contents(t, l)); diff != "" {
		t.Error(diff)
	}
}

func TestAFullDiskRefusesTheAppendAndTheLogGoesOn(t *testing.T) {
	f := &faults{}
	dir := t.TempDir()
	l := open(t, dir, withFaults(f))
	appendAll(t, l, put("a", "1"))
	f.write, f.short = syscall.ENOSPC, 9
	err := l.Append([]Record{put("a", "2")})
	if !errors.Is(err, ErrNoSpace) || errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "free some space") {
		t.Fatalf("got %v", err)
	}
	f.write = nil
	appendAll(t, l, put("b", "3"))
	l.Close()
	l = open(t, dir, Options{})
	defer l.Close()
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "3"}, contents(t, l)); diff != "" {
		t.Error(diff)
	}
}

func TestAFullDiskThatCannotBeCutBackBreaksTheLog(t *testing.T) {
	f := &faults{}
	l := open(t, t.TempDir(), withFaults(f))
	defer l.Close()
	f.write, f.short, f.cut = syscall.ENOSPC, 9, syscall.EIO
	if err := l.Append([]Record{put("a", "1")}); !errors.Is(err, ErrBroken) {
		t.Fatalf("got %v", err)
	}
}

func TestACompactionThatFailsLeavesTheLogWorking(t *testing.T) {
	dir := t.TempDir()
	o := Options{CompactBytes: 1 << 10, disk: fullForSnapshots{}}
	l := open(t, dir, o)
	for i := range 100 {
		appendAll(t, l, put("k", fmt.Sprint(strings.Repeat("v", 100), i)))
	}
	want := contents(t, l)
	l.Close()
	l = open(t, dir, o)
	defer l.Close()
	if diff := cmp.Diff(want, contents(t, l)); diff != "" {
		t.Error(diff)
	}
	if fs, err := list(dir); err != nil || len(fs.snapshots) != 0 || len(fs.segments) < 2 {
		t.Errorf("the fault was not met: %+v %v", fs, err)
	}
}

func BenchmarkAppend(b *testing.B) {
	value := []byte(`{"v":"` + strings.Repeat("x", 500) + `"}`)
	for _, writers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			var wg sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				wg.Go(func() {
					key := fmt.Sprintf("task/%d", w)
					for range b.N/writers + 1 {
						if err := l.Append([]Record{{Key: key, Value: value}}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
