package imagestore

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/pyconf"
	"ingot/internal/spell"
	"ingot/internal/template"
)

func nearest(word string, among []string) string { return spell.Nearest(word, among) }

// computedByDefault are options that ConVirt leaves as their files compute them.
var computedByDefault = []string{"arch", "arch_libdir", "device_model"}

// notInputs are keys that say something of the files themselves.
var notInputs = []string{"computed_options", "customizable_options"}

// perDisk are the ends of keys that say something of one disk, and what they may say.
var perDisk = map[string][]string{
	"_disk_type":        {"", "VBD", "file", "tap:aio", "LVM", "phy", "qcow", "qcow2", "tap:qcow", "vmdk"},
	"_disk_fs_type":     {"", "ext2", "ext3", "swap"},
	"_image_src_type":   {"", "disk_image", "disk_content"},
	"_image_src_format": {"", "gzip", "tar", "tar_gzip", "tar_bz2", "tar_bzip", "bzip", "zip", "dir", "dir-gzipped-chunks", "raw"},
}

// atLeastOne are whole numbers that are no amount below 1.
var atLeastOne = []string{"memory", "maxmem", "vcpus", "provision_timeout"}

// Template is what the image asks for: the keys of both of its files, each with the type
// of what it says now.
func (im *Image) Template() *template.Template {
	t := &template.Template{Name: im.Name, Description: im.Description}
	for _, f := range []*pyconf.File{im.conf, im.vm} {
		computed := append(f.Texts("computed_options"), computedByDefault...)
		limited := f.Get("customizable_options") != nil
		may := f.Texts("customizable_options")
		for _, v := range f.Vars {
			if slices.Contains(notInputs, v.Name) {
				continue
			}
			if _, twice := t.Input(v.Name); twice {
				continue
			}
			in := inputOf(v)
			if !v.Literal || slices.Contains(computed, v.Name) {
				in.Source = v.Source
				if in.Source == "" {
					in.Source = "the file"
				}
			}
			in.ReadOnly = in.ReadOnly || limited && !slices.Contains(may, v.Name) || v.Name == "name"
			t.Inputs = append(t.Inputs, in)
		}
	}
	return t
}

// inputOf derives an input from what a variable is.
func inputOf(v pyconf.Var) template.Input {
	in := template.Input{Name: v.Name, Default: v.Value}
	one := int64(1)
	switch value := v.Value.(type) {
	case string:
		in.Kind = template.String
		if strings.Contains(v.Name, "password") {
			in.Kind = template.Password
			in.Optional = true
			if value == "" {
				in.Default = nil
			}
		}
		if value == "yes" || value == "no" {
			in.Kind, in.Values = template.Boolean, []string{"yes", "no"}
		}
		for end, values := range perDisk {
			if strings.HasSuffix(v.Name, end) && slices.Contains(values, value) {
				in.Kind, in.Values = template.Enum, values
			}
		}
	case int64:
		in.Kind = template.Integer
		if value >= 1 && (slices.Contains(atLeastOne, v.Name) || strings.HasSuffix(v.Name, "_disk_size")) {
			in.Min = &one
		}
	case float64:
		in.Kind = template.Number
	case bool:
		in.Kind = template.Boolean
	case []any:
		in.Kind = template.List
		for _, x := range value {
			if _, ok := x.(string); !ok {
				in.Kind, in.ReadOnly = template.Fixed, true
			}
		}
	default:
		in.Kind, in.ReadOnly = template.Fixed, true
	}
	return in
}

// Inputs says of a store's image in a line how many inputs there are and how many may be
// changed.
func (im *Image) Inputs() string {
	t := im.Template()
	open := 0
	for _, in := range t.Inputs {
		if !in.ReadOnly && in.Source == "" {
			open++
		}
	}
	return fmt.Sprintf("%d of %d", open, len(t.Inputs))
}
