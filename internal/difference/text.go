package difference

import (
	"fmt"
	"io"
	"strings"

	"ingot/internal/advisory"
	"ingot/internal/repository"
	"ingot/internal/ui"
)

// view is a report in the words that text, Markdown and HTML share.
type view struct {
	Title    string
	Summary  []string
	Sections []section
}

type section struct {
	Title string
	Rows  []row
	More  int // rows that are left out
}

type row struct {
	Sign   string // "+", "-" or "~"
	Name   string
	What   string
	Detail []string // lines below it
}

// mostFiles is how many files people are shown; JSON has all.
const mostFiles = 60

func (r *Report) view() view {
	v := view{Title: r.Old + " → " + r.New}
	count := func(n int, what string) {
		if n == 1 {
			v.Summary = append(v.Summary, "1 "+what)
		} else {
			v.Summary = append(v.Summary, fmt.Sprintf("%d %ss", n, what))
		}
	}
	count(len(r.Packages), "package")
	count(len(r.Files), "file")
	if x := r.Vulnerabilities; x != nil {
		v.Summary = append(v.Summary, fmt.Sprintf("vulnerabilities: %d fixed, %d introduced, %d remaining", len(x.Fixed), len(x.Introduced), len(x.Remaining)))
		v.add("Vulnerabilities fixed", vulnerable("-", x.Fixed))
		v.add("Vulnerabilities introduced", vulnerable("+", x.Introduced))
		v.add("Vulnerabilities remaining", vulnerable(" ", x.Remaining))
	}
	var rows []row
	for _, c := range r.Changes {
		rows = append(rows, row{Sign: signOf(c.Action), Name: c.String()})
	}
	v.add("Lock", rows)
	rows = nil
	for _, p := range r.Packages {
		x := row{Sign: signOf(p.Action), Name: p.Name, What: strings.TrimSpace(arrow(p.Old, p.New))}
		notes := []string{growth(p.NewSize - p.OldSize)}
		if p.Note != "" {
			notes = append(notes, p.Note)
		}
		if len(p.Sets) > 0 {
			notes = append(notes, strings.Join(p.Sets, ", "))
		}
		x.What += " (" + strings.Join(notes, "; ") + ")"
		rows = append(rows, x)
	}
	v.add("Packages", rows)
	rows = nil
	for _, s := range r.Sources {
		x := row{Sign: "~", Name: s.Name, What: arrow(s.Old, s.New)}
		switch {
		case s.Unknown:
			x.What += ", no changelog"
		case s.Undone:
			x.What += ", undone:"
		}
		if len(s.CVEs) > 0 {
			x.What += ", " + strings.Join(s.CVEs, " ")
		}
		for _, e := range s.Entries {
			x.Detail = append(x.Detail, e.Version)
			for line := range strings.Lines(e.Text) {
				x.Detail = append(x.Detail, "  "+strings.TrimRight(line, "\n"))
			}
		}
		rows = append(rows, x)
	}
	v.add("Changelogs", rows)
	rows = nil
	for _, t := range r.Trees {
		rows = append(rows, row{Sign: signOf(t.Action), Name: t.Name, What: fmt.Sprintf("%s: %d → %d paths, %s → %s", t.Action, t.OldFiles, t.NewFiles, ui.Size(t.OldBytes), ui.Size(t.NewBytes))})
	}
	v.add("Images", rows)
	var config, other []row
	for _, f := range r.Files {
		x := row{Sign: signOf(f.Action), Name: f.Path, What: repository.OwnerName(f.Owner)}
		if d := f.NewSize - f.OldSize; d != 0 {
			x.What += ", " + growth(d)
		}
		if len(f.Sets) > 0 {
			x.What += "; " + strings.Join(f.Sets, ", ")
		}
		if f.Config {
			config = append(config, x)
		} else {
			other = append(other, x)
		}
	}
	v.add("Configuration files", config)
	v.add("Files", other)
	rows = nil
	for _, s := range r.Sizes {
		rows = append(rows, row{Sign: "~", Name: repository.OwnerName(s.Owner), What: fmt.Sprintf("%s → %s (%s)%s", ui.Size(s.Old), ui.Size(s.New), growth(s.New-s.Old), in(r, s.Set))})
	}
	v.add("Sizes", rows)
	return v
}

