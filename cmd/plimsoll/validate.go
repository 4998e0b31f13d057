package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"plimsoll/app"
	"plimsoll/compose"
)

// validate is `plimsoll validate`.
func (c *console) validate() *cobra.Command {
	return &cobra.Command{
		Use:               "validate [FILE…]",
		Short:             "Check compose files: every mistake at once, with its line",
		Long:              "Check compose files. What has no effect is told on stderr, and is no error.",
		GroupID:           groupFile,
		Args:              arguments(0, -1, "FILE, once or more often"),
		ValidArgsFunction: cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				file, err := compose.Find(".")
				if err != nil {
					return app.Misuse{Err: err}
				}
				args = []string{file}
			}
			wrong := &compose.FileError{}
			for _, file := range args {
				p, err := compose.Load(file, c.environ)
				var bad *compose.FileError
				if errors.As(err, &bad) {
					wrong.Problems = append(wrong.Problems, bad.Problems...)
					continue
				}
				if err != nil {
					return err
				}
				for _, w := range p.Warnings {
					_, _ = fmt.Fprintf(c.err, "%v (warning)\n", w)
				}
				_, _ = fmt.Fprintf(c.out, "%s: ok: project %s, %s, %s in %s\n", file, p.Name,
					plural(len(p.Services), "service"), plural(p.Hosts.Count, "host"), plural(p.Hosts.Zones, "zone"))
			}
			if len(wrong.Problems) > 0 {
				return wrong
			}
			return nil
		},
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
