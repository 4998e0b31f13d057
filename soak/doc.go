// Package soak tests that no job is lost and none interrupted, with a whole
// engine under random scale-ins, drained hosts and kills. Its short forms run with
// all tests; the long ones, on the built program with real processes, with
// `make soak`.
package soak
