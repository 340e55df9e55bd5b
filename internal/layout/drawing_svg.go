package layout

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// Measures of the picture, in its own units.
const (
	svgWidth  = 960
	svgMargin = 20
	svgBar    = 78 // height of a row of blocks
	svgLeast  = 74 // width of a block, whatever its size
	svgLine   = 18
)

// fills are the colours of what blocks hold, light enough for black text.
var fills = map[string]string{
	"": "#eeeeee", "boot loader": "#f6d8ae", "vfat": "#f2e394", "ext4": "#bcd9f5", "xfs": "#c3e6cb", "swap": "#e4c7ea", "group": "#d9d2e9",
}

// SVG is the drawing as a picture (SVG 1.1): a row for each disk and each volume
// group, blocks as wide as they are large, but none too narrow to read; below it
// the tree of mounts.
func (d Drawing) SVG() []byte {
	var body strings.Builder
	y := svgMargin
	text := func(x, y int, weight, s string) {
		fmt.Fprintf(&body, `<text x="%d" y="%d"%s>%s</text>`+"\n", x, y, weight, escapeXML(s))
	}
	row := func(title string, of Block, blocks []Block) {
		if of.Free != nil && *of.Free > 0 {
			blocks = append(slices.Clone(blocks), Block{Kind: "nothing", Name: "free", Size: of.Free})
		}
		text(svgMargin, y+12, ` font-weight="bold"`, title)
		y += svgLine + 2
		widths := blockWidths(blocks)
		x := svgMargin
		for i, b := range blocks {
			w := widths[i]
			details := strings.Join(strings.Fields(strings.Join([]string{b.Kind, b.Name, b.amount(), b.Type, b.Holds, b.Mount, b.UUID}, " ")), " ")
			if b.Enrolled {
				details += ", " + firstStartNote
			}
			fmt.Fprintf(&body, `<g><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="3" fill="%s" stroke="#555"/>`+"\n", escapeXML(details), x, y, w-3, svgBar, fill(b))
			for n, s := range []string{b.Name, b.amount(), b.Holds, b.Mount} {
				weight := ""
				if n == 0 {
					weight = ` font-weight="bold"`
				}
				text(x+6, y+16+n*svgLine, weight, shorten(s, (w-12)/7))
			}
			body.WriteString("</g>\n")
			x += w
		}
		y += svgBar + svgMargin
	}
	for _, disk := range d.Disks {
		kind := "disk"
		if disk.Type != "" {
			kind = strings.ToUpper(disk.Type)
		}
		blocks := disk.Blocks
		if len(blocks) == 0 {
			blocks = []Block{disk}
		}
		row(fmt.Sprintf("%s, %s, %s", disk.Name, kind, disk.amount()), disk, blocks)
	}
	for _, g := range d.Groups {
		row(fmt.Sprintf("volume group %s, %s", g.Name, g.amount()), g, g.Blocks)
	}
	d.mounts(func(format string, args ...any) {
		fmt.Fprintf(&body, `<text x="%d" y="%d" font-family="monospace" xml:space="preserve">%s</text>`+"\n", svgMargin, y+12, escapeXML(fmt.Sprintf(format, args...)))
		y += svgLine
	})
	return []byte(fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" font-family="sans-serif" font-size="12">
<title>layout%s</title>
<rect width="100%%" height="100%%" fill="white"/>
`, svgWidth, y+svgMargin, escapeXML(strings.TrimRight(" "+d.Form, " "))) + body.String() + "</svg>\n")
}

// blockWidths divides the width: a part for each block, the rest by size.
func blockWidths(blocks []Block) []int {
	total := int64(0)
	for _, b := range blocks {
		if b.Size != nil {
			total += *b.Size
		}
	}
	least := min(svgLeast, (svgWidth-2*svgMargin)/max(len(blocks), 1))
	rest := float64(svgWidth - 2*svgMargin - least*len(blocks))
	out := make([]int, len(blocks))
	for i, b := range blocks {
		share := 1 / float64(len(blocks))
		if total > 0 && allKnown(blocks) {
			share = float64(*b.Size) / float64(total)
		}
		out[i] = least + int(rest*share)
	}
	return out
}

func allKnown(blocks []Block) bool {
	for _, b := range blocks {
		if b.Size == nil {
			return false
		}
	}
	return true
}

func fill(b Block) string {
	if strings.HasPrefix(b.Holds, "volume group") {
		return fills["group"]
	}
	if c, ok := fills[b.Holds]; ok {
		return c
	}
	return fills["ext4"]
}

// shorten cuts a text to so many characters.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:max(n-1, 0)]) + "…"
}

func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
