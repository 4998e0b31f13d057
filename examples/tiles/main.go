// Command tiles is Plimsoll's example: an elastic server of deep-zoom images
// (IIIF Image API 3.0), a worker that turns queued pictures into tile pyramids,
// and a filler that makes thumbnails of whatever capacity is left. The pictures
// are charts of islands, computed pixel by pixel from their names, so that all
// three have real work and need no data. It knows nothing of Plimsoll: it reads
// the environment that ECS gives to any task.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: tiles serve  [-listen HOST:PORT]
       tiles ingest [-queue NAME] [-out DIR] [-grace DURATION]
       tiles thumbs [-nice N]
`

// errUsage is a misuse of the command line, already explained.
var errUsage = errors.New("misuse")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	switch err := run(ctx, os.Args[1:], os.Getenv, os.Stderr, log); {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		log.Error(err.Error())
		os.Exit(1)
	}
}

// run carries out one subcommand until it ends or ctx does.
func run(ctx context.Context, args []string, env func(string) string, usageTo io.Writer, log *slog.Logger) error {
	if len(args) == 0 {
		fmt.Fprint(usageTo, usage)
		return errUsage
	}
	flags := flag.NewFlagSet("tiles "+args[0], flag.ContinueOnError)
	flags.SetOutput(usageTo)
	var begin func() error
	switch args[0] {
	case "serve":
		listen := flags.String("listen", address(env), "where to listen; by default $HOST:$PORT")
		begin = func() error { return serve(ctx, *listen, log) }
	case "ingest":
		o := ingestOptions{env: env, log: log}
		o.flags(flags)
		begin = func() error { return ingest(ctx, o) }
	case "thumbs":
		nice := flags.Int("nice", 19, "how far to step back for others, 0 to 19")
		begin = func() error { return thumbs(ctx, *nice, log) }
	default:
		fmt.Fprintf(usageTo, "tiles: unknown subcommand %q; it is one of serve, ingest, thumbs\n%s", args[0], usage)
		return errUsage
	}
	if err := flags.Parse(args[1:]); err != nil {
		return errUsage // flag has said why
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(usageTo, "tiles %s: unexpected argument %q\n%s", args[0], flags.Arg(0), usage)
		return errUsage
	}
	return begin()
}
