package vm

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestConsoleGivesPlainLines(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"lines", "one\r\ntwo\r\n", "one\ntwo"},
		{"prompt", "\r\njudge login: ", "judge login:"},
		{"colour", "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mfoo\x1b[0m.\r\n", "[  OK  ] Reached target foo."},
		{"cursor ends a line", "\x1b[2J\x1b[01;01HWelcome\x1b[5;1Herror: x\x1b[6;1H", "Welcome\nerror: x"},
		{"title", "\x1b]0;root@judge\x07prompt#", "prompt#"},
		{"title ended by ST", "\x1b]0;root\x1b\\prompt#", "prompt#"},
		{"an unfinished title ends with its line", "\x1b]0;root\nnext\n", "next"},
		{"character set", "\x1b(Bx\x1b)0y\n", "xy"},
		{"drawn over", "10%\r20%\r\n", "10%\n20%"},
		{"backspace", "abc\b\bd\n", "ad"},
		{"control characters", "a\x00b\x07c\x7f\n", "abc"},
		{"not UTF-8", "a\xffb\n", "a\ufffdb"},
		{"long", strings.Repeat("x", maxLine+1) + "\n", strings.Repeat("x", maxLine) + "\nx"},
		{"blank lines", "a\n\n\n\nb\n", "a\nb"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var whole, bytewise console
			fmt.Fprint(&whole, row.in)
			for i := range len(row.in) {
				fmt.Fprint(&bytewise, row.in[i:i+1])
			}
			if diff := cmp.Diff(row.want, strings.Join(whole.Last(10), "\n")); diff != "" {
				t.Errorf("in one piece (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(row.want, strings.Join(bytewise.Last(10), "\n")); diff != "" {
				t.Errorf("byte by byte (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConsoleKeepsLastLines(t *testing.T) {
	var c console
	for i := range keptLines + 5 {
		fmt.Fprintf(&c, "line %d\n", i)
	}
	if got := len(c.Last(keptLines * 2)); got != keptLines {
		t.Errorf("%d lines are kept", got)
	}
	if got := c.Last(1)[0]; got != fmt.Sprintf("line %d", keptLines+4) {
		t.Errorf("the last line is %q", got)
	}
}

func TestWatchSeesWhatWasAndWhatComes(t *testing.T) {
	var c console
	var got []string
	fmt.Fprint(&c, "before\npart")
	stop := c.Watch(func(line string, whole bool) { got = append(got, fmt.Sprint(line, " ", whole)) })
	fmt.Fprint(&c, "ly\nafter\n")
	stop()
	fmt.Fprint(&c, "unseen\n")
	want := "before true,part false,partly true,after true"
	if s := strings.Join(got, ","); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}

func FuzzConsole(f *testing.F) {
	f.Add([]byte("\x1b[2J\x1b[01;01HSeaBIOS\r\n\x1b]0;x\x07\x1b(Bjudge login: "), 3)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		b = b[:min(len(b), 1<<14)]
		if cut < 0 || cut > len(b) {
			cut = len(b)
		}
		var one, two console
		one.Write(b)
		two.Write(b[:cut])
		two.Write(b[cut:])
		if diff := cmp.Diff(one.Last(keptLines), two.Last(keptLines)); diff != "" {
			t.Fatalf("depends on where the bytes are cut:\n%s", diff)
		}
		for _, line := range one.Last(keptLines) {
			if !utf8.ValidString(line) || strings.ContainsAny(line, "\x1b\r\n\x00") || len(line) > 3*maxLine {
				t.Fatalf("line %q", line)
			}
		}
	})
}
