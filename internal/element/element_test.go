package element

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"ingot/internal/fault"
)

// elements makes a source from a text: "ELEMENT/PATH [MODE] [= CONTENT]" a line.
// A path that ends with "/" is a directory; "PATH -> TARGET" is a link; \n in content
// is a line's end.
func elements(t testing.TB, name, text string) Source {
	t.Helper()
	fsys := fstest.MapFS{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		line, content, _ := strings.Cut(line, " = ")
		if at, target, ok := strings.Cut(line, " -> "); ok {
			fsys[at] = &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte(target)}
			continue
		}
		mode := fs.FileMode(0o644)
		if at, octal, ok := strings.Cut(line, " 0"); ok {
			if _, err := fmt.Sscanf(octal, "%o", &mode); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			line = at
		}
		content = strings.ReplaceAll(content, `\n`, "\n")
		if strings.HasSuffix(line, "/") {
			fsys[strings.TrimSuffix(line, "/")] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
			continue
		}
		fsys[line] = &fstest.MapFile{Mode: mode, Data: []byte(content)}
	}
	return Source{Name: name, FS: fsys}
}

// open opens sources that are sound.
func open(t testing.TB, sources ...Source) *Path {
	t.Helper()
	p, err := Open(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// merged is the hooks of some elements, which need no operating system.
func merged(t testing.TB, p *Path, names ...string) *Hooks {
	t.Helper()
	s, err := Expand(p, names, Options{SkipBase: true, AnyOS: true})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Merge(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// wantFault checks that an error is of a code and says something; an empty text wants none.
func wantFault(t testing.TB, err error, code fault.Code, text string) {
	t.Helper()
	switch {
	case text == "" && err == nil:
	case err == nil || text == "":
		t.Errorf("error %v, want %q", err, text)
	case !strings.Contains(err.Error()+" | "+fault.HintOf(err), text) || fault.CodeOf(err) != code:
		t.Errorf("error %d %v | %s, want %d %q", fault.CodeOf(err), err, fault.HintOf(err), code, text)
	}
}
