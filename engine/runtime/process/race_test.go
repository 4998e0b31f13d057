//go:build race

package process_test

import "os"

// shimOfTests runs the shim without the second for which a program that was
// built with the race detector waits before it ends.
func shimOfTests() []string {
	exe, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{"/usr/bin/env", "GORACE=atexit_sleep_ms=0", exe, "shim"}
}
