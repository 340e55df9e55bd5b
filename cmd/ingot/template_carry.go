package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/imagestore"
	"ingot/internal/input"
)

func newTemplateCreateCommand() *cobra.Command {
	var f templateFlags
	var like string
	cmd := &cobra.Command{
		Use:     "create NAME --like IMAGE",
		Short:   "Make a new image as a copy of another",
		Example: "  ingot template create web --like linux",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			return s.Create(cmd.Context(), args[0], like)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&like, "like", "", "the `image` to copy")
	_ = cmd.MarkFlagRequired("like") // fails for no such flag only, as the next
	_ = cmd.RegisterFlagCompletionFunc("like", func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return f.complete(cmd, nil, word)
	})
	return cmd
}

func newTemplateExportCommand() *cobra.Command {
	var f templateFlags
	var to string
	var deb bool
	var said imagestore.Package
	cmd := &cobra.Command{
		Use:   "export IMAGE",
		Short: "Write an image as a tar or a Debian package",
		Long: `export writes an image as a tar that unpacks inside an image store: by
"ingot template import", or by tar -C STORE -xf IMAGE.tar.

With --deb it is a Debian package, which puts the image into the image store of the
machines that install it: root's, or the one that --into names. Its version is the
time of the newest file where --deb-version says none. The same files with the same
times give the same bytes.`,
		Example: `  ingot template export web --to web.tar
  ingot template export web --deb && dpkg --info ingot-image-web_*_all.deb`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, flag := range []string{"into", "deb-version", "maintainer"} {
				if cmd.Flags().Changed(flag) && !deb {
					return misuse(cmd, fmt.Errorf("--%s is for packages: --deb makes one", flag))
				}
			}
			s, err := f.open()
			if err != nil {
				return err
			}
			im, err := s.Image(args[0])
			if err != nil {
				return err
			}
			file, write := im.Name+".tar", im.Export
			if deb {
				p, err := im.Package(cmd.Context(), said)
				if err != nil {
					return err
				}
				file, write = p.FileName(), p.Write
			}
			if to == "-" {
				return write(cmd.Context(), cmd.OutOrStdout())
			}
			file = or(to, file)
			out, err := draft.CreateOutput(file)
			if err != nil {
				return err
			}
			defer out.Discard()
			if err := write(cmd.Context(), out); err != nil {
				return err
			}
			if err := out.Publish(); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), file)
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&to, "to", "", "the `file`; - is standard output (default IMAGE.tar, or PACKAGE_VERSION_all.deb)")
	cmd.Flags().BoolVar(&deb, "deb", false, "write a Debian package")
	cmd.Flags().StringVar(&said.Store, "into", imagestore.PackagedStore, "the image store's `directory` where the package is installed")
	cmd.Flags().StringVar(&said.Version, "deb-version", "", "the package's `version` (default when its newest file was changed)")
	cmd.Flags().StringVar(&said.Maintainer, "maintainer", "root <root@localhost>", "whose package it is: `NAME <ADDRESS>`")
	return cmd
}

func newTemplateImportCommand() *cobra.Command {
	var f templateFlags
	var name string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Bring an image in from a tar",
		Long: `import unpacks an image from a tar, compressed by gzip or not, into the image store,
under a name that is not taken. Nothing of the archive lands anywhere else, and an
image that cannot be read is not kept. - reads standard input.`,
		Example: `  ingot template import web.tar
  curl -s http://images.example.org/web.tar.gz | ingot template import - --name web2`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			in := interruptible(cmd.Context(), cmd.InOrStdin())
			if args[0] != "-" {
				file, err := input.Open(args[0])
				if errors.Is(err, os.ErrNotExist) {
					return fault.Newf(fault.NotFound, "there is no %s", args[0])
				}
				if err != nil {
					return err
				}
				defer file.Close()
				in = io.Reader(file)
			}
			got, err := s.Import(cmd.Context(), in, name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), got)
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&name, "name", "", "what to call the image (default as the tar does)")
	return cmd
}

// templateCheckJSON is the object that "template check --json" prints.
type templateCheckJSON struct {
	Schema   int      `json:"schema"` // 1
	Images   []string `json:"images"`
	Problems []string `json:"problems"`
	Warnings []string `json:"warnings"`
}

func newTemplateCheckCommand() *cobra.Command {
	var f templateFlags
	cmd := &cobra.Command{
		Use:   "check [IMAGE...]",
		Short: "Say what is wrong with images, all of it at once",
		Long: `check reads images, all of the store where none is named, and fills each in for a
machine called check. It exits 3 if one cannot be read.`,
		Example:           "  ingot template check --store ./images",
		ValidArgsFunction: f.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if args, err = s.Names(); err != nil {
					return err
				}
			}
			out := templateCheckJSON{Schema: 1, Images: args, Problems: []string{}, Warnings: []string{}}
			for _, name := range args {
				notes, err := s.Check(name)
				if err != nil {
					if hint := fault.HintOf(err); hint != "" {
						err = fmt.Errorf("%w (%s)", err, hint)
					}
					out.Problems = append(out.Problems, err.Error())
				}
				out.Warnings = append(out.Warnings, notes...)
			}
			if f.json {
				err = printJSON(cmd, out)
			} else {
				for _, line := range append(out.Problems, out.Warnings...) {
					fmt.Fprintln(cmd.OutOrStdout(), line)
				}
			}
			if n := len(out.Problems); n > 0 && err == nil {
				return fault.Newf(fault.Definition, "images with problems: %d", n)
			}
			return err
		},
	}
	f.addJSON(cmd)
	return cmd
}
