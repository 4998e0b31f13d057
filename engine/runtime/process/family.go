package process

import (
	"iter"
	"os"
	"strconv"

	"plimsoll/engine/runtime/process/shim"
)

// family gives a process and all that it has started, parents before children.
// Of a task's shim that is the whole task: what loses its parent becomes the
// shim's child.
func family(pid int) iter.Seq[int] {
	return func(yield func(int) bool) {
		walk(pid, map[int]bool{}, yield)
	}
}

func walk(pid int, seen map[int]bool, yield func(int) bool) (more bool) {
	if seen[pid] {
		return true // the number was given to another in the meantime
	}
	seen[pid] = true
	if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err != nil {
		return true // it has just ended
	}
	if !yield(pid) {
		return false
	}
	for _, child := range shim.Children(pid) {
		if !walk(child, seen, yield) {
			return false
		}
	}
	return true
}
