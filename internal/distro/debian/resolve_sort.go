package debian

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
)

// hashOrder lists all packages as apt's cache does: by the bucket of a hash table
// of their names, in a bucket by the length of the name and then the name, and
// packages of one name as they were first seen.
func (u *Universe) hashOrder() []pkgID {
	type entry struct {
		bucket uint32
		name   string
		first  pkgID
	}
	all := make([]entry, 0, len(u.groups))
	for sym, g := range u.groups {
		if g.first != none {
			name := u.nameText(uint32(sym))
			all = append(all, entry{bucketOf(name), name, g.first})
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		if c := cmp.Compare(a.bucket, b.bucket); c != 0 {
			return c
		}
		if c := cmp.Compare(len(a.name), len(b.name)); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	order := make([]pkgID, 0, len(u.pkgs))
	for _, e := range all {
		for p := e.first; p != none; p = u.pkgs[p].next {
			order = append(order, p)
		}
	}
	return order
}

// buckets is the size of apt's hash table.
const buckets = 196613

// bucketOf is the bucket of a name: Bernstein's hash, without case.
func bucketOf(name string) uint32 {
	h := uint32(5381)
	for i := range len(name) {
		h = 33*h + uint32(lower(name[i]))
	}
	return h % buckets
}

// sortAsApt sorts like the C++ library that apt is built with (libstdc++'s
// std::sort). That is not stable, so where the order of equals matters, and it
// does where packages have the same score, nothing else will do: quicksort by the
// median of three down to pieces of 16, which one insertion sort at the end puts
// in order, with heapsort for pieces that will not get smaller.
func sortAsApt[T any](a []T, less func(x, y T) bool) {
	if len(a) < 2 {
		return
	}
	s := aptSort[T]{a, less}
	s.quick(0, len(a), 2*(bits.Len(uint(len(a)))-1))
	s.insertion(min(len(a), aptPiece))
	for i := aptPiece; i < len(a); i++ {
		s.sink(i)
	}
}

// aptPiece is the length up to which a piece is left to the insertion sort.
const aptPiece = 16

type aptSort[T any] struct {
	a    []T
	less func(x, y T) bool
}

func (s aptSort[T]) quick(lo, hi, depth int) {
	for hi-lo > aptPiece {
		if depth == 0 {
			s.heap(s.a[lo:hi])
			return
		}
		depth--
		s.median(lo, lo+1, lo+(hi-lo)/2, hi-1)
		cut := s.partition(lo+1, hi, lo)
		s.quick(cut, hi, depth)
		hi = cut
	}
}

// median puts the median of three at to.
func (s aptSort[T]) median(to, x, y, z int) {
	a := s.a
	pick := x
	switch {
	case s.less(a[x], a[y]):
		switch {
		case s.less(a[y], a[z]):
			pick = y
		case s.less(a[x], a[z]):
			pick = z
		}
	case s.less(a[x], a[z]):
	case s.less(a[y], a[z]):
		pick = z
	default:
		pick = y
	}
	a[to], a[pick] = a[pick], a[to]
}

func (s aptSort[T]) partition(lo, hi, pivot int) int {
	a := s.a
	for {
		for s.less(a[lo], a[pivot]) {
			lo++
		}
		hi--
		for s.less(a[pivot], a[hi]) {
			hi--
		}
		if lo >= hi {
			return lo
		}
		a[lo], a[hi] = a[hi], a[lo]
		lo++
	}
}

// insertion sorts the first n.
func (s aptSort[T]) insertion(n int) {
	for i := 1; i < n; i++ {
		if s.less(s.a[i], s.a[0]) {
			v := s.a[i]
			copy(s.a[1:i+1], s.a[:i])
			s.a[0] = v
			continue
		}
		s.sink(i)
	}
}

// sink moves the element at i to its place among those before it, one of which
// does not come after it.
func (s aptSort[T]) sink(i int) {
	v := s.a[i]
	for ; s.less(v, s.a[i-1]); i-- {
		s.a[i] = s.a[i-1]
	}
	s.a[i] = v
}

func (s aptSort[T]) heap(a []T) {
	for parent := (len(a) - 2) / 2; parent >= 0; parent-- {
		s.adjust(a, parent, len(a), a[parent])
	}
	for n := len(a) - 1; n > 0; n-- {
		v := a[n]
		a[n] = a[0]
		s.adjust(a, 0, n, v)
	}
}

// adjust moves a hole in a heap of n down to the bottom and v up from there.
func (s aptSort[T]) adjust(a []T, hole, n int, v T) {
	top, child := hole, hole
	for child < (n-1)/2 {
		child = 2 * (child + 1)
		if s.less(a[child], a[child-1]) {
			child--
		}
		a[hole] = a[child]
		hole = child
	}
	if n&1 == 0 && child == (n-2)/2 {
		child = 2 * (child + 1)
		a[hole] = a[child-1]
		hole = child - 1
	}
	for parent := (hole - 1) / 2; hole > top && s.less(a[parent], v); parent = (hole - 1) / 2 {
		a[hole] = a[parent]
		hole = parent
	}
	a[hole] = v
}
