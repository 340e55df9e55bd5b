package main

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ingot/internal/content"
	"ingot/internal/difference"
	"ingot/internal/lock"
)

// The reference names every key that a verb prints, and no other.
func TestJSONReference(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/json.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(s, "\n")
		sections[name] = body
	}
	for name, v := range map[string]any{
		"check": checkReport{}, "lock, diff": lock.Comparison{}, "plan": planJSON{}, "build": builtJSON{}, "boot": bootResult{}, "why": whyJSON{}, "why PACKAGE": whyPackageJSON{}, "version": versionInfo{},
		"publish": publishJSON{}, "mirror": mirrorJSON{}, "promote": promoteJSON{}, "prune": pruneJSON{}, "server verify": verifyJSON{}, "server token list": tokensJSON{},
		"host status, host check": statusJSON{}, "host health": healthJSON{}, "host update --check": updateCheckJSON{}, "host etc": content.Report{}, "host diff": diffHostJSON{}, "host kargs": argumentsJSON{},
		"host init, host add, host derive, host update, host rollback, host kargs --add, host reset, host confirm, host gc, host pin, host unpin, host remove, host repair": changedJSON{},
		"list": offerJSON{}, "pull": pullJSON{}, "verify": knownJSON{},
		"machine outdated": outdatedJSON{}, "template list": templatesJSON{}, "template show": templateJSON{}, "template check": templateCheckJSON{},
		"element show": shownJSON{}, "element lint": lintJSON{},
		"disk-image-create, ramdisk-image-create, diskimage-builder": dibJSON{},
		"group commit, group promote, group clone":                   committedJSON{}, "diff of two versions": difference.Report{}, "group list": groupListJSON{}, "group find": groupFoundJSON{}, "group show": groupShownJSON{},
		"group files": groupFilesJSON{}, "group checkout": groupCheckoutJSON{}, "group rm": groupRemovedJSON{}, "group gc": groupCollectedJSON{}, "group delta, group apply": deltaJSON{},
		"flavor parse": flavorParsed{}, "flavor merge": flavorMerged{}, "flavor score": flavorScored{}, "flavor match": flavorMatched{},
	} {
		body := sections[name]
		for _, key := range jsonKeys(reflect.TypeOf(v), nil) {
			if key != "schema" && !strings.Contains(body, "`"+key) {
				// Tests are described where commands are.
				if name != "build" || !strings.Contains(sections["boot"], "`"+key) {
					t.Errorf("%s: %q is not in the reference", name, key)
				}
			}
		}
		for line := range strings.Lines(body) {
			if first, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |"); ok && strings.HasPrefix(line, "| `") {
				for key := range strings.SplitSeq(first, "`, `") {
					key = strings.TrimSuffix(key, "[]")
					if i := strings.LastIndexByte(key, '.'); i >= 0 {
						key = key[i+1:]
					}
					if !slices.Contains(jsonKeys(reflect.TypeOf(v), nil), key) {
						t.Errorf("%s: no key %q is printed", name, key)
					}
				}
			}
		}
	}
}

// jsonKeys are the keys of a struct and of all structs in it.
func jsonKeys(t reflect.Type, into []string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() == "time" {
		return into
	}
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if t.Field(i).Anonymous && key == "" {
			into = jsonKeys(t.Field(i).Type, into)
		}
		if key != "" && key != "-" {
			into = jsonKeys(t.Field(i).Type, append(into, key))
		}
	}
	return into
}
