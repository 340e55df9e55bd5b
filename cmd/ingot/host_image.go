package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/artifact"
	"ingot/internal/catalog"
	"ingot/internal/content"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/host"
	"ingot/internal/thinpool"
	"ingot/internal/ui"
)

// imageFlags say which image.
type imageFlags struct {
	remoteFlags
	changeFlags
	name, size, sum string
}

func (f *imageFlags) addAll(cmd *cobra.Command) {
	f.remoteFlags.add(cmd)
	f.changeFlags.add(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "what the base is called: NAME-VERSION-RELEASE (default: what the image says)")
	cmd.Flags().StringVar(&f.size, "size", "", "of the base's volume; MiB, unless it has a unit (default: as what runs)")
	cmd.Flags().StringVar(&f.sum, "sha256", "", "the file's SHA-256, where no SHA256SUMS beside it says it")
}

// An image is what a host is to get.
type hostImage struct {
	host.Image
	path    string // of its file; "" is not fetched yet
	sha256  digest.Digest
	payload *content.Payload
	remove  bool // the file when it is done with

	files   []catalog.File // on the server
	version string
}

// find finds an image: a file, else a name on a server.
func (f *imageFlags) find(ctx context.Context, progress *ui.Progress, what string) (*hostImage, error) {
	if info, err := os.Stat(what); err == nil && !info.IsDir() {
		i := &hostImage{path: what}
		if i.sha256, err = f.expected(what); err != nil {
			return nil, err
		}
		i.Digest = i.sha256.Short()
		if f.name != "" { // then what it is to be may be enough to know
			i.Name, err = host.ParseName(f.name)
		}
		return i, err
	} else if strings.ContainsRune(what, '/') {
		return nil, fault.Newf(fault.NotFound, "there is no file %s", what).WithHint("an image is a file, or NAME[@CHANNEL] with --from")
	}
	if f.sum != "" {
		return nil, fault.Newf(fault.Usage, "--sha256 is for files: a server's index says it")
	}
	choice, err := catalog.ParseChoice(what, hostArch())
	if err != nil {
		return nil, err
	}
	s, err := f.server(progress, (&transfers{}).watch)
	if err != nil {
		return nil, err
	}
	c, err := s.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	im, v, err := c.Find(choice)
	if err != nil {
		return nil, err
	}
	found, err := (&pullFlags{formats: []string{"base"}}).want(im, v, time.Now())
	if err != nil {
		return nil, err
	}
	i := &hostImage{sha256: found[0].Files[0].SHA256, files: found[0].Files, version: v.Version}
	i.Digest = i.sha256.Short()
	if f.name == "" {
		f.name = im.Name + "-" + strings.ReplaceAll(v.Version, "-", ".") + "-1"
	}
	i.Name, err = host.ParseName(f.name)
	return i, err
}

// expected is what a file's SHA-256 is to be.
func (f *imageFlags) expected(path string) (digest.Digest, error) {
	if f.sum != "" {
		sum, err := digest.Parse(f.sum)
		return sum, fault.Wrap(fault.Usage, err)
	}
	sums, err := artifact.ReadSums(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return digest.Digest{}, err
	}
	if sum, ok := sums[filepath.Base(path)]; ok {
		return sum, nil
	}
	return digest.Digest{}, fault.Newf(fault.Verification, "nothing says what %s is to be", path).WithHint("put its SHA256SUMS beside it, or say --sha256")
}

// fetch fetches a server's image into the cache.
func (f *imageFlags) fetch(ctx context.Context, progress *ui.Progress, i *hostImage) error {
	if i.path != "" {
		return nil
	}
	var t transfers
	s, err := f.server(progress, t.watch)
	if err != nil {
		return err
	}
	_, cache, err := dirs()
	if err != nil {
		return err
	}
	to := filepath.Join(cache, "host")
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("cannot keep the image: %w", err)
	}
	task := progress.Start(ui.Step{ID: "fetch", Name: fmt.Sprintf("fetch %s", i.Name), Unit: ui.Bytes, Total: i.files[0].Size})
	t.begin(task)
	pulled, err := s.Pull(ctx, i.files, to, true)
	task.Done(err)
	if err != nil {
		return err
	}
	i.path, i.remove = pulled[0].Path, true
	return nil
}

// get fetches an image where it is not here, and verifies it.
func (f *imageFlags) get(ctx context.Context, progress *ui.Progress, i *hostImage) error {
	if err := f.fetch(ctx, progress, i); err != nil {
		return err
	}
	return f.open(ctx, progress, i)
}

