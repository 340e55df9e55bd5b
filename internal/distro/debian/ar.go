package debian

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// errPackage is in the chain of every error about what a package file says.
var errPackage = errors.New("not a sound Debian package")

// A member is one file of an ar archive.
type member struct {
	name string
	data *io.SectionReader
}

// maxMembers bounds an ar archive: deb(5) knows three members and lets others
// follow, which dpkg ignores.
const maxMembers = 32

// readAr lists the members of an ar archive of size bytes: the common form with
// plain names that deb(5) prescribes.
func readAr(r io.ReaderAt, size int64) ([]member, error) {
	const head = 60
	buf := make([]byte, head)
	if _, err := r.ReadAt(buf[:8], 0); err != nil || string(buf[:8]) != "!<arch>\n" {
		return nil, fmt.Errorf("%w: it does not begin like an ar archive", errPackage)
	}
	var out []member
	for at := int64(8); at < size; {
		if len(out) == maxMembers {
			return nil, fmt.Errorf("%w: more than %d members", errPackage, maxMembers)
		}
		if _, err := r.ReadAt(buf, at); err != nil {
			return nil, fmt.Errorf("%w: cut short in the header at byte %d", errPackage, at)
		}
		if !bytes.Equal(buf[58:], []byte("`\n")) {
			return nil, fmt.Errorf("%w: no member header at byte %d", errPackage, at)
		}
		n, err := strconv.ParseInt(strings.TrimRight(string(buf[48:58]), " "), 10, 64)
		if err != nil || n < 0 || n > size-at-head {
			return nil, fmt.Errorf("%w: the member at byte %d is larger than the file", errPackage, at)
		}
		name := strings.TrimSuffix(strings.TrimRight(string(buf[:16]), " "), "/")
		out = append(out, member{name, io.NewSectionReader(r, at+head, n)})
		at += head + n + n&1
	}
	return out, nil
}
