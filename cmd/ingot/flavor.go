package main

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/flavor"
)

// flavorFlags are the flags of every flavor verb.
type flavorFlags struct {
	json     bool
	declared string // a directory with more declarations
}

func (f *flavorFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	cmd.Flags().StringVar(&f.declared, "declared", "", "`directory` with more flags/ and architectures/")
}

func (f *flavorFlags) read() (flavor.Declared, error) {
	var more []fs.FS
	if f.declared != "" {
		more = append(more, os.DirFS(f.declared))
	}
	d, err := flavor.Read(more...)
	if err != nil {
		err = fmt.Errorf("--declared %s: %w", f.declared, err)
	}
	return d, err
}

// parseFlavor reads an argument, in either form.
func parseFlavor(d flavor.Declared, text string) (flavor.Flavor, error) {
	if strings.Contains(text, "#") { // no flavor has one
		return flavor.Thaw(text)
	}
	f, err := flavor.Parse(text)
	if err == nil {
		err = d.Trapped(f)
	}
	return f, err
}

func parseFlavors(d flavor.Declared, texts []string) ([]flavor.Flavor, error) {
	var list []flavor.Flavor
	for _, text := range texts {
		f, err := parseFlavor(d, text)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

func newFlavorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "flavor",
		Short:   "See how flavors are read, merged and chosen",
		GroupID: groupLook,
	}
	cmd.AddCommand(newFlavorParseCommand(), newFlavorMergeCommand(), newFlavorScoreCommand(), newFlavorMatchCommand())
	return cmd
}

// flavorJSON is a flavor that "flavor parse --json" prints.
type flavorJSON struct {
	Text       string           `json:"text"`
	Canonical  string           `json:"canonical"`
	Frozen     string           `json:"frozen"`
	Strong     string           `json:"strong"`
	Expanded   string           `json:"expanded"` // with what flags of architectures bring with them
	Use        []flavorFlagJSON `json:"use"`
	Is         []flavorArchJSON `json:"is"`
	Target     []flavorArchJSON `json:"target"`
	Undeclared []string         `json:"undeclared,omitempty"`
}

type flavorFlagJSON struct {
	Name  string `json:"name"`
	Sense string `json:"sense"` // required, preferred, prefernot or disallowed
}

type flavorArchJSON struct {
	Name  string           `json:"name"`
	Flags []flavorFlagJSON `json:"flags"`
}

func flagsJSON(flags []flavor.Flag) []flavorFlagJSON {
	out := []flavorFlagJSON{}
	for _, f := range flags {
		out = append(out, flavorFlagJSON{f.Name, f.Sense.Word()})
	}
	return out
}

func archsJSON(archs []flavor.Arch) []flavorArchJSON {
	out := []flavorArchJSON{}
	for _, a := range archs {
		out = append(out, flavorArchJSON{a.Name, flagsJSON(a.Flags)})
	}
	return out
}

// flavorParsed is the object that "flavor parse --json" prints.
type flavorParsed struct {
	Schema  int          `json:"schema"` // 1
	Flavors []flavorJSON `json:"flavors"`
}