// startOf learns what an image's kernel and initramfs come to from its base.
func (i *hostImage) startOf(ctx context.Context, h host.Host) (err error) {
	store, ok := h.Store.(*thinpool.Store)
	if !ok {
		return nil
	}
	m, err := store.Mount(ctx, i.Name, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	start, err := content.FindStart(m.Root)
	if err != nil {
		return err
	}
	i.Kernel, err = start.Size()
	return errors.Join(err, start.Close())
}

// open verifies an image's file, and learns what it is.
func (f *imageFlags) open(ctx context.Context, progress *ui.Progress, i *hostImage) (err error) {
	if i.payload, err = openPayload(ctx, i.path, progress); err != nil {
		return err
	}
	if i.payload.Digest != i.sha256 {
		return fault.Newf(fault.Verification, "%s has the SHA-256 %s and not %s", i.path, i.payload.Digest, i.sha256).WithHint("fetch it anew")
	}
	text := f.name
	if text == "" {
		text = i.payload.Name
	}
	if text == "" {
		return fault.Newf(fault.Usage, "%s does not say what it is called", i.path).WithHint("--name NAME-VERSION-RELEASE, or IMAGE_ID and IMAGE_VERSION in its os-release")
	}
	if i.Name, err = host.ParseName(text); err != nil {
		return err
	}
	i.Digest, i.Kernel = i.payload.Digest.Short(), i.payload.Start
	i.Needs = i.payload.Blocks + i.payload.Blocks/20 // and the file system's own
	return nil
}

// sized says how large the base's volume is to be: as what runs, or what was said.
func (f *imageFlags) sized(s host.State, i *hostImage) error {
	least := i.Needs + i.Needs/8 + 64<<20
	if f.size != "" {
		var err error
		if i.Size, err = sizeOf(f.size); err != nil {
			return fault.Newf(fault.Usage, "%q is no size", f.size).WithHint("a number, and k, m, g or t")
		}
	} else if v, ok := s.Volume(s.Booted); ok {
		i.Size = v.Size
	} else {
		i.Size = (2*least + 1<<30 - 1) >> 30 << 30
	}
	if i.Size < least {
		return fault.Newf(fault.Preflight, "a volume of %d bytes is too small for %s, which needs %d", i.Size, i.Name, least).WithHint("give a larger one with --size")
	}
	return nil
}

// with gets an image, and changes the host by it. Where present says that nothing is to be
// fetched, nothing is.
func (f *imageFlags) with(cmd *cobra.Command, what string, present func(host.State, *hostImage) (done bool, err error), ask func(host.State, *hostImage) (host.Name, []host.Step, error)) error {
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	ctx := cmd.Context()
	release, err := lockHost()
	if err != nil {
		return err
	}
	defer release()
	h, contents, s, err := changedHost(ctx, false)
	if err != nil {
		return err
	}
	i, err := f.find(ctx, progress, what)
	if err != nil {
		return err
	}
	if !i.Name.IsZero() {
		if done, err := present(s, i); done || err != nil {
			return err
		}
	}
	if !i.Name.IsZero() && s.HasBase(i.Image) { // it was verified when it was written
		err = i.startOf(ctx, h)
	} else if err = f.get(ctx, progress, i); err == nil {
		var done bool
		if done, err = present(s, i); done || err != nil {
			return err
		}
		err = f.sized(s, i)
	}
	if err != nil {
		return err
	}
	contents.payload = i.payload
	name, steps, err := ask(s, i)
	if err != nil {
		return err
	}
	progress.Close()
	if err := f.do(cmd, h, s, name, steps); err != nil {
		return err
	}
	if i.remove && !f.dryRun {
		if err := os.Remove(i.path); err != nil {
			return fmt.Errorf("cannot remove the image: %w", err)
		}
	}
	return f.tell(cmd, contents.report)
}

// tell warns of what a person has to decide.
func (f *changeFlags) tell(cmd *cobra.Command, r content.Report) error {
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	if n := len(r.Conflicts) + len(r.Accounts); n > 0 {
		progress.Warnf("conflicts in /etc: %d; the host's were kept, and 'ingot host etc' lists them once the layer runs", n)
	}
	return nil
}

func newHostAddCommand() *cobra.Command {
	var f imageFlags
	cmd := &cobra.Command{
		Use:   "add FILE | IMAGE[@CHANNEL]",
		Short: "Make a base of an image, which nothing boots",
		Long: `add makes a base of an image: a volume with its files, read-only. Nothing boots
it; 'host derive' makes a layer of it, and so does 'host update'.

An image is an output 'base' of 'ingot build' (or any tar of a root file system with
a kernel and an initramfs in /boot, plain or by zstd, gzip or xz): a file, of which
SHA256SUMS beside it or --sha256 says what it is to be, or a name on an image
server. It is read to its end before anything is written.`,
		Example: `  ingot host add web-amd64.base.tar.zst --name web-2-1
  ingot host add web@stable --from https://images.example --key server-key.asc`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// That the name is taken is said before anything is fetched.
			taken := func(s host.State, i *hostImage) (bool, error) {
				_, err := s.Add(host.Image{Name: i.Name, Digest: i.Digest, Size: 1})
				return false, err
			}
			return f.with(cmd, args[0], taken, func(s host.State, i *hostImage) (host.Name, []host.Step, error) {
				steps, err := s.Add(i.Image)
				return i.Name, steps, err
			})
		},
	}
	f.addAll(cmd)
	return cmd
}

// updateFlags are those of host update.
type updateFlags struct {
	imageFlags
	check, download, apply, older, again bool
	tries                                int
}

