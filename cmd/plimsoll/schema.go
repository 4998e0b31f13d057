package main

import (
	"io"

	"github.com/spf13/cobra"

	"plimsoll/compose"
)

// schema is `plimsoll schema`.
func (c *console) schema() *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the file, for editors",
		GroupID: groupFile,
		Long: `Print the JSON Schema of compose files with x-plimsoll. To have an editor
complete and check a file:

  plimsoll schema > compose.schema.json

and this line at the top of the file:

  # yaml-language-server: $schema=compose.schema.json`,
		Args: arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			if markdown {
				_, err := io.WriteString(c.out, compose.Reference())
				return err
			}
			text, err := compose.Schema()
			if err != nil {
				return err
			}
			_, err = c.out.Write(text)
			return err
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the reference of all keys in Markdown instead")
	return cmd
}
