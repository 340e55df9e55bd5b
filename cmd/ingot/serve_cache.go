package main

import (
	"github.com/spf13/cobra"

	"ingot/internal/blockdevice"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/server"
	"ingot/internal/ui"
)

// cache is what the tree is to be a cache of, or nil. It has no directory yet.
func (f *serveFlags) cache(cmd *cobra.Command, progress *ui.Progress) (*server.Cache, error) {
	if len(f.upstream.from) == 0 {
		for _, name := range []string{"cache-size", "key", "trust-on-first-use", "token-file"} {
			if cmd.Flags().Changed(name) {
				return nil, fault.Newf(fault.Usage, "--%s is of the server that the tree is a cache of", name).WithHint("name that with --cache-of")
			}
		}
		return nil, nil
	}
	up, err := f.upstream.server(progress, func(fetch.Event) {})
	if err != nil {
		return nil, err
	}
	c := &server.Cache{Upstream: up}
	if f.cacheSize != "" {
		if c.Size, err = blockdevice.ParseBytes(f.cacheSize); err != nil || c.Size <= 0 {
			return nil, fault.Newf(fault.Usage, "--cache-size %q is no number of bytes", f.cacheSize).WithHint("write 50GiB or 200MiB")
		}
	}
	c.Note = func(text string) { progress.Warnf("%s: %s", up.Name(), text) }
	return c, nil
}