func newHostUpdateCommand() *cobra.Command {
	var f updateFlags
	cmd := &cobra.Command{
		Use:   "update FILE | IMAGE[@CHANNEL]",
		Short: "Make a base and a layer of an image, and have it tried",
		Long: `update makes a base of an image (see 'host add'), a layer of that, to which what
persists of the running layer is carried over, and has the boot loader try it at the
next boot. The running layer must have been confirmed: it is what comes back where
the new one does not boot, or fails its health checks, so many times.

What persists: /etc, merged three ways; users and groups, with the host's numbers;
what /etc/ingot/carry lists; volumes of their own, as /var. An image that did not
boot here is not taken again, an older one than what runs neither.`,
		Example: `  ingot host update web@stable --from https://images.example --key server-key.asc
  ingot host update web@stable --check
  ingot host update web-amd64.base.tar.zst --name web-3-1 --apply`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.addAll(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&f.check, "check", false, "say whether there is anything new, and fetch nothing")
	fl.BoolVar(&f.download, "download-only", false, "make the base, and no layer yet")
	fl.BoolVar(&f.apply, "apply", false, "restart the host when it is done")
	fl.BoolVar(&f.older, "older", false, "take an image older than what runs")
	fl.BoolVar(&f.again, "again", false, "take an image that did not boot here")
	fl.IntVar(&f.tries, "tries", host.DefaultTries, "how many boots it has to be confirmed in")
	cmd.MarkFlagsMutuallyExclusive("check", "download-only")
	cmd.MarkFlagsMutuallyExclusive("check", "apply")
	cmd.MarkFlagsMutuallyExclusive("download-only", "apply")
	return cmd
}

// updateCheckJSON is what "host update --check --json" prints.
type updateCheckJSON struct {
	Schema  int       `json:"schema"` // 1
	Name    host.Name `json:"name"`
	Image   string    `json:"image"`
	Boots   host.Name `json:"boots"`
	Present bool      `json:"present"` // it is what boots
	Bad     string    `json:"bad,omitempty"`
}

func (f *updateFlags) run(cmd *cobra.Command, what string) error {
	changed := false
	wish := func(i *hostImage) host.Update {
		return host.Update{Image: i.Image, Tries: f.tries, Older: f.older, Again: f.again}
	}
	present := func(s host.State, i *hostImage) (bool, error) {
		if i.Size == 0 {
			i.Size = 1 // it is not known yet
		}
		_, steps, err := s.Update(wish(i))
		boots, _ := s.Boots()
		there := err == nil && len(steps) == 0
		if f.check {
			return true, f.checked(cmd, updateCheckJSON{Schema: 1, Name: i.Name, Image: i.Digest, Boots: boots, Present: there}, err)
		}
		if err != nil {
			return false, err
		}
		switch {
		case there:
			return true, f.nothing(cmd, boots)
		case f.download && s.HasBase(i.Image):
			return true, f.isThere(cmd, i.Name)
		}
		if s.Booted.IsZero() {
			return false, nil
		}
		root, err := os.OpenRoot("/")
		if err != nil {
			return false, err
		}
		defer func() { _ = root.Close() }()
		return false, content.CheckVar(root)
	}
	err := f.with(cmd, what, present, func(s host.State, i *hostImage) (host.Name, []host.Step, error) {
		changed = true
		if f.download {
			steps, err := s.Add(i.Image)
			return i.Name, steps, err
		}
		return s.Update(wish(i))
	})
	if err != nil || !f.apply || !changed || f.dryRun {
		return err
	}
	return restartHost(cmd.Context())
}

// isThere says that a base is there, and nothing to do.
func (f *changeFlags) isThere(cmd *cobra.Command, base host.Name) error {
	if f.json {
		return printJSON(cmd, changedJSON{1, f.dryRun, base, []host.Step{}})
	}
	return say(cmd, base.String()+" is of this image, and is there")
}

// nothing says that there is nothing to do.
func (f *changeFlags) nothing(cmd *cobra.Command, boots host.Name) error {
	if f.json {
		return printJSON(cmd, changedJSON{1, f.dryRun, boots, []host.Step{}})
	}
	return say(cmd, boots.String()+" is of this image, and is what boots")
}

// checked says what a look has found. An image that would be refused is no failure of the
// look.
func (f *updateFlags) checked(cmd *cobra.Command, c updateCheckJSON, refused error) error {
	if refused != nil {
		c.Bad = refused.Error()
	}
	if f.json {
		return printJSON(cmd, c)
	}
	switch {
	case refused != nil:
		return say(cmd, fmt.Sprintf("%s would be refused: %v", c.Name, refused))
	case c.Present:
		return f.nothing(cmd, c.Boots)
	}
	return say(cmd, fmt.Sprintf("%s is new: image %s", c.Name, c.Image))
}

// restartHost restarts the host.
func restartHost(ctx context.Context) error {
	if out, err := exec.CommandContext(ctx, "systemctl", "reboot").CombinedOutput(); err != nil {
		return fmt.Errorf("cannot restart: %w: %.500s", err, out)
	}
	return nil
}
