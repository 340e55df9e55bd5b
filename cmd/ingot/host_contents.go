package main

import (
	"context"
	"errors"
	"os"

	"ingot/internal/bls"
	"ingot/internal/content"
	"ingot/internal/host"
	"ingot/internal/thinpool"
	"ingot/internal/ui"
)

// hostContents join the pool, which knows volumes, with what is on them.
type hostContents struct {
	payload  *content.Payload          // of a base that is to be filled
	report   content.Report            // of the last carrying over
	progress *ui.Progress              // of the steps
	adjust   func(content.Roots) error // what else is other in a layer; nil is nothing
}

func (c *hostContents) Fill(ctx context.Context, root *os.Root) error {
	if c.payload == nil {
		return errors.New("no image was given")
	}
	task := c.progress.Start(ui.Step{ID: "fill", Name: "unpack " + c.payload.Path, Unit: ui.Bytes, Total: c.payload.Size})
	err := c.payload.Fill(ctx, root, task.Add)
	task.Done(err)
	return err
}

func (c *hostContents) CarryOver(ctx context.Context, device string, layer, old, from *os.Root, name string) (err error) {
	roots := content.Roots{New: layer, Device: device, Old: old, Host: from, From: name}
	if c.report, err = content.CarryOver(ctx, roots); err != nil || c.adjust == nil {
		return err
	}
	return c.adjust(roots)
}

// layerStarts give the boot partition what layers are started by.
type layerStarts struct{ store *thinpool.Store }

func (l layerStarts) Start(ctx context.Context, layer host.Name) (bls.Start, error) {
	m, err := l.store.Mount(ctx, layer, false)
	if err != nil {
		return bls.Start{}, err
	}
	s, err := content.FindStart(m.Root)
	if err != nil {
		return bls.Start{}, errors.Join(err, m.Close())
	}
	return bls.Start{
		Linux: s.Linux, Initrd: s.Initrd, Title: s.Title,
		Arguments: "root=" + l.store.Path(layer) + " rw " + s.Arguments,
		Close:     func() error { return errors.Join(s.Close(), m.Close()) },
	}, nil
}

// wholeHost is a store with what is on its volumes, and with the boot partition, if there is
// one. Where deep says so, digests of kernels are compared, not just sizes.
func wholeHost(store *thinpool.Store, deep bool) (host.Host, *hostContents, error) {
	c := &hostContents{}
	store.Contents = c
	h := host.Host{Store: store}
	p, err := bls.Find()
	if err != nil {
		return h, c, err
	}
	if p != nil {
		p.Layers, p.Deep = layerStarts{store}, deep
		h.Loader = p
	}
	return h, c, nil
}

// openPayload verifies an image's file and reads it to its end.
func openPayload(ctx context.Context, path string, progress *ui.Progress) (*content.Payload, error) {
	var size int64
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	task := progress.Start(ui.Step{ID: "read", Name: "read " + path, Unit: ui.Bytes, Total: size})
	p, err := content.Open(ctx, path, task.Add)
	task.Done(err)
	return p, err
}
