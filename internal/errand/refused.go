package errand

import (
	"errors"
	"io"
	"os/exec"
	"strings"
	"time"

	"ingot/internal/fault"
)

// refused says why no program runs there, after ssh or the shell there has ended without a
// word for this program.
func (c *Conn) refused(cause error) error {
	err := c.end(2 * time.Second)
	said := c.said.String()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if ok && exit.ExitCode() != 255 { // which is ssh's own
		return fault.Newf(fault.Preflight, "%s runs no shell for this account: exit code %d%s", c.host, exit.ExitCode(), c.said.tail()).WithHint("%s should end at a prompt", c.host.login())
	}
	switch {
	case strings.Contains(said, "REMOTE HOST IDENTIFICATION HAS CHANGED"):
		return fault.Newf(fault.Verification, "%s shows another key than the one that is known", c.host).WithHint("if its key was really changed, ssh-keygen -R removes the old one; %s shows the new one", c.host.login())
	case strings.Contains(said, "Host key verification failed"):
		return fault.Newf(fault.Verification, "the key of %s is not known%s", c.host, c.said.tail()).WithHint("%s shows it: compare it with the host's own, and accept it there", c.host.login())
	case strings.Contains(said, "Permission denied"), strings.Contains(said, "Too many authentication failures"):
		return fault.Newf(fault.Preflight, "%s lets nobody in%s", c.host, c.said.tail()).WithHint("%s must get in: by a key in the agent or in ~/.ssh", c.host.login())
	case err == nil:
		return fault.Newf(fault.Preflight, "%s ended without a word: %w", c.host, cause).WithHint("%s should end at a prompt", c.host.login())
	}
	return fault.Newf(fault.Unreachable, "%s does not answer%s", c.host, c.said.tail()).WithHint("see whether %s gets there", c.host.login())
}

// lost says that a connection was cut.
func (c *Conn) lost() error {
	_ = c.end(2 * time.Second)
	cause := errors.New("ssh has ended")
	if text := c.said.tail(); text != "" { // its last words are the reason
		cause = errors.New(strings.TrimPrefix(text, ": "))
	} else if c.wire != nil && c.cause() != nil && !errors.Is(c.cause(), io.ErrUnexpectedEOF) {
		cause = c.cause()
	}
	return fault.Newf(fault.Unreachable, "the connection with %s was cut: %w", c.host, cause).
		WithHint("what was not finished there is undone; run it again: what arrived whole is not sent again")
}
