// Command recorder stands in for the shell of an image, and for dpkg: it writes to
// /said what it is asked to do and what is there by then.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	pkg       = regexp.MustCompile(`DPKG_MAINTSCRIPT_PACKAGE=(\S+)`)
	unpacked  = regexp.MustCompile(`Package: (\S+)\n(?:.+\n)*?Status: install ok unpacked`)
	installed = "Status: install ok installed"
)

func read(path string) string {
	data, _ := os.ReadFile(path) // what is not there is empty
	return string(data)
}

// act does what a script says: "dpkg -i NAME" and "dpkg -r NAME" change dpkg's records,
// and log it as dpkg does, with the time; "append PATH WORD" makes a file longer.
func act(what, name string) {
	const status, log = "/var/lib/dpkg/status", "/var/log/dpkg.log"
	change := func(path, text string, flags int) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flags, 0o644)
		if err == nil {
			_, err = f.WriteString(text)
		}
		if err != nil {
			panic(err)
		}
	}
	if path, ok := strings.CutPrefix(what, "append"); ok {
		change(path, name+"\n", os.O_APPEND)
		return
	}
	var stanzas []string
	for _, s := range strings.Split(strings.TrimSpace(read(status)), "\n\n") {
		if !strings.HasPrefix(s, "Package: "+name+"\n") {
			stanzas = append(stanzas, s)
		}
	}
	if what == "dpkg-i" {
		stanzas = append(stanzas, "Package: "+name+"\n"+installed+"\nInstalled-Size: 3\nMaintainer: Nobody <nobody@example.org>\nArchitecture: all\nVersion: 1:2-3")
	}
	change(status, strings.Join(stanzas, "\n\n")+"\n", os.O_TRUNC)
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		panic(err)
	}
	change(log, time.Now().String()+" "+what+" "+name+"\n", os.O_APPEND)
}

func main() {
	said, err := os.OpenFile("/said", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	say := func(format string, args ...any) { fmt.Fprintf(said, format+"\n", args...) }
	if len(os.Args) == 2 { // as the interpreter of a script
		text := read(os.Args[1])
		say("%s\n", text[strings.IndexByte(text, '\n')+1:])
		for line := range strings.Lines(text) {
			if words := strings.Fields(line); len(words) == 3 && (words[0] == "dpkg" || words[0] == "append") {
				act(words[0]+words[1], words[2])
			}
		}
		if strings.Contains(text, "fail") {
			fmt.Println("it fails")
			os.Exit(3)
		}
		return
	}
	text := os.Args[2]
	switch {
	case strings.Contains(text, "dpkg --force"):
		const status = "/var/lib/dpkg/status"
		var names []string
		for _, m := range unpacked.FindAllStringSubmatch(read(status), -1) {
			names = append(names, m[1])
		}
		say("configure %s", strings.Join(names, " "))
		for _, line := range strings.Split(strings.TrimSpace(read("/var/lib/dpkg/triggers/Unincorp")), "\n") {
			if line != "" {
				say("  triggered: %s", line)
			}
		}
		if fail := read("/fail"); fail != "" {
			fmt.Print(fail)
			os.Exit(1)
		}
		if err := os.WriteFile(status, []byte(strings.ReplaceAll(read(status), "Status: install ok unpacked", installed)), 0o644); err != nil {
			panic(err)
		}
		if s := read("/usr/sbin/update-initramfs"); s != "" {
			say("  update-initramfs is %q", s)
		}
		if s := read("/usr/sbin/policy-rc.d"); !strings.Contains(s, "exit 101") {
			say("  services may start: policy-rc.d is %q", s)
		}
	case strings.HasPrefix(text, "cd /\n"):
		for _, m := range pkg.FindAllStringSubmatch(text, -1) {
			there, _ := filepath.Glob("/usr/share/" + m[1])
			members, _ := filepath.Glob("/var/lib/dpkg/ci." + m[1] + "/*")
			for i := range members {
				members[i] = filepath.Base(members[i])
			}
			slices.Sort(members)
			say("preinst of %s with %s, files there: %v", m[1], strings.Join(members, " "), len(there) > 0)
		}
	case strings.Contains(text, "update-initramfs"):
		say("initramfs by %q", read("/usr/sbin/update-initramfs"))
	default:
		say("%s", text)
	}
}
