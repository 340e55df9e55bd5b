package xfs_test

import (
	"testing"

	"ingot/internal/tree/treetest"
)

func TestTrees(t *testing.T) {
	tests := []struct {
		name string
		fill func(*treetest.Maker)
	}{
		{"empty", func(*treetest.Maker) {}},
		{"small", func(m *treetest.Maker) { m.Dir("d").Text("d/f", "content").Text("g", "hello") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := treetest.New(t)
			tt.fill(m)
			tr, p := m.Done()
			img, _ := write(t, tr, p, options())
			judged(t, img, tr)
		})
	}
}
