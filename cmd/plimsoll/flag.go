package main

import (
	"bytes"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plimsoll/app"
)

// The formats of -o.
const (
	formatTable = "table"
	formatJSON  = "json"
)

// outputFlag adds -o.
func outputFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "output", "o", formatTable, "format of the output: table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formatTable, formatJSON}, cobra.ShellCompDirectiveNoFileComp))
}

func checkOutput(format string) error { return oneOf("output", format, formatTable, formatJSON) }

// stateFlag adds --state.
func stateFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "state", app.DefaultState, "folder of the state")
	_ = cmd.MarkFlagDirname("state")
}

// fileFlag adds -f.
func fileFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "file", "f", "", "compose file (without it: compose.yaml and compose's other names, in this folder)")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
}

func logFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "log-level", "warn", "what is logged to stderr: debug, info, warn or error")
	_ = cmd.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
}

// runtimeFlag adds --runtime.
func runtimeFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "runtime", "", "what runs the tasks: process, docker or fake (without it: docker where a Docker Engine answers and every service has an image, else process)")
	_ = cmd.RegisterFlagCompletionFunc("runtime", cobra.FixedCompletions([]string{"process", "docker", "fake"}, cobra.ShellCompDirectiveNoFileComp))
}

// allowFlags adds those that say what tasks may have of the machine.
func allowFlags(cmd *cobra.Command, to *app.AllowOptions) {
	flags := cmd.Flags()
	flags.StringSliceVar(&to.Rights, "allow", nil, "let tasks in Docker have one of: "+strings.Join(app.AllowedRights, ", "))
	flags.StringSliceVar(&to.HostPaths, "allow-host-path", nil, "let tasks in Docker mount this path of the machine, and what is below it; a socket has to be named itself")
	flags.StringSliceVar(&to.Capabilities, "allow-capability", nil, "let tasks in Docker add this Linux capability, such as SYS_PTRACE")
	_ = cmd.RegisterFlagCompletionFunc("allow", cobra.FixedCompletions(app.AllowedRights, cobra.ShellCompDirectiveNoFileComp))
}

// imageFlags adds those about the images of tasks in Docker.
func imageFlags(cmd *cobra.Command, to *app.ImageOptions) {
	flags := cmd.Flags()
	flags.StringVar(&to.Pull, "image-pull", app.PullBehaviors[0], "when tasks in Docker pull their images, as ECS has it: "+strings.Join(app.PullBehaviors, ", "))
	flags.StringSliceVar(&to.Mirrors, "image-mirror", nil, "registry to ask before docker.io, such as mirror.example:5000, or before another: ghcr.io=mirror.example:5000/ghcr")
	flags.StringSliceVar(&to.Prefetch, "prefetch", nil, "image to pull ahead of need and to keep (a compose file's are anyway)")
	flags.DurationVar(&to.MinAge, "image-min-age", time.Hour, "how long a pulled image is unused before it is removed")
	flags.IntVar(&to.Keep, "image-keep", 0, "keep this many unused images of those that were pulled")
	flags.StringVar(&to.KeepSize, "image-keep-size", "", "keep unused images while all that were pulled are smaller than this, such as 10GB")
	_ = cmd.RegisterFlagCompletionFunc("image-pull", cobra.FixedCompletions(app.PullBehaviors, cobra.ShellCompDirectiveNoFileComp))
}

func checkRuntime(name string) error {
	if name == "" {
		return nil
	}
	return oneOf("runtime", name, "process", "docker", "fake")
}

// tokenFlags are --token and --token-file.
type tokenFlags struct{ token, file string }

func (f *tokenFlags) add(cmd *cobra.Command, use string) {
	cmd.Flags().StringVar(&f.token, "token", "", use)
	cmd.Flags().StringVar(&f.file, "token-file", "", "file that the token is read from, so that it is not in the list of processes")
	_ = cmd.MarkFlagFilename("token-file")
}

// read gives the token; empty without one.
func (f *tokenFlags) read() (string, error) {
	if f.file == "" {
		return f.token, nil
	}
	if f.token != "" {
		return "", misusef("--token and --token-file are both set; keep one")
	}
	text, err := os.ReadFile(f.file)
	if err != nil {
		return "", misusef("--token-file: %w", err)
	}
	token := string(bytes.TrimSpace(text))
	if token == "" || bytes.ContainsAny(bytes.TrimSpace(text), " \t\r\n") {
		return "", misusef("--token-file %q: one word is needed", f.file)
	}
	return token, nil
}

// tlsFlags are --tls-cert and --tls-key.
type tlsFlags struct{ cert, key string }

func (f *tlsFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "certificate (PEM) to serve the AWS endpoint with TLS")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "its private key (PEM)")
	_ = cmd.MarkFlagFilename("tls-cert")
	_ = cmd.MarkFlagFilename("tls-key")
}

func (f *tlsFlags) check() error {
	if (f.cert == "") != (f.key == "") {
		return misusef("--tls-cert and --tls-key belong together; set both or none")
	}
	for flag, file := range map[string]string{"tls-cert": f.cert, "tls-key": f.key} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return misusef("--%s: %w", flag, err)
		}
	}
	return nil
}

// discoveryFlags adds --dns and its kin.
func discoveryFlags(cmd *cobra.Command, to *app.DiscoveryOptions) {
	cmd.Flags().StringVar(&to.DNS, "dns", "", "address of a DNS server for the tasks (A, AAAA, SRV below CLUSTER.plimsoll.internal), such as 127.0.0.1:5300; without it there is none")
	cmd.Flags().BoolVar(&to.Forward, "dns-forward", false, "with --dns: ask this machine's resolvers for all other names")
	cmd.Flags().StringVar(&to.Consul, "consul", "", "URL of a Consul agent to register the tasks in, such as http://127.0.0.1:8500")
}

func checkDiscovery(o app.DiscoveryOptions) error {
	if o.DNS != "" {
		if err := checkAddress("dns", o.DNS); err != nil {
			return err
		}
	}
	if o.Forward && o.DNS == "" {
		return misusef("--dns-forward is for --dns; add --dns 127.0.0.1:5300")
	}
	return nil
}

// checkAddress checks a listening address.
func checkAddress(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		if n, bad := strconv.Atoi(port); bad == nil && n >= 0 && n <= 65535 {
			return nil
		}
	}
	return misusef("--%s is %q; allowed: host:port, such as 127.0.0.1:8080 (port 0 takes a free one)", flag, address)
}

// between checks a number of a flag.
func between(flag string, value, least, most int64) error {
	if value < least || value > most {
		return misusef("--%s is %d; allowed: %d to %d", flag, value, least, most)
	}
	return nil
}
