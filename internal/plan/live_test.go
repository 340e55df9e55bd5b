package plan

import (
	"regexp"
	"slices"
	"testing"

	"ingot/internal/definition"
	"ingot/internal/fat"
	"ingot/internal/gpt"
)

func TestLiveLabel(t *testing.T) {
	id := gpt.GUID{0xAB, 1, 2, 0xCD, 9}
	for name, want := range map[string]string{"web": "WEB_AB0102CD", "a-long-name.1": "A_LONG__AB0102CD", "": "_AB0102CD"} {
		if got := liveLabel(name, id); got != want || !regexp.MustCompile(`^[A-Z0-9_]{1,16}$`).MatchString(got) {
			t.Errorf("%q has the label %q, want %q", name, got, want)
		}
	}
}

// Whatever loaders there are, their volume holds them and little more.
func TestLiveESP(t *testing.T) {
	for _, sizes := range [][]int{{0}, {1}, {1 << 20}, {3 << 20, 100}, {5 << 20, 5 << 20, 5 << 20}, {31 << 20}, {33 << 20}, {90 << 20}} {
		var files []fat.File
		var sum int64
		for i, n := range sizes {
			files = append(files, fat.File{Path: "EFI/BOOT/" + string(rune('A'+i)), Data: make([]byte, n)})
			sum += int64(n)
		}
		v, err := liveESP(files, gpt.GUID{1}, 1_700_000_000)
		if err != nil {
			t.Errorf("%v: %v", sizes, err)
		} else if v.Size() > max(4<<20, sum+sum/32+2<<20) {
			t.Errorf("%v: a volume of %d bytes", sizes, v.Size())
		}
	}
}

func TestLiveFirmware(t *testing.T) {
	for _, test := range []struct{ in, want []string }{
		{[]string{"bios", "uefi"}, []string{"bios", "uefi"}},
		{[]string{"uefi"}, []string{"uefi"}},
		{[]string{"direct"}, nil}, // any
	} {
		def := &definition.Definition{Boot: definition.Boot{Firmware: test.in}}
		if got := liveFirmware(def); !slices.Equal(got, test.want) || !slices.Equal(def.Boot.Firmware, test.in) {
			t.Errorf("firmware %v is %v on a medium, want %v", test.in, got, test.want)
		}
	}
}
