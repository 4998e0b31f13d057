package app

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// changed is in the program's file with another value than it has in the test.
var changed = "as it is on disk"

func TestSheddingLeavesWhatTheProgramHasChanged(t *testing.T) {
	changed = t.Name()
	if err := shedProgram(); err != nil && !notAllowed(err) {
		t.Fatal(err)
	}
	if changed != t.Name() {
		t.Errorf("a variable is %q after the shedding; want the %q that it was set to", changed, t.Name())
	}
}

func TestOnlyThePagesThatAreUsedComeBackAfterTheShedding(t *testing.T) {
	if err := shedProgram(); notAllowed(err) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	block := unused(t)
	if _, err := memory.ReadAt(make([]byte, 1), int64(block)+5*pageSize); err != nil {
		t.Fatal(err)
	}
	if n := present(t, block); n != 1 {
		t.Errorf("%d pages around one that was read are in memory; want that one alone", n)
	}
}

// notAllowed tells that the kernel is too old to map page by page, or that the tests
// run where it may not be asked.
func notAllowed(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL)
}

const (
	pageSize  = 4096
	blockSize = 16 * pageSize // that the kernel maps else
)

// unused is a block of this program's file of which nothing is in memory.
func unused(t *testing.T) uintptr {
	t.Helper()
	if os.Getpagesize() != pageSize {
		t.Skipf("pages of %d bytes", os.Getpagesize())
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer smaps.Close()
	spans, err := asFiled(smaps, program)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans {
		for at := (s.from + blockSize - 1) / blockSize * blockSize; at+blockSize <= s.to; at += blockSize {
			if present(t, at) == 0 {
				return at
			}
		}
	}
	t.Fatal("every block of the program has been used since the shedding")
	return 0
}

// present counts the pages of a block that are in memory.
func present(t *testing.T, block uintptr) (n int) {
	t.Helper()
	file, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	entries := make([]byte, blockSize/pageSize*8)
	if _, err := file.ReadAt(entries, int64(block)/pageSize*8); err != nil {
		t.Fatal(err)
	}
	for ; len(entries) > 0; entries = entries[8:] {
		if binary.LittleEndian.Uint64(entries)>>63 == 1 {
			n++
		}
	}
	return n
}
