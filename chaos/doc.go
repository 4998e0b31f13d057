// Package chaos kills the built program again and again while clients use it, and
// breaks its disk, and compares what it says afterwards with what an oracle
// outside of it knows: every write that was answered, and every process that a
// task was started as. It has tests only, and must not reach into any other
// package. `make chaos` is the long form.
package chaos
