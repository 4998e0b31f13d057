// Program is what the containers of the contract run: it prints "ready", ends
// with 7 on SIGUSR1, and with 0 on SIGTERM unless it is told to ignore that.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	fmt.Println("ready")
	for s := range signals {
		switch {
		case s == syscall.SIGUSR1:
			os.Exit(7)
		case len(os.Args) > 1 && os.Args[1] == "ignore":
			fmt.Println("ignored")
		default:
			os.Exit(0)
		}
	}
}
