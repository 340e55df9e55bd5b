package dib

import (
	"fmt"
	"strings"
)

// Help is the help text of one of the commands.
func Help(command string) string {
	var b strings.Builder
	switch command {
	case FilesCommand:
		fmt.Fprintf(&b, `%s builds the images that files list. Each file is YAML, a list of
maps; entries with the same imagename, or with none behind one that has it, are of
one image.

Usage:
  %s FILE... [OPTION]...

Options:
`, command, command)
		describe(&b, fileOptions(&Batch{}))
		b.WriteString("\nKeys of an image, and the option of disk-image-create that each stands for:\n")
		for _, k := range keys {
			about := k.kind
			if k.values != nil {
				about = "of " + strings.Join(k.values, ", ")
			}
			switch {
			case k.option != "":
				about = k.option + ": " + about
			case k.name == "elements":
				about = "the elements: " + about
			case k.name == "environment":
				about = "variables for the build: " + about
			case k.name == "ramdisk":
				about = RamdiskCommand + " instead of " + ImageCommand + ": " + about
			}
			row(&b, k.name, about)
		}
		return b.String()
	case RamdiskCommand:
		b.WriteString("ramdisk-image-create makes a kernel and a ramdisk from elements.\n")
	default:
		b.WriteString("disk-image-create builds images of disks and root file systems from elements.\n")
	}
	fmt.Fprintf(&b, "At least one element has to be a distribution, such as debian-minimal.\n\nUsage:\n  %s [OPTION]... ELEMENT...\n\nOptions:\n", command)
	describe(&b, imageOptions())
	fmt.Fprintf(&b, "\nTypes for -t:\n%s\n", wrapped(strings.Join(types(), ", "), "  "))
	b.WriteString("\nVariables that say more (an option wins over its variable):\n")
	for _, v := range [][2]string{
		{"ELEMENTS_PATH", "directories of elements with colons between; the first that has an element wins"},
		{"DIB_*", "what elements ask for; all of them pass to scripts"},
		{"DIB_CHECKSUM", "1, md5, sha256 or md5,sha256"},
		{"DIB_BLOCK_DEVICE_CONFIG", "the layout of the disk: YAML, or file://PATH of a file that holds it"},
		{"DIB_BLOCK_SIZE", "bytes of the disk's sectors"},
		{"DIB_NO_TIMESTAMP", "1: no time before each line of output"},
		{"DIB_QUIET", "1: nothing of what scripts say on the terminal; 0: even with --logfile"},
		{"DIB_SHOW_IMAGE_USAGE", "1: say what in the image is large; with DIB_SHOW_IMAGE_USAGE_FULL=1 all of it"},
		{"FS_TYPE", "type of the root file system (ext4)"},
		{"OVERWRITE_OLD_IMAGE", "1: replace an old image; else it is renamed by the time"},
		{"TMPDIR, TMP_DIR", "where scripts find their temporary directories"},
		{"break", "before-PHASE, after-PHASE or after-error, with commas between: open a shell there"},
		{"break_cmd", "what to start there (bash)"},
		{"break_outside_target", "1: start it outside of the image's tree"},
	} {
		row(&b, v[0], v[1])
	}
	b.WriteString("\nOther variables do not reach scripts unless --env names them. Proxies do.\n")
	return b.String()
}

func describe(b *strings.Builder, options []option) {
	for _, o := range options {
		name := ""
		if o.short != 0 {
			name = "-" + string(o.short)
		}
		if o.long != "" {
			if name != "" {
				name += ", "
			}
			name += "--" + o.long
		}
		if o.value != "" {
			name += " " + o.value
		}
		row(b, name, o.about)
	}
}

const (
	column = 28 // where the second column of a help text begins
	width  = 84
)

func row(b *strings.Builder, name, about string) {
	text := strings.TrimLeft(wrapped(about, strings.Repeat(" ", column)), " ")
	if len([]rune(name))+4 > column {
		fmt.Fprintf(b, "  %s\n%s%s\n", name, strings.Repeat(" ", column), text)
		return
	}
	fmt.Fprintf(b, "  %-*s%s\n", column-2, name, text)
}

// wrapped is a text in lines that begin with an indentation.
func wrapped(text, indent string) string {
	var b strings.Builder
	at := 0
	for _, w := range strings.Fields(text) {
		n := len([]rune(w))
		switch {
		case at == 0:
			b.WriteString(indent)
			at = len(indent)
		case at+1+n > width:
			b.WriteString("\n" + indent)
			at = len(indent)
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(w)
		at += n
	}
	return b.String()
}
