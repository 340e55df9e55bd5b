package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"ingot/internal/artifact"
	"ingot/internal/digest"
	"ingot/internal/fault"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ingot": main, "ingot-works": works, "disk-image-create": main, "ramdisk-image-create": main, "diskimage-builder": main,
	})
}

// TestScripts runs testdata/script: a file a behaviour of the command line.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("INGOT_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("INGOT_CACHE", filepath.Join(e.WorkDir, "cache"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code, "asxz": asXZ},
	})
}

// code is "code N ingot ARG…": the program must end with that exit code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program args...")
	}
	err := ts.Exec("sh", append([]string{"-c", `"$@"; rc=$?; echo "exit code $rc" >&2; test $rc = "$0"`}, args...)...)
	if err != nil {
		ts.Fatalf("want exit code %s", args[0])
	}
}

// asXZ is "asxz DIR…": the files of the artifacts there begin as those of xz do, and their
// manifests say so. A script can hold texts alone.
func asXZ(ts *testscript.TestScript, neg bool, args []string) {
	for _, dir := range args {
		paths, err := filepath.Glob(filepath.Join(ts.MkAbs(dir), "*"+artifact.ManifestSuffix))
		ts.Check(err)
		for _, path := range paths {
			var m artifact.Manifest
			data, err := os.ReadFile(path)
			ts.Check(err)
			ts.Check(json.Unmarshal(data, &m))
			for i := range m.Files {
				f := &m.Files[i]
				file := filepath.Join(filepath.Dir(path), f.Name)
				data, err := os.ReadFile(file)
				ts.Check(err)
				data = append([]byte("\xfd7zXZ\x00"), data...)
				ts.Check(os.WriteFile(file, data, 0o644))
				f.Size, f.SHA256 = int64(len(data)), digest.Of(data)
			}
			m.Size, m.SHA256 = m.Files[0].Size, m.Files[0].SHA256
			data, err = json.Marshal(m)
			ts.Check(err)
			ts.Check(os.WriteFile(path, data, 0o644))
		}
	}
	if neg {
		ts.Fatalf("asxz cannot fail")
	}
}

func TestExitCodes(t *testing.T) {
	// The table has every code of internal/fault.
	f, err := parser.ParseFile(token.NewFileSet(), "../../internal/fault/fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			want = append(want, s.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value)
		}
	}
	var got []string
	for _, e := range exitCodes {
		got = append(got, fmt.Sprint(int(e.code)))
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the table has the codes %v, internal/fault has %v", got, want)
	}

	// The document is the table.
	const name = "../../docs/reference/exit-codes.md"
	doc, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| code | meaning | for example |\n|---|---|---|\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&table, "| %d | %s | %s |\n", e.code, e.meaning, e.example)
	}
	if !strings.Contains(string(doc), table.String()) {
		t.Errorf("%s lacks the table:\n%s", name, table.String())
	}
}

// TestCommands holds what every verb owes its user.
func TestCommands(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, s := range c.Commands() {
			walk(s)
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || len(c.Short) > 72 {
			t.Errorf("%s: its one line of help is %q", c.CommandPath(), c.Short)
		}
		if c.HasParent() && !c.Parent().HasParent() && c.GroupID == "" && c.Runnable() {
			t.Errorf("%s: it is in no group of the help", c.CommandPath())
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if utf8.RuneCountInString(line) > 85 {
				t.Errorf("%s: a line of help is longer than 84 columns: %q", c.CommandPath(), line)
			}
		}
	}
	walk(newRootCommand())
}

// Programs can read what people can.
func TestReadingVerbsTakeJSON(t *testing.T) {
	for _, verb := range []string{"check", "plan", "diff", "why", "sbom", "store list", "version", "server verify", "publish", "promote", "prune", "list", "pull", "verify"} {
		cmd, _, err := newRootCommand().Find(strings.Fields(verb))
		if err != nil || cmd.Flags().Lookup("json") == nil {
			t.Errorf("%s takes no --json (%v)", verb, err)
		}
	}
}

func TestCodeOfWrongFlags(t *testing.T) {
	for _, args := range []string{"version --x", "version -x", "version a", "nothing", "completion", "help nothing", "--color red version"} {
		root := newRootCommand()
		root.SetArgs(strings.Fields(args))
		if err := root.ExecuteContext(t.Context()); fault.CodeOf(err) != fault.Usage {
			t.Errorf("ingot %s: %v has exit code %d", args, err, fault.CodeOf(err))
		}
	}
}
