package main

import (
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"ingot/internal/catalog"
	"ingot/internal/client"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/input"
	"ingot/internal/sign"
	"ingot/internal/token"
	"ingot/internal/ui"
)

// fromVariable names an image server where --from does not.
const fromVariable = "INGOT_SERVER"

// tokenVariable names the file with a token where --token-file does not. The token itself is
// in no environment.
const tokenVariable = "INGOT_TOKEN_FILE"

// remoteFlags are those of verbs that read an image server.
type remoteFlags struct {
	from     []string
	key      string
	firstUse bool
	token    string
}

func (f *remoteFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.from, "from", nil, "the image server: https://HOST, or a directory; repeat for its mirrors (or $INGOT_SERVER)")
	f.addKey(cmd)
}

func (f *remoteFlags) addKey(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.key, "key", "", "believe this public key: a file or a fingerprint; it is remembered")
	cmd.Flags().BoolVar(&f.firstUse, "trust-on-first-use", false, "believe and remember whatever key the server shows, if none is known")
	cmd.Flags().StringVar(&f.token, "token-file", "", "show the server the token in this file (or in $INGOT_TOKEN_FILE's)")
}

var fingerprint = regexp.MustCompile(`^(0[xX])?([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$`)

// server is the image server that the flags mean.
func (f *remoteFlags) server(progress *ui.Progress, watch func(fetch.Event)) (*client.Server, error) {
	home, _, err := dirs()
	if err != nil {
		return nil, err
	}
	from := f.from
	if len(from) == 0 {
		from = strings.Fields(environ(fromVariable))
	}
	if len(from) == 0 {
		return nil, errNoServer()
	}
	s := &client.Server{Dir: filepath.Join(home, "servers"), Fetch: &fetch.Client{Attempts: 3, Progress: func(e fetch.Event) {
		if e.Note != "" {
			progress.Notef("%s: %s", e.Name, e.Note)
		}
		watch(e)
	}}}
	for _, one := range from {
		address, err := client.Address(one)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(s.Mirrors, address) {
			s.Mirrors = append(s.Mirrors, address)
		}
	}
	if s.Fetch.Bearer, err = bearer(f.token, s.Mirrors); err != nil {
		return nil, err
	}
	s.Pinned = func(key, why string) {
		progress.Notef("%s: its key is %s from now on: %s", s.Name(), key, why)
	}
	s.Trust.FirstUse = f.firstUse
	switch m := fingerprint.FindStringSubmatch(f.key); {
	case m != nil:
		s.Trust.Fingerprint = strings.ToUpper(m[2])
	case f.key != "":
		data, err := input.Read(f.key, 1<<20)
		if err != nil {
			return nil, fault.Newf(fault.Preflight, "cannot read the key: %w", err).WithHint("--key is a file with a public key, or a fingerprint of 40 digits")
		}
		if s.Trust.Keys, err = sign.ReadKeyring(f.key, data); err != nil {
			return nil, fault.Newf(fault.Preflight, "%w", err)
		}
	}
	return s, nil
}

// bearer shows mirrors the token in a file, if one is named.
func bearer(path string, mirrors []string) (func(*url.URL) string, error) {
	if path == "" {
		path = environ(tokenVariable)
	}
	if path == "" {
		return nil, nil
	}
	file, err := input.Open(path)
	if err != nil {
		return nil, fault.Newf(fault.Preflight, "cannot read the token: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := token.ReadText(file)
	if err != nil {
		return nil, fault.Newf(fault.Preflight, "cannot read the token in %s: %w", path, err).WithHint("'ingot server token add' prints what belongs there")
	}
	return client.Bearer(mirrors, text)
}

func errNoServer() error {
	return fault.Newf(fault.Usage, "no image server is named").WithHint("name one with --from URL, or in the environment: %s", fromVariable)
}

// transfers turns what is told of many files into one count.
type transfers struct {
	mu   sync.Mutex
	done map[string]int64
	task *ui.Task
}

func (t *transfers) watch(e fetch.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.task == nil {
		return
	}
	if n := e.Done - t.done[e.Name]; n > 0 {
		t.task.Add(n)
		t.done[e.Name] = e.Done
	}
}

// begin counts for a task from now on.
func (t *transfers) begin(task *ui.Task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.task, t.done = task, map[string]int64{}
}

// allFiles are the files of some artifacts, papers too.
func allFiles(artifacts []catalog.Artifact) []catalog.File {
	var out []catalog.File
	for _, a := range artifacts {
		out = append(append(out, a.Files...), a.Papers...)
	}
	return out
}
