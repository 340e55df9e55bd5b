package boot

import "strings"

// CommandLine is what a kernel is given that nothing of the disk starts: words before
// those of the parameters, joined as a kernel reads them.
func (p Params) CommandLine(words ...string) (string, error) {
	args, err := p.words()
	if err != nil {
		return "", err
	}
	return strings.Join(append(words, args...), " "), nil
}