func newFlavorParseCommand() *cobra.Command {
	var f flavorFlags
	cmd := &cobra.Command{
		Use:   "parse FLAVOR...",
		Short: "Print the canonical form of flavors",
		Long: `parse reads flavors, canonical, frozen or as a person writes them, and prints
their canonical form, one a line. What no declaration knows it tells on standard
error.`,
		Example: `  ingot flavor parse 'ssl, krb,~!emacs is: x86_64'
  ingot flavor parse --json '1#x86_64|5#use:ssl' | jq '.flavors[].canonical'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := f.read()
			if err != nil {
				return err
			}
			list, err := parseFlavors(d, args)
			if err != nil {
				return err
			}
			out := flavorParsed{Schema: 1}
			for i, g := range list {
				out.Flavors = append(out.Flavors, flavorJSON{
					Text: args[i], Canonical: g.String(), Frozen: g.Freeze(), Strong: g.Strong().String(), Expanded: d.Expand(g).String(),
					Use: flagsJSON(g.Use()), Is: archsJSON(g.Is()), Target: archsJSON(g.Target()), Undeclared: d.Undeclared(g),
				})
			}
			if f.json {
				return printJSON(cmd, out)
			}
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			for _, g := range out.Flavors {
				for _, name := range g.Undeclared {
					progress.Warnf("nothing declares %q", name)
				}
			}
			progress.Close()
			return printLines(cmd, list)
		},
	}
	f.add(cmd)
	return cmd
}

// printLines prints one flavor a line.
func printLines(cmd *cobra.Command, list []flavor.Flavor) error {
	for _, g := range list {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), g); err != nil {
			return err
		}
	}
	return nil
}

// flavorModes are the modes of merging by name.
var flavorModes = map[string]flavor.Mode{"override": flavor.Over, "normal": flavor.Normal, "prefs": flavor.Prefs, "drop": flavor.Drop}

// flavorMerged is the object that "flavor merge --json" prints.
type flavorMerged struct {
	Schema    int    `json:"schema"` // 1
	Canonical string `json:"canonical"`
	Frozen    string `json:"frozen"`
}

func newFlavorMergeCommand() *cobra.Command {
	var f flavorFlags
	var modeName string
	var equal, fill bool
	cmd := &cobra.Command{
		Use:   "merge OLD NEW...",
		Short: "Merge flavors",
		Long: `merge puts each flavor over the one before. Where a new flavor names
architectures, those of the old one that it does not name are gone.

What becomes of a flag of which both say something is the mode's:
  override   the new one counts
  normal     the stronger counts; what contradicts is an error, exit code 10
  prefs      the new one counts, weakly where it contradicts
  drop       the stronger counts; what contradicts is left out`,
		Example: `  ingot flavor merge 'foo,bar is: x86(i686)' '!foo is: x86_64'
  ingot flavor merge --equal --mode drop '~ssl is: x86' '~!ssl is: x86_64'`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			mode, ok := flavorModes[modeName]
			if !ok {
				return fault.Newf(fault.Usage, "no mode %q", modeName).WithHint("modes are override, normal, prefs and drop")
			}
			d, err := f.read()
			if err != nil {
				return err
			}
			list, err := parseFlavors(d, args)
			if err != nil {
				return err
			}
			merged := list[0]
			if equal {
				merged, err = flavor.Merge(list, mode)
			}
			for _, g := range list[1:] {
				switch {
				case err != nil || equal:
				case fill:
					merged = flavor.Fill(merged, g)
				default:
					merged, err = flavor.Override(merged, g, mode)
				}
			}
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd, flavorMerged{1, merged.String(), merged.Freeze()})
			}
			return printLines(cmd, []flavor.Flavor{merged})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&modeName, "mode", "override", "override, normal, prefs or drop")
	cmd.Flags().BoolVar(&equal, "equal", false, "the flavors have equal rights: keep all architectures, decide each flag once")
	cmd.Flags().BoolVar(&fill, "fill", false, "take only flags or architectures of which the first says nothing")
	cmd.MarkFlagsMutuallyExclusive("fill", "equal")
	cmd.MarkFlagsMutuallyExclusive("fill", "mode")
	_ = cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"override", "normal", "prefs", "drop"}, cobra.ShellCompDirectiveNoFileComp)) // fails for no such flag only
	return cmd
}

// flavorScored is the object that "flavor score --json" prints.
type flavorScored struct {
	Schema int               `json:"schema"` // 1
	System string            `json:"system"`
	Scores []flavorScoreJSON `json:"scores"`
}

type flavorScoreJSON struct {
	Flavor     string           `json:"flavor"`
	Matches    bool             `json:"matches"`
	Score      *int             `json:"score"`      // null if it does not match
	Strongly   bool             `json:"strongly"`   // the system has all of it, both taken at their word
	Compatible bool             `json:"compatible"` // no flag points the other way
	Change     string           `json:"change"`     // the least change to the system that makes it match
	Parts      []flavorPartJSON `json:"parts"`
}

type flavorPartJSON struct {
	Arch   string `json:"arch,omitempty"`
	Flag   string `json:"flag,omitempty"`
	System string `json:"system,omitempty"`
	Flavor string `json:"flavor,omitempty"`
	Score  *int   `json:"score"` // null if it does not match
}

func newFlavorScoreCommand() *cobra.Command {
	var f flavorFlags
	var why bool
	cmd := &cobra.Command{
		Use:   "score SYSTEM FLAVOR...",
		Short: "Say how well flavors suit a system",
		Long: `score holds flavors against the flavor of a system and prints a score, or a dash
where a flavor does not match. Scores rank what matches; a negative one matches too.`,
		Example: `  ingot flavor score '~!xen,ssl is: x86_64' '~!xen is: x86_64' 'xen is: x86_64'
  ingot flavor score --why '~!xen is: x86' 'xen,domU is: x86'`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := f.read()
			if err != nil {
				return err
			}
			list, err := parseFlavors(d, args)
			if err != nil {
				return err
			}
			out := flavorScored{Schema: 1, System: list[0].String()}
			for _, g := range list[1:] {
				out.Scores = append(out.Scores, scoreOf(list[0], g))
			}
			if f.json {
				return printJSON(cmd, out)
			}
			for _, s := range out.Scores {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%4s  %s\n", scoreText(s.Score), s.Flavor); err != nil {
					return err
				}
				for _, p := range s.Parts {
					if !why {
						break
					}
					if _, err := fmt.Fprintf(cmd.OutOrStdout(), "      %4s  %s\n", scoreText(p.Score), p.text()); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&why, "why", false, "print what each flag and architecture adds")
	return cmd
}

func scoreOf(system, g flavor.Flavor) flavorScoreJSON {
	s := flavorScoreJSON{
		Flavor: g.String(), Strongly: system.StronglySatisfies(g), Compatible: system.Compatible(g),
		Change: system.Change(g, false).String(), Parts: []flavorPartJSON{},
	}
	n, ok := system.Score(g)
	if s.Matches = ok; ok {
		s.Score = &n
	}
	for _, p := range system.Explain(g) {
		j := flavorPartJSON{Arch: p.Arch, Flag: p.Flag, System: p.System.Word(), Flavor: p.Flavor.Word()}
		if p.Matches {
			j.Score = &p.Score
		}
		s.Parts = append(s.Parts, j)
	}
	return s
}

func scoreText(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// text says what a part is.
func (p flavorPartJSON) text() string {
	if p.Flag == "" {
		return p.Arch
	}
	of := p.Flag
	if p.Arch != "" {
		of = p.Arch + "(" + p.Flag + ")"
	}
	system := p.System
	if system == "" {
		system = "not said"
	}
	return fmt.Sprintf("%s: here %s, there %s", of, system, p.Flavor)
}

// flavorRules are the rules of selection by name.
var flavorRules = map[string]flavor.Rule{
	"strongly": flavor.Strongly, "loosely": flavor.Loosely, "installed": flavor.Installed, "exactly": flavor.Exactly,
}

// flavorMatched is the object that "flavor match --json" prints.
type flavorMatched struct {
	Schema  int             `json:"schema"` // 1
	Asked   string          `json:"asked"`
	System  []string        `json:"system"`
	Matches []flavorHitJSON `json:"matches"`
}

type flavorHitJSON struct {
	Version string `json:"version,omitempty"`
	Flavor  string `json:"flavor"`
}

func newFlavorMatchCommand() *cobra.Command {
	var f flavorFlags
	var rule string
	var systems, prefer []string
	var all bool
	cmd := &cobra.Command{
		Use:   "match ASKED FLAVOR...",
		Short: "Choose among flavors as a group is chosen",
		Long: `match chooses one of several flavors. A flavor may say its version, as in
"2[vmware is: x86]"; versions stand newest first.

  strongly   what was asked for must be there, and the flavor must suit the system;
             scores only rank. The newest version that has one is taken
  loosely    as Conary's repositories do: what was asked for is put over the
             system's flavor, and whatever matches that, however weakly, is taken
  installed  what was asked for must be there, whatever the system
  exactly    the flavor that was asked for, letter for letter

A flag that nothing declares and none of the flavors has is an error (exit code 4),
other than loosely. If nothing matches the hint says what would.`,
		Example: `  ingot flavor match vmware 'vmware is: x86_64' '~!vmware is: x86_64'
  ingot flavor match --system 'is: x86 x86_64' '' '2[is: x86]' '1[is: x86_64]'`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := flavor.Query{All: all}
			var ok bool
			if q.Rule, ok = flavorRules[rule]; !ok {
				return fault.Newf(fault.Usage, "no rule %q", rule).WithHint("rules are strongly, loosely, installed and exactly")
			}
			d, err := f.read()
			if err != nil {
				return err
			}
			q.Order = d.Order
			if q.Prefer, err = parseFlavors(d, prefer); err != nil {
				return err
			}
			if len(systems) == 0 {
				here, err := d.System(d.ArchitectureOf(hostArch()))
				if err != nil {
					return err
				}
				systems = []string{here.String()}
			}
			if q.System, err = parseFlavors(d, systems); err != nil {
				return err
			}
			asked, err := flavor.Parse(args[0]) // unknown flags are told with what there is
			if err != nil {
				return err
			}
			if args[0] != "" {
				q.Asked = &asked
			}
			c, err := readCandidates(d, args[1:])
			if err != nil {
				return err
			}
			if q.Rule != flavor.Loosely {
				if err := d.Check(asked, c.flavors...); err != nil {
					return err
				}
			}
			out := flavorMatched{Schema: 1, Asked: asked.String()}
			for i := range q.System {
				q.System[i] = d.Expand(q.System[i])
				out.System = append(out.System, q.System[i].String())
			}
			hits, closest := flavor.Select(q, c.flavors, c.versions)
			if len(hits) == 0 {
				return noFlavor(asked, closest)
			}
			for _, h := range hits {
				out.Matches = append(out.Matches, flavorHitJSON{c.names[h.Version], c.flavors[h.Flavor].String()})
			}
			if f.json {
				return printJSON(cmd, out)
			}
			for _, m := range out.Matches {
				text := m.Flavor
				if m.Version != "" {
					text = m.Version + "[" + m.Flavor + "]"
				}
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), text); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringArrayVar(&systems, "system", nil, "the system's `flavor`, instead of this machine's; of several the first that matches counts")
	cmd.Flags().StringArrayVar(&prefer, "prefer", nil, "a `flavor` that is preferred over newer versions; best first")
	cmd.Flags().StringVar(&rule, "rule", "strongly", "strongly, loosely, installed or exactly")
	cmd.Flags().BoolVar(&all, "all", false, "print every flavor that matches, each in its newest version")
	_ = cmd.RegisterFlagCompletionFunc("rule", cobra.FixedCompletions([]string{"strongly", "loosely", "installed", "exactly"}, cobra.ShellCompDirectiveNoFileComp)) // fails for no such flag only
	return cmd
}

// candidates are flavors by version.
type candidates struct {
	flavors  []flavor.Flavor
	names    []string // of versions
	versions [][]int
}

func readCandidates(d flavor.Declared, args []string) (candidates, error) {
	var c candidates
	for i, arg := range args {
		name, text := "", arg
		if before, rest, found := strings.Cut(arg, "["); found {
			inner, closed := strings.CutSuffix(rest, "]")
			if !closed {
				return c, fault.Newf(fault.Usage, "%q does not end with its flavor", arg).WithHint("write 2[vmware is: x86]")
			}
			name, text = before, inner
		}
		g, err := parseFlavor(d, text)
		if err != nil {
			return c, err
		}
		c.flavors = append(c.flavors, g)
		v := slices.Index(c.names, name)
		if v < 0 {
			v = len(c.names)
			c.names, c.versions = append(c.names, name), append(c.versions, nil)
		}
		c.versions[v] = append(c.versions[v], i)
	}
	return c, nil
}

// noFlavor is the error when nothing matches.
func noFlavor(asked flavor.Flavor, closest []flavor.Flavor) error {
	e := fault.Newf(fault.NotFound, "no flavor matches %q", asked)
	if len(closest) == 0 {
		return e
	}
	var texts []string
	for _, f := range closest {
		texts = append(texts, "["+f.String()+"]")
	}
	return e.WithHint("closest: %s", strings.Join(texts, ", "))
}
