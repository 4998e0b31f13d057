package main

import "plimsoll/engine/runtime/process"

// shimCommand is the first argument of the small parent process that the
// process runtime starts for each task, where this binary carries no smaller one:
// there is nothing else to install.
const shimCommand = "shim"

// shim runs that parent process and gives its exit status.
func shim(args []string) int { return process.ShimMain(args) }
