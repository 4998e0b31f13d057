package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"plimsoll/app"
)

// envCommand is `plimsoll env`.
func (c *console) envCommand() *cobra.Command {
	var state, shell string
	cmd := &cobra.Command{
		Use:     "env",
		Short:   "Print how AWS clients reach the running engine, as lines for a shell",
		GroupID: groupRun,
		Long: `Print the endpoint, the region and the credentials of the running engine:

  eval "$(plimsoll env)"                      sh, bash, zsh
  plimsoll env --shell fish | source          fish

The AWS CLI 1 does not honour AWS_ENDPOINT_URL for sqs: give it --endpoint-url.`,
		Args: arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			if err := oneOf("shell", shell, "sh", "fish"); err != nil {
				return err
			}
			run, err := running(state)
			if err != nil {
				return err
			}
			if run.AWS == "" {
				return fmt.Errorf("what runs with the state %q has no AWS endpoint; start plimsoll up or plimsoll engine", state)
			}
			variables, err := awsVariables(state, run)
			if err != nil {
				return err
			}
			for _, v := range variables {
				if shell == "fish" {
					_, _ = fmt.Fprintf(c.out, "set -gx %s %s\n", v[0], quoteFish(v[1]))
				} else {
					_, _ = fmt.Fprintf(c.out, "export %s=%s\n", v[0], quoteShell(v[1]))
				}
			}
			return nil
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().StringVar(&shell, "shell", "sh", "the shell that the lines are for: sh or fish")
	return cmd
}

// awsVariables are the names and values, in a fixed order.
func awsVariables(state string, run app.RunFile) ([][2]string, error) {
	path := filepath.Join(state, "credentials")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the engine's credentials: %w", err)
	}
	keys := profile(text, "default")
	id, secret := keys["aws_access_key_id"], keys["aws_secret_access_key"]
	if id == "" || secret == "" {
		return nil, fmt.Errorf("%s has no aws_access_key_id and aws_secret_access_key in [default]; stop the engine, remove the file, and start it again", path)
	}
	region := run.Region
	if region == "" {
		region = app.DefaultRegion
	}
	return [][2]string{
		{"AWS_ENDPOINT_URL", run.AWS},
		{"AWS_REGION", region},
		{"AWS_DEFAULT_REGION", region},
		{"AWS_ACCESS_KEY_ID", id},
		{"AWS_SECRET_ACCESS_KEY", secret},
	}, nil
}

// profile reads one profile of a file in the AWS shared-credentials format.
func profile(text []byte, name string) map[string]string {
	keys := map[string]string{}
	inside := false
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			inside = strings.Trim(line, "[] ") == name
		} else if key, value, ok := strings.Cut(line, "="); ok && inside && !strings.HasPrefix(line, "#") {
			keys[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return keys
}

// quoteShell makes one word of a text for a POSIX shell.
func quoteShell(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// quoteFish makes one word of a text for fish.
func quoteFish(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}
