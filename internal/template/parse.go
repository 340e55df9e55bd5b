package template

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"ingot/internal/spell"
)

// maxText bounds a text that is answered, in bytes; maxItems a list.
const (
	maxText  = 64 << 10
	maxItems = 1000
)

// Parse is a value of an input's own type of what somebody said: a text, or such a value.
// Its error says what is wrong and shows no secret.
func (in Input) Parse(v any) (any, error) {
	if in.Kind == List {
		return in.parseList(v)
	}
	return in.parseOne(in.Kind, v)
}

func (in Input) parseList(v any) (any, error) {
	var items []any
	switch v := v.(type) {
	case []any:
		items = v
	case []string:
		for _, s := range v {
			items = append(items, s)
		}
	case string:
		if v != "" {
			for s := range strings.SplitSeq(v, ",") {
				items = append(items, strings.TrimSpace(s))
			}
		}
	default:
		return nil, fmt.Errorf("a list belongs here, not %s", shown(v))
	}
	if len(items) > maxItems {
		return nil, fmt.Errorf("%d values are more than %d", len(items), maxItems)
	}
	one := in
	one.Min, one.Max, one.Default = nil, nil, nil
	kind := in.Items
	if kind == "" {
		kind = String
	}
	out := []any{}
	for i, item := range items {
		p, err := one.parseOne(kind, item)
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i+1, err)
		}
		out = append(out, p)
	}
	return out, in.bounded(int64(len(out)), "values")
}

func (in Input) parseOne(kind Kind, v any) (any, error) {
	switch kind {
	case Integer, Size:
		n, err := whole(kind, v)
		if err != nil {
			return nil, err
		}
		return n, in.bounded(n, "")
	case Number:
		return number(v)
	case Boolean:
		b, err := boolean(v)
		if err != nil || len(in.Values) != 2 {
			return b, err
		}
		if b {
			return in.Values[0], nil
		}
		return in.Values[1], nil
	default:
	}
	s, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("a text belongs here, not %s", shown(v))
	}
	switch {
	case len(s) > maxText:
		return nil, fmt.Errorf("%d bytes are more than %d", len(s), maxText)
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return nil, errors.New("a text in UTF-8 without a NUL belongs here")
	}
	switch kind {
	case Enum:
		if !slices.Contains(in.Values, s) {
			text := fmt.Sprintf("%q is none of %s", s, strings.Join(in.Values, ", "))
			if n := spell.Nearest(s, in.Values); n != "" {
				text += fmt.Sprintf("; did you mean %q?", n)
			}
			return nil, errors.New(text)
		}
		return s, nil
	case Password:
		if s == "" || strings.ContainsAny(s, "\n\r") {
			return nil, errors.New("a password is one line, and not empty")
		}
	case SSHKey:
		return sshKey(s)
	case Network:
		n, err := ParseNetwork(s)
		return n.String(), err
	default:
	}
	if in.Pattern != "" {
		re, err := regexp.Compile(`\A(?:` + in.Pattern + `)\z`)
		if err != nil {
			return nil, fmt.Errorf("the template's pattern %q: %w", in.Pattern, err)
		}
		if !re.MatchString(s) {
			if kind == Password {
				return nil, fmt.Errorf("it does not match %s", in.Pattern)
			}
			return nil, fmt.Errorf("%q does not match %s", s, in.Pattern)
		}
	}
	return s, in.bounded(int64(utf8.RuneCountInString(s)), "characters")
}

// bounded holds a number to the input's bounds.
func (in Input) bounded(n int64, of string) error {
	show := func(n int64) string {
		if in.Kind == Size && of == "" {
			return SizeText(n)
		}
		if of != "" {
			return fmt.Sprintf("%d %s", n, of)
		}
		return strconv.FormatInt(n, 10)
	}
	switch {
	case in.Min != nil && n < *in.Min:
		return fmt.Errorf("%s is less than %s", show(n), show(*in.Min))
	case in.Max != nil && n > *in.Max:
		return fmt.Errorf("%s is more than %s", show(n), show(*in.Max))
	}
	return nil
}

