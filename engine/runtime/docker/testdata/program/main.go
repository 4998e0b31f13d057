// Program is what the containers of the tests run: it prints "ready", ends with 7
// on SIGUSR1, and with 0 on SIGTERM unless it is told to ignore that; or at once
// with the code that it is told. With show it tells how things are where it runs.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 2 && strings.HasPrefix(os.Args[1], "write") {
		if err := os.WriteFile(os.Args[2], []byte(os.Args[3]), 0o644); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if os.Args[1] == "write-and-end" {
			return
		}
	}
	if len(os.Args) > 1 && os.Args[1] == "show" {
		show(os.Args[2:])
		return
	}
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	fmt.Println("ready")
	if len(os.Args) > 2 && os.Args[1] == "exit" {
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	}
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

// show prints the rights and limits of the process, its mounts and names, and
// the files that it is asked for.
func show(paths []string) {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		for _, key := range []string{"NoNewPrivs", "CapEff", "CapBnd", "Seccomp:"} {
			if strings.HasPrefix(line, key) {
				fmt.Println(strings.Join(strings.Fields(line), " "))
			}
		}
	}
	var nofile syscall.Rlimit
	// Go raises the soft limit of its own process; what was given is remembered
	// in /proc for process 1 only, so the kernel is asked before that.
	if limits, err := os.ReadFile("/proc/1/limits"); err == nil {
		for line := range strings.Lines(string(limits)) {
			if fields := strings.Fields(line); strings.HasPrefix(line, "Max open files") {
				fmt.Println("nofile", fields[3], fields[4])
			}
		}
	} else if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &nofile) == nil {
		fmt.Println("nofile", nofile.Cur, nofile.Max)
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		options := fields[3]
		if at := strings.Index(options, "size="); fields[1] == "/dev/shm" && at >= 0 {
			options = options[at:]
		}
		fmt.Println(fields[1], fields[2], options)
		if fields[1] == "/dev/shm" {
			fmt.Println("/dev/shm", options)
		}
	}
	for _, dir := range []string{"/", "/ro"} {
		if err := os.WriteFile(dir+"/try", nil, 0o644); err != nil && strings.Contains(err.Error(), "read-only") {
			fmt.Printf("cannot write %s: read-only\n", dir)
		}
	}
	name, _ := os.Hostname()
	fmt.Println("hostname", name)
	for _, path := range append([]string{"/etc/hosts", "/etc/resolv.conf"}, paths...) {
		text, _ := os.ReadFile(path)
		fmt.Printf("%s: %s\n", path, text)
	}
	start, _ := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	fmt.Println("port start", string(start))
	if os.Getpid() != 1 {
		fmt.Println("process 1 is not the program")
	}
}