// in names a set where there are several.
func in(r *Report, set string) string {
	if len(r.Trees) < 2 {
		return ""
	}
	return " in " + set
}

func (v *view) add(title string, rows []row) {
	s := section{Title: title, Rows: rows}
	if title == "Files" && len(rows) > mostFiles {
		s.Rows, s.More = rows[:mostFiles], len(rows)-mostFiles
	}
	if len(rows) > 0 {
		v.Sections = append(v.Sections, s)
	}
}

func vulnerable(sign string, list []advisory.Vulnerability) []row {
	var rows []row
	for _, x := range list {
		r := row{Sign: sign, Name: x.ID, What: x.Source}
		if x.Fixed != "" {
			r.What += ", fixed in " + x.Fixed
		}
		if x.Urgency != "" {
			r.What += ", " + x.Urgency
		}
		if x.Summary != "" {
			r.Detail = []string{firstOf(x.Summary)}
		}
		rows = append(rows, r)
	}
	return rows
}

// firstOf is the beginning of a long text.
func firstOf(text string) string {
	const most = 160
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

func signOf(action string) string {
	switch action {
	case "added":
		return "+"
	case "removed":
		return "-"
	case "same":
		return " "
	}
	return "~"
}

func arrow(old, new string) string {
	switch {
	case old == "":
		return new
	case new == "":
		return old
	}
	return old + " → " + new
}

func growth(n int64) string {
	if n < 0 {
		return "−" + ui.Size(-n)
	}
	return "+" + ui.Size(n)
}

// Text writes the report for a terminal.
func (r *Report) Text(w io.Writer) error {
	v := r.view()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", v.Title, strings.Join(v.Summary, ", "))
	for _, s := range v.Sections {
		fmt.Fprintf(&b, "\n%s\n", s.Title)
		for _, x := range s.Rows {
			fmt.Fprintf(&b, "  %s\n", strings.TrimRight(x.Sign+" "+x.Name+"  "+x.What, " "))
			for _, d := range x.Detail {
				fmt.Fprintf(&b, "      %s\n", printable(d))
			}
		}
		if s.More > 0 {
			fmt.Fprintf(&b, "    and %d more: --json has all\n", s.More)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable leaves out of a foreign text what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '�'
		}
		return r
	}, text)
}

// Markdown writes the report for a change request or a release note.
func (r *Report) Markdown(w io.Writer) error {
	v := r.view()
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", escape(v.Title), escape(strings.Join(v.Summary, ", ")))
	for _, s := range v.Sections {
		fmt.Fprintf(&b, "\n## %s\n\n", s.Title)
		for _, x := range s.Rows {
			fmt.Fprintf(&b, "- %s`%s` %s\n", words[x.Sign], strings.ReplaceAll(printable(x.Name), "`", "'"), escape(x.What))
			if len(x.Detail) > 0 {
				b.WriteString("\n  ```text\n")
				for _, d := range x.Detail {
					b.WriteString("  " + strings.ReplaceAll(printable(d), "```", "'''") + "\n")
				}
				b.WriteString("  ```\n\n")
			}
		}
		if s.More > 0 {
			fmt.Fprintf(&b, "- and %d more\n", s.More)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// words stand for signs in Markdown, where signs would begin lists.
var words = map[string]string{"+": "**new** ", "-": "**gone** ", "~": ""}

// escape has a foreign text say in Markdown what it says.
func escape(text string) string {
	var b strings.Builder
	for _, r := range printable(text) {
		if strings.ContainsRune("\\`*_{}[]<>#|!&", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
