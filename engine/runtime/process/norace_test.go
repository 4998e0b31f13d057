//go:build !race

package process_test

// shimOfTests is the default: this executable.
func shimOfTests() []string { return nil }
