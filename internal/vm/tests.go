package vm

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"ingot/internal/definition"
	"ingot/internal/fault"
)

// DefaultTestTimeout is the time of a test that names none.
const DefaultTestTimeout = time.Minute

// RunTests boots a machine and runs the tests of a definition in it, in order, all of
// them even if one fails. A test passes if its command exits 0 and, where it
// expects something, a line of its output matches (^ and $ are those of a line).
// The error has code [fault.Health] if the machine did not come up within [DefaultTimeout]
// (or the deadline of ctx, if that is earlier) or a test failed; the results say which.
func RunTests(ctx context.Context, spec Spec, tests []definition.Test) ([]Result, error) {
	expect := make([]*regexp.Regexp, len(tests))
	for i, t := range tests {
		re, err := regexp.Compile("(?m)" + t.Expect)
		if err != nil {
			return nil, fault.Newf(fault.Definition, "test %q: %w", t.Run, err)
		}
		expect[i] = re
	}
	spec.Agent = true
	m, err := Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	ready, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	if _, err := m.Ready(ready); err != nil {
		return nil, err
	}
	results := make([]Result, 0, len(tests))
	failed := 0
	var text strings.Builder
	for i, t := range tests {
		limit := t.Timeout
		if limit <= 0 {
			limit = DefaultTestTimeout
		}
		r, err := m.Run(ctx, t.Run, limit)
		if err != nil {
			return results, err
		}
		if r.Failure = judgeResult(r, t.Expect, expect[i], limit); r.Failure != "" {
			failed++
			fmt.Fprintf(&text, "\n  %q %s", t.Run, r.Failure)
			for _, line := range lastOf(r.Output, 10) {
				text.WriteString("\n    " + line)
			}
		}
		results = append(results, r)
	}
	if failed > 0 {
		return results, fault.Newf(fault.Health, "%d of %d tests failed in %s:%s", failed, len(tests), m.name(), text.String()).
			WithHint("try a command with: ingot boot --run COMMAND %s", fault.File(spec.Disk.Path))
	}
	return results, nil
}

// judgeResult says why a result fails a test, or nothing.
func judgeResult(r Result, want string, expect *regexp.Regexp, limit time.Duration) string {
	switch {
	case r.TimedOut:
		return fmt.Sprintf("took longer than %v", limit)
	case r.Exit != 0:
		return fmt.Sprintf("exited %d", r.Exit)
	case want != "" && !expect.MatchString(r.Output):
		return fmt.Sprintf("printed nothing that matches %q", want)
	}
	return ""
}

// lastOf gives up to n of a text's last lines.
func lastOf(text string, n int) []string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}
