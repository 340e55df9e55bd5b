package lxc

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A Container is one in the making: what LXC's templates are told.
type Container struct {
	Name   string
	Path   string // its directory, with the file config
	Rootfs string // where its root file system lies
	User   bool   // it is made in a user namespace
}

// Level is the compatibility level of the newest of LXC's clients.
const Level = 7

// maxMeta bounds a file of the metadata.
const maxMeta = 1 << 20

// ReadMeta reads the archive of an image's metadata: the files by their names.
func ReadMeta(archive io.Reader) (map[string][]byte, error) {
	out := map[string][]byte{}
	t := tar.NewReader(archive)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("unreadable metadata: %w", err)
		}
		name := strings.TrimPrefix(h.Name, "./")
		if h.Typeflag != tar.TypeReg || name == "" || strings.ContainsRune(name, '/') {
			continue
		}
		if h.Size > maxMeta || len(out) > 1000 {
			return nil, errors.New("the metadata are too large")
		}
		if out[name], err = io.ReadAll(t); err != nil {
			return nil, fmt.Errorf("unreadable metadata: %w", err)
		}
	}
	return out, nil
}

// choose is the most special form of one of the metadata, or nil.
func (c Container) choose(meta map[string][]byte, name string) []byte {
	mode := name + "-system"
	if c.User {
		mode = name + "-user"
	}
	at := name
	if _, ok := meta[mode]; ok {
		at = mode
	}
	if _, ok := meta[fmt.Sprintf("%s.%d", at, Level)]; ok {
		at = fmt.Sprintf("%s.%d", at, Level)
	}
	return meta[at]
}

// Fill puts a container's values in the place of their names.
func (c Container) Fill(text []byte) []byte {
	return []byte(strings.NewReplacer(
		Name, c.Name, "LXC_PATH", c.Path, "LXC_ROOTFS", c.Rootfs,
		"LXC_TEMPLATE_CONFIG", "/usr/share/lxc/config", "LXC_HOOK_DIR", "/usr/share/lxc/hooks",
	).Replace(string(text)))
}

// Config is the container's configuration: what lxc-create wrote, with what the image
// says in between, in the order that its template "download" gives them.
func (c Container) Config(written []byte, meta map[string][]byte) ([]byte, error) {
	image := c.choose(meta, "config")
	if image == nil {
		return nil, errors.New("the metadata lack the configuration")
	}
	var rest, own, network strings.Builder
	for line := range strings.Lines(string(written)) {
		line = strings.TrimRight(line, "\n") + "\n"
		switch {
		case strings.Contains(line, "lxc.net.0"):
			network.WriteString(line)
		case strings.HasPrefix(strings.TrimSpace(line), "lxc."):
			own.WriteString(line)
		default:
			rest.WriteString(line)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n# Distribution configuration\n%s\n# Container specific configuration\n%s", rest.String(), strings.TrimRight(string(image), "\n")+"\n", own.String())
	if c.choose(meta, "fstab") != nil {
		fmt.Fprintf(&b, "lxc.mount.fstab = %s/fstab\n", c.Path)
	}
	fmt.Fprintf(&b, "lxc.uts.name = %s\n", c.Name)
	if network.Len() > 0 {
		fmt.Fprintf(&b, "\n# Network configuration\n%s", network.String())
	}
	return c.Fill([]byte(b.String())), nil
}

// Fstab is the container's file fstab, or nil.
func (c Container) Fstab(meta map[string][]byte) []byte {
	if f := c.choose(meta, "fstab"); f != nil {
		return c.Fill(f)
	}
	return nil
}

// Templates are files of the root file system, by path in it, that hold a container's
// values by name.
func (c Container) Templates(meta map[string][]byte) []string {
	var out []string
	for line := range strings.Lines(string(c.choose(meta, "templates"))) {
		if p := strings.Trim(line, "/\n\r\t "); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// Message is what the image says to who makes a container of it: text, without what would steer
// a terminal.
func (c Container) Message(meta map[string][]byte) string {
	text := strings.ToValidUTF8(string(c.Fill(c.choose(meta, "create-message"))), "\ufffd")
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text), "\n")
}

// Expiry is from when on a cached image should not be used; zero is never.
func (c Container) Expiry(meta map[string][]byte) time.Time {
	n, err := strconv.ParseInt(strings.TrimSpace(string(c.choose(meta, "expiry"))), 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}
