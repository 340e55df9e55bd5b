package ext4_test

import (
	"testing"

	"ingot/internal/ext4"
	"ingot/internal/tree"
)

// An empty filesystem has the least size, and no smaller one can be planned.
func TestMinSize(t *testing.T) {
	for _, g := range generations {
		o := options()
		o.Generation = g
		f, err := ext4.Plan(tree.Tree{}, o)
		if err != nil {
			t.Fatal(err)
		}
		if f.Size() != ext4.MinSize(g) {
			t.Errorf("an empty %s has %d bytes, and %d is said", g, f.Size(), ext4.MinSize(g))
		}
	}
}
