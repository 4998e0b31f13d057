//go:build race

package sim_test

// raced: a world has no goroutines, so that the race detector has nothing to
// find in it and only costs time.
const raced = true
