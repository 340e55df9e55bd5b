package blockdevice

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/gpt"
	"ingot/internal/mbr"
)

// A gptName is a type of GPT partitions with its names.
type gptName struct{ code, name, guid string }

// gptTypes are the types of GPT partitions: by sgdisk's code of four digits, by a
// word of ours, or both. The GUIDs are the UEFI specification's, GRUB's, and those of
// the UAPI group's Discoverable Partitions Specification.
var gptTypes = []gptName{
	{"8300", "linux", "0fc63daf-8483-4772-8e79-3d69d8477de4"},
	{"8200", "swap", "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"},
	{"8302", "home", "933ac7e1-2eb4-4f13-b844-0e14e2aef915"},
	{"8303", "", "44479540-f297-41b2-9af7-d131d5f0458a"},
	{"8304", "", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"},
	{"8305", "", "b921b045-1df0-41c3-af44-4c6f280d3fae"},
	{"8306", "srv", "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"},
	{"8307", "", "69dad710-2ce4-4e3c-b16c-21a1d49abed3"},
	{"8309", "luks", "ca7d7ccb-63ed-4c53-861c-1742536059cc"},
	{"8310", "var", "4d21b016-b534-45c2-a9fb-5c16e091fd2d"},
	{"8311", "", "7ec6f557-3bc5-4aca-b293-16ef5df639d1"},
	{"8e00", "lvm", "e6d6d379-f507-44c2-a23c-238f2a3df928"},
	{"ea00", "xbootldr", "bc13c2ff-59e6-4262-a352-b275fd6f7172"},
	{"ef00", "esp", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"},
	{"ef02", "bios", "21686148-6449-6e6f-744e-656564454649"},
	{"4100", "prep", "9e1a2d38-c612-4316-aa26-8b49521e5a8b"},
	{"0700", "data", "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"},
	{"fd00", "raid", "a19d880f-05fc-4d3b-a006-743f0f84911e"},
}

// rootTypes are the types of root partitions, by Debian's architectures.
var rootTypes = map[string]string{
	"amd64":   "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
	"arm64":   "b921b045-1df0-41c3-af44-4c6f280d3fae",
	"armhf":   "69dad710-2ce4-4e3c-b16c-21a1d49abed3",
	"i386":    "44479540-f297-41b2-9af7-d131d5f0458a",
	"ppc64el": "c31c45e6-3f39-412e-80fb-4809c4980599",
	"riscv64": "72ec70a6-cf74-40e6-bd49-4bda08e8f224",
	"s390x":   "5eead9a9-fe09-4a1e-a1d7-520d00531306",
}

// mbrTypes are the words of ours that MBR can say.
var mbrTypes = map[string]byte{
	"linux": 0x83, "root": 0x83, "home": 0x83, "srv": 0x83, "var": 0x83,
	"swap": 0x82, "lvm": 0x8E, "esp": 0xEF, "prep": 0x41, "raid": 0xFD, "luks": 0xE8, "xbootldr": 0xEA, "data": 0x07,
}

// rootlike are types of partitions that differ by architecture, by words of ours.
var rootlike = map[string]map[string]string{
	"root": rootTypes,
	"root-verity": {
		"amd64": "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5",
		"arm64": "df3300ce-d69f-4c92-978c-9bfb0f38d820",
	},
	"usr": {
		"amd64": "8484680c-9521-48c6-9c11-b0720656f69e",
		"arm64": "b0e01050-ee5f-4390-949a-9101b17104e9",
	},
	"usr-verity": {
		"amd64": "77ff5f63-e7b6-4633-acf4-1565b864c0e6",
		"arm64": "6e11a4e7-fbca-4ded-b9e9-e1a512bb664e",
	},
}

// typeNames are all words of ours, sorted.
func typeNames(l Label) []string {
	out := []string{"root"}
	if l == GPT {
		out = slices.Collect(maps.Keys(rootlike))
	}
	for _, t := range gptTypes {
		if t.name != "" && (l == GPT || mbrTypes[t.name] != 0) {
			out = append(out, t.name)
		}
	}
	slices.Sort(out)
	return out
}

var (
	codePattern = regexp.MustCompile(`^(?:0[xX])?([0-9A-Fa-f]{4})$`)
	bytePattern = regexp.MustCompile(`^(?:0[xX])?([0-9A-Fa-f]{1,16})$`)
)

// gptType reads the type of a GPT partition: a word, sgdisk's code, or a GUID.
func gptType(s, arch string) (g gpt.GUID, why string) {
	if of := rootlike[s]; of != nil {
		text, ok := of[arch]
		if !ok {
			text = gptTypes[0].guid
		}
		g, _ = gpt.ParseGUID(text) // a test holds that all of them are GUIDs
		return g, ""
	}
	code := ""
	if m := codePattern.FindStringSubmatch(s); m != nil {
		code = m[1]
	}
	for _, t := range gptTypes {
		if s == t.name || code != "" && strings.EqualFold(code, t.code) {
			g, _ = gpt.ParseGUID(t.guid)
			return g, ""
		}
	}
	if g, err := gpt.ParseGUID(s); err == nil {
		if g == (gpt.GUID{}) {
			return g, "means that there is no partition"
		}
		return g, ""
	}
	if code != "" {
		return g, "is a code that ingot does not know; write the type's GUID"
	}
	return g, "is not a type of a GPT partition: want a code of sgdisk's such as 8300, a GUID, or one of " + strings.Join(typeNames(GPT), ", ")
}

// mbrType reads the type of an MBR partition: a word, or a hexadecimal number.
func mbrType(s string) (b byte, why string) {
	if b, ok := mbrTypes[s]; ok {
		return b, ""
	}
	m := bytePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, "is not a type of an MBR partition: want a hexadecimal number such as 0x83, or one of " + strings.Join(typeNames(MBR), ", ")
	}
	n, err := strconv.ParseUint(m[1], 16, 64)
	switch {
	case err != nil || n > 0xFF:
		return 0, "does not fit in MBR's one byte: want 0x01 to 0xff"
	case n == 0:
		return 0, "means that there is no partition"
	case mbr.IsExtended(byte(n)):
		return 0, "is an extended partition's, which comes by itself where partitions without the flag primary are"
	case n == 0xEE:
		return 0, "says that the table is GPT"
	}
	return byte(n), ""
}

// Is says whether the partition is of the type that a word of ours names, however
// its type was written: p.Is("esp").
func (p *Partition) Is(word string) bool {
	switch p.Table.Label {
	case GPT:
		return slices.ContainsFunc(gptTypes, func(t gptName) bool { return t.name == word && t.guid == p.Type.GPT.String() })
	default:
		return mbrTypes[word] != 0 && mbrTypes[word] == p.Type.MBR
	}
}
