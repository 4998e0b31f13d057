// Command plimsoll-shim is `plimsoll shim`, the parent process of a task, and
// nothing else: it starts in less time and holds less memory than the whole program
// does. The build joins it to the end of plimsoll (join), and the process runtime
// takes it from there.
package main

// Its init is the program, where the first argument is "shim".
import _ "plimsoll/engine/runtime/process/shim"

func main() {}