func shown(v any) string {
	switch v.(type) {
	case []any, []string:
		return "a list"
	case map[string]any:
		return "keys and values"
	case string:
		return "a text"
	}
	return fmt.Sprint(v)
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,18})(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$`)

var units = map[string]int64{"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// SizeText is a number of bytes in the largest unit that says it exactly.
func SizeText(n int64) string {
	for _, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n != 0 && n%units[u] == 0 {
			return strconv.FormatInt(n/units[u], 10) + u
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

func whole(kind Kind, v any) (int64, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case int:
		return int64(v), nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), nil
		}
	case string:
		if kind == Integer {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%q is not a whole number", v)
			}
			return n, nil
		}
		m := sizePattern.FindStringSubmatch(v)
		if m == nil {
			return 0, fmt.Errorf("%q is not a size: write a whole number and a unit, such as 512MiB or 2GiB", v)
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || n > math.MaxInt64/units[m[2]] {
			return 0, fmt.Errorf("%q is too large", v)
		}
		return n * units[m[2]], nil
	}
	return 0, fmt.Errorf("a %s belongs here, not %s", map[Kind]string{Integer: "whole number", Size: "size"}[kind], shown(v))
}

func number(v any) (any, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f, nil
		}
		return nil, fmt.Errorf("%q is not a number", v)
	}
	return nil, fmt.Errorf("a number belongs here, not %s", shown(v))
}

func boolean(v any) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(v) {
		case "yes", "true", "on", "1", "y":
			return true, nil
		case "no", "false", "off", "0", "n":
			return false, nil
		}
		return false, fmt.Errorf("%q is neither yes nor no", v)
	}
	return false, fmt.Errorf("yes or no belongs here, not %s", shown(v))
}

// sshKey is a public key as one line of authorized_keys, without options.
func sshKey(s string) (string, error) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "\n\r") {
		return "", errors.New("a public key is one line")
	}
	if strings.Contains(s, "PRIVATE KEY") {
		return "", errors.New("this is a private key; give the public one, of the file that ends with .pub")
	}
	_, _, options, _, err := ssh.ParseAuthorizedKey([]byte(s))
	switch {
	case err != nil:
		return "", errors.New("it is not a public key of SSH, such as \"ssh-ed25519 AAAA… name\"")
	case len(options) > 0:
		return "", errors.New("a public key with options in front of it; give the key alone")
	}
	return s, nil
}

// A NetworkAnswer says how a machine is reached.
type NetworkAnswer struct {
	DHCP    bool
	Address netip.Prefix // the machine's own, with the length of its network's prefix
	Gateway netip.Addr   // not valid is none
	DNS     []netip.Addr
}

// ParseNetwork reads "dhcp", or "ADDRESS/PREFIX [gateway ADDRESS] [dns ADDRESS[,ADDRESS]…]".
func ParseNetwork(s string) (NetworkAnswer, error) {
	var n NetworkAnswer
	words := strings.Fields(s)
	if len(words) == 0 || len(s) > 500 {
		return n, errors.New(`write dhcp, or such as "192.0.2.5/24 gateway 192.0.2.1 dns 192.0.2.53"`)
	}
	if words[0] == "dhcp" {
		if n.DHCP = true; len(words) > 1 {
			return n, fmt.Errorf("behind dhcp stands nothing, and there is %q", words[1])
		}
		return n, nil
	}
	var err error
	if n.Address, err = netip.ParsePrefix(words[0]); err != nil {
		return n, fmt.Errorf("%q is neither dhcp nor an address with its prefix, such as 192.0.2.5/24", words[0])
	}
	if n.Address.Addr().IsMulticast() || n.Address.Addr().IsUnspecified() {
		return n, fmt.Errorf("%s is no machine's address", n.Address.Addr())
	}
	for i := 1; i < len(words); i += 2 {
		if i+1 == len(words) {
			return n, fmt.Errorf("nothing stands behind %q", words[i])
		}
		switch words[i] {
		case "gateway":
			if n.Gateway, err = netip.ParseAddr(words[i+1]); err != nil {
				return n, fmt.Errorf("gateway %q is not an address", words[i+1])
			}
			if !n.Address.Masked().Contains(n.Gateway) {
				return n, fmt.Errorf("gateway %s is not in the network %s", n.Gateway, n.Address.Masked())
			}
		case "dns":
			for d := range strings.SplitSeq(words[i+1], ",") {
				a, err := netip.ParseAddr(d)
				if err != nil {
					return n, fmt.Errorf("dns %q is not an address", d)
				}
				n.DNS = append(n.DNS, a)
			}
		default:
			return n, fmt.Errorf("%q is neither gateway nor dns", words[i])
		}
	}
	return n, nil
}

// String is the network as ParseNetwork reads it.
func (n NetworkAnswer) String() string {
	if n.DHCP {
		return "dhcp"
	}
	if !n.Address.IsValid() {
		return ""
	}
	s := n.Address.String()
	if n.Gateway.IsValid() {
		s += " gateway " + n.Gateway.String()
	}
	for i, d := range n.DNS {
		if i == 0 {
			s += " dns "
		} else {
			s += ","
		}
		s += d.String()
	}
	return s
}
