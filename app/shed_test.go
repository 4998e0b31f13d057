package app

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestOnlyWhatIsAsTheFileIsIsShed(t *testing.T) {
	const smaps = `00400000-01914000 r-xp 00000000 fe:00 123 /opt/my bin/plimsoll
Size:              21584 kB
Rss:               16240 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
01914000-02f08000 r--p 01514000 fe:00 123 /opt/my bin/plimsoll
Anonymous:             0 kB
02f08000-02fc7000 rw-p 02b08000 fe:00 123 /opt/my bin/plimsoll
Anonymous:             0 kB
02fc7000-02fd0000 r--p 02bc7000 fe:00 123 /opt/my bin/plimsoll
Anonymous:             4 kB
2faeb7800000-2faeb8800000 rw-p 00000000 00:00 0
Anonymous:         12004 kB
7feed2bfe000-7feed3000000 r-xp 00000000 fe:00 124 /opt/my bin/plimsoll.so
Anonymous:             0 kB
7fef19af3000-7fef19af5000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
`
	got, err := asFiled(strings.NewReader(smaps), "/opt/my bin/plimsoll")
	want := []span{{0x400000, 0x1914000}, {0x1914000, 0x2f08000}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%x, %v; want %x: neither what can be written, nor what was relocated, nor another file's", got, err, want)
	}
}

func TestSheddingLeavesTheProgramRunningInLessMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can be asked to drop a program's pages")
	}
	before := filePages(t)
	_ = shedProgram() // where pages may not be mapped one by one, less is still less
	if after := filePages(t); after >= before {
		t.Errorf("%d pages of files in memory before, %d after", before, after)
	}
}

// filePages are how many pages of files this process has in memory.
func filePages(t *testing.T) int {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[2])
	if err != nil {
		t.Fatal(err)
	}
	return pages
}
