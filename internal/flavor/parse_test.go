package flavor

import (
	"strings"
	"testing"

	"ingot/internal/fault"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, canonical, frozen string }{
		{"", "", ""},
		{"ssl, krb,~!emacs", "~!emacs,krb,ssl", "5#use:~!emacs:krb:ssl"},
		{"use:    gtk  ,ssl   is:    x86(sse,mmx)", "gtk,ssl is: x86(mmx,sse)", "1#x86:mmx:sse|5#use:gtk:ssl"},
		{"is: x86 x86_64 ppc(cmov)", "is: ppc(cmov) x86 x86_64", "1#ppc:cmov|1#x86|1#x86_64"},
		{"a,b is: x86 target: x86_64", "a,b is: x86 target: x86_64", "1#x86|5#use:a:b|15#x86_64"},
		{"foo.bar,ssl is: x86", "foo.bar,ssl is: x86", "1#x86|5#use:foo.bar:ssl"},
		{"x86", "x86", "5#use:x86"},
		{"foo,!foo", "!foo", "5#use:!foo"},
		{"foo,~foo", "~foo", "5#use:~foo"},
		{"is: x86(a) x86(~a,b)", "is: x86(a,b)", "1#x86:a:b"},
		{"is,target,use is: is", "is,target,use is: is", "1#is|5#use:is:target:use"},
		{"use: is: target:", "", ""},
		{"target:x86", "target: x86", "15#x86"},
		{"-,_,0", "-,0,_", "5#use:-:0:_"},
	} {
		f, err := Parse(c.in)
		if err != nil || f.String() != c.canonical || f.Freeze() != c.frozen {
			t.Errorf("%q: %q, %q, %v; want %q, %q", c.in, f, f.Freeze(), err, c.canonical, c.frozen)
		}
	}
}

// What is refused says where and why, and what to write where that is known.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ in, want, hint string }{
		{"!~foo", `byte 1: "!~" in front of a flag`, "~! (rather not)"},
		{"!!foo", `byte 1: "!!" in front of a flag`, "~! (rather not)"},
		{"~~foo", `byte 1: "~~" in front of a flag`, "~! (rather not)"},
		{"is: x86(!~sse)", `byte 9: "!~" in front of a flag`, "~! (rather not)"},
		{"foo bar", "byte 5: a flag without a comma", "commas"},
		{"foo,", "a flag is missing behind the comma", ""},
		{"foo,,bar", "byte 5: a comma where a flag should be", ""},
		{"~ foo", "a space between", "write ~foo"},
		{"~", "a flag's name is missing", ""},
		{"a.", "a flag's name is missing behind \"a.\"", "kernel.smp"},
		{"a , b , c", "a space in front of a comma", "write b,"},
		{"is:x86,x86_64", "a comma between architectures", "is: x86 x86_64"},
		{"is: x86 , x86_64", "a comma between architectures", "is: x86 x86_64"},
		{"is: x86()", "a closing parenthesis", "no parentheses"},
		{"is: x86( sse )", "a space in front of the closing parenthesis of x86", "x86(sse2)"},
		{"is: x86 (sse)", "parentheses that belong to no architecture", "is: x86(sse2)"},
		{"is: x86(sse", "not closed", "x86(sse2)"},
		{"is: x86(sse(", "parentheses", ""},
		{"is: x86 ~ssl", "a flag among architectures", "before is:"},
		{"is: x86(a) x86(!a)", "a and !a contradict each other", ""},
		{"ssl(x)", "parentheses behind a flag", "is:"},
		{"foo=1", "a flag has no value", "!foo"},
		{"A.B.C", "a point too many", "kernel.smp"},
		{"is: a.b", "a point too many", ""},
		{"foo is: x86 is: x86_64", `"is:" for a second time`, "one is:"},
		{"target: x86 is: x86_64", `"is:" for a second time or out of place`, "one is:"},
		{"ssl use: foo", `"use:" for a second time`, ""},
		{"sslis: x86", "a colon behind a name", "a space before"},
		{"IS: x86", "a colon behind a name", "small letters"},
		{"foo/bar", "a character that no name has: '/'", "letters"},
		{"ssl\tx", "white space other than a space", ""},
		{"is: \x00", "a character that no name has", ""},
		{strings.Repeat("x", MaxText+1), "too long", "at most"},
	} {
		f, err := Parse(c.in)
		if err == nil {
			t.Errorf("%q is %q", c.in, f)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), c.hint) || fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: %v (%s), code %d", c.in, err, fault.HintOf(err), fault.CodeOf(err))
		}
	}
}

