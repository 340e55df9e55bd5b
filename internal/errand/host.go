package errand

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

// A Host is one that ssh reaches.
type Host struct {
	User string // "" as ssh's configuration says
	Name string // a name, an address, or what ssh's configuration calls a host
	Port string // "" as ssh's configuration says
}

// Words that ssh takes for no option and a shell for nothing but a word.
var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`)
	userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@+-]*$`)
)

// ParseHost reads ssh://[USER@]HOST[:PORT].
func ParseHost(address string) (Host, error) {
	wrong := func(why string) (Host, error) {
		return Host{}, fault.Newf(fault.Usage, "--on: %s", why).WithHint("write ssh://[USER@]HOST[:PORT]; what else ssh needs to know is said in ~/.ssh/config")
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "ssh" || u.Opaque != "" {
		return wrong("it is not the address of a host") // which may hold a password, and is not repeated
	}
	if _, password := u.User.Password(); password {
		return wrong("a password has no place in an address")
	}
	h := Host{User: u.User.Username(), Name: u.Hostname(), Port: u.Port()}
	if u.User != nil && !userName.MatchString(h.User) {
		return wrong(strconv.Quote(h.User) + " is not the name of a user")
	}
	address6, _, _ := strings.Cut(h.Name, "%")
	if !hostName.MatchString(h.Name) && (net.ParseIP(address6) == nil || strings.ContainsAny(h.Name, " \t/")) {
		return wrong(strconv.Quote(h.Name) + " is not the name of a host")
	}
	if n, err := strconv.Atoi(h.Port); h.Port != "" && (err != nil || n < 1 || n > 65535) {
		return wrong(strconv.Quote(h.Port) + " is not a port")
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return wrong("there is more behind the host: where ingot keeps things there, INGOT_HOME says on that host")
	}
	return h, nil
}

// String is the host's address, as ParseHost reads it.
func (h Host) String() string {
	u := url.URL{Scheme: "ssh", Host: h.Name}
	if strings.Contains(h.Name, ":") {
		u.Host = "[" + h.Name + "]"
	}
	if h.Port != "" {
		u.Host += ":" + h.Port
	}
	if h.User != "" {
		u.User = url.User(h.User)
	}
	return u.String()
}

// login is how a person would log in there.
func (h Host) login() string {
	words := "ssh"
	if h.Port != "" {
		words += " -p " + h.Port
	}
	if h.User != "" {
		words += " -l " + h.User
	}
	return words + " " + h.Name
}