func TestThawErrors(t *testing.T) {
	for _, in := range []string{
		"5#use", "5#use:", "5#Use:a", "5#use:b:a", "5#use:a:a", "1#x86|1#x86", "5#use:a|1#x86", "2#x", "1#", "x86", "1#x86|",
		"1#x86:!~sse", "5#use:~~a", "5#use:a.b.c", "5#use:a::b", "1#x(86", "01#x86", strings.Repeat("1", MaxText+1),
	} {
		if f, err := Thaw(in); err == nil || fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q thaws to %q, %v", in, f, err)
		}
	}
}

// All texts of a few signs and words: what Parse reads, ParseLoose reads alike, and
// the canonical and the frozen form are read back.
func TestEveryShortText(t *testing.T) {
	words := []string{"a", "~", "!", ",", " ", "is:", "(", ")", ".", "b", "target:", "use:"}
	var texts func(text string, left int)
	read := 0
	texts = func(text string, left int) {
		f, err := Parse(text)
		g, looseErr := ParseLoose(text)
		if err == nil {
			read++
			if looseErr != nil || !f.Equal(g) {
				t.Fatalf("%q: strictly %q, loosely %q, %v", text, f, g, looseErr)
			}
		}
		if looseErr == nil {
			back, err := ParseLoose(g.String())
			if err != nil || !back.Equal(g) {
				t.Fatalf("%q: %q is read back as %q, %v", text, g, back, err)
			}
			thawed, err := Thaw(g.Freeze())
			if err != nil || !thawed.Equal(g) {
				t.Fatalf("%q: %q thaws to %q, %v", text, g.Freeze(), thawed, err)
			}
		}
		if left > 0 {
			for _, w := range words {
				texts(text+w, left-1)
			}
		}
	}
	texts("", 4)
	if read < 500 {
		t.Errorf("only %d texts are flavors", read)
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range readVectors(f).Parse {
		f.Add(v.In)
	}
	f.Fuzz(func(t *testing.T, text string) {
		strict, strictErr := Parse(text)
		g, err := ParseLoose(text)
		if strictErr == nil && (err != nil || !g.Equal(strict)) {
			t.Fatalf("%q: strictly %q, loosely %q, %v", text, strict, g, err)
		}
		if strictErr != nil && fault.CodeOf(strictErr) != fault.Usage {
			t.Fatalf("%q: %v has another code", text, strictErr)
		}
		if err != nil {
			return
		}
		if back, err := ParseLoose(g.String()); err != nil || !back.Equal(g) || back.String() != g.String() {
			t.Fatalf("%q: %q is read back as %q, %v", text, g, back, err)
		}
		if thawed, err := Thaw(g.Freeze()); err != nil || !thawed.Equal(g) {
			t.Fatalf("%q: %q thaws to %q, %v", text, g.Freeze(), thawed, err)
		}
	})
}

func FuzzThaw(f *testing.F) {
	for _, v := range readVectors(f).Parse {
		f.Add(v.Freeze)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := Thaw(text)
		if err != nil {
			return
		}
		if g.Freeze() != text {
			t.Fatalf("%q thaws to %q", text, g)
		}
		if back, err := ParseLoose(g.String()); err != nil || !back.Equal(g) {
			t.Fatalf("%q: %q is read back as %q, %v", text, g, back, err)
		}
	})
}
