package flavor

import (
	"cmp"
	"maps"
	"slices"
)

// A Rule is how what a person asked for is held against what there is.
type Rule uint8

// The rules of a query.
const (
	// Strongly: a candidate must have what was asked for, taken at its word, and must
	// suit the system. Scores only rank. This is ingot's rule.
	Strongly Rule = iota
	// Loosely is the rule of Conary's repositories: what was asked for is put over the
	// system's flavor, and a candidate must score. A flag that no candidate knows is
	// ignored, and a newer version that suits weakly beats an older one that has it.
	Loosely
	// Installed is the rule for what is installed: a candidate must have what was asked
	// for, whatever the system is.
	Installed
	// Exactly: a candidate must be the flavor that was asked for.
	Exactly
)

// A Query says what to select.
type Query struct {
	// System are the flavors of the system, in order: the first that gives a result
	// ends the search. If there is none Asked is the query, and without either
	// everything is found.
	System []Flavor
	// Asked is what a person typed, or nil.
	Asked *Flavor
	// Prefer are flavors, best first: an older version that has a better one beats a
	// newer version. Architectures in the query have preferences of their own, see
	// Order.
	Prefer []Flavor
	// Order gives the preferences for a flavor's architectures, nil if it has none:
	// [Declared.Order].
	Order func(Flavor) []Flavor
	Rule  Rule
	// All asks for every flavor that suits, each in its newest version; without it
	// there is one result.
	All bool
}

// A Hit is a version and a flavor, as their places in what was selected from.
type Hit struct{ Version, Flavor int }

// Select chooses among versions, newest first. Each version lists the flavors that it
// has, as places in flavors, so that thousands of versions score each flavor once.
// Hits are in the order of versions, then of flavors ([Flavor.Compare]).
//
// Where there is no hit, closest is what to ask for instead: with [Strongly] the flavors
// that suit the system and have not what was asked for; if there is none, and with
// other rules, the least changes to the query, see [Closest].
func Select(q Query, flavors []Flavor, versions [][]int) (hits []Hit, closest []Flavor) {
	var queries []Flavor
	for _, system := range q.System {
		if q.Asked != nil {
			system, _ = Override(system, *q.Asked, Over) // fails in mode Normal only
		}
		queries = append(queries, system)
	}
	if len(queries) == 0 || q.Rule == Installed || q.Rule == Exactly {
		queries = nil
		if q.Asked != nil {
			queries = []Flavor{*q.Asked}
		}
	}
	if queries == nil {
		return everything(flavors, versions), nil
	}
	for _, query := range queries {
		if hits = q.search(query, flavors, versions); len(hits) > 0 {
			return hits, nil
		}
	}
	return nil, q.closest(queries, flavors, versions)
}

// closest is what to tell where nothing was found.
func (q Query) closest(queries, flavors []Flavor, versions [][]int) []Flavor {
	if q.Rule == Exactly {
		return nil
	}
	there := map[int]bool{}
	for _, v := range versions {
		for _, f := range v {
			there[f] = true
		}
	}
	var all, suit []Flavor
	for _, i := range slices.Sorted(maps.Keys(there)) {
		all = append(all, flavors[i])
		if q.Rule == Strongly && slices.ContainsFunc(queries, func(query Flavor) bool { return query.Matches(flavors[i]) }) {
			suit = append(suit, flavors[i])
		}
	}
	if len(suit) > 0 {
		slices.SortFunc(suit, Flavor.Compare)
		return suit
	}
	return Closest(queries, all)
}

// everything is what a query finds that asks for nothing: each flavor in its newest
// version.
func everything(flavors []Flavor, versions [][]int) []Hit {
	var hits []Hit
	seen := make([]bool, len(flavors))
	for v, list := range versions {
		for _, f := range inOrder(flavors, list) {
			if !seen[f] {
				seen[f] = true
				hits = append(hits, Hit{v, f})
			}
		}
	}
	return hits
}

func inOrder(flavors []Flavor, list []int) []int {
	return slices.SortedFunc(slices.Values(list), func(a, b int) int { return flavors[a].Compare(flavors[b]) })
}

// judged is what is known of a flavor before any version is looked at.
type judged struct {
	suits bool
	score int
	rank  int // the first preference that it has, or the number of preferences
}

// search is one search, for one flavor of the system.
func (q Query) search(query Flavor, flavors []Flavor, versions [][]int) []Hit {
	prefer := q.Prefer
	if q.Order != nil {
		if own := q.Order(query); len(own) > 0 {
			prefer = own
		}
	}
	if q.All {
		prefer = nil
	}
	known := make([]judged, len(flavors))
	for i, f := range flavors {
		known[i] = q.judge(query, f, prefer)
	}
	if q.All {
		suiting := make([][]int, len(versions))
		for v, list := range versions {
			suiting[v] = slices.DeleteFunc(slices.Clone(list), func(f int) bool { return !known[f].suits })
		}
		return everything(flavors, suiting)
	}
	return best(flavors, versions, known, len(prefer))
}

// best finds the one flavor: in the newest of the versions that have the best
// preference, the highest score; of equal scores the greatest flavor. What has no
// preference at all is not beaten by an older version that has one.
func best(flavors []Flavor, versions [][]int, known []judged, none int) []Hit {
	rank := none + 1 // of the best so far; what has no preference counts as that
	var found, without *Hit
	for v, list := range versions {
		least := none + 1
		for _, f := range list {
			if known[f].suits {
				least = min(least, known[f].rank)
			}
		}
		if least > none || found != nil && least >= rank {
			continue
		}
		top := func(rank int) *Hit {
			var h *Hit
			for _, f := range list {
				if k := known[f]; k.suits && k.rank == rank &&
					(h == nil || cmp.Or(cmp.Compare(k.score, known[h.Flavor].score), flavors[f].Compare(flavors[h.Flavor])) > 0) {
					h = &Hit{v, f}
				}
			}
			return h
		}
		switch {
		case least == none && none > 0:
			if found == nil {
				found = top(none)
			}
		case without != nil:
			rank, found = least, without
		default:
			rank, found = least, top(least)
		}
		if without == nil && none > 0 {
			without = top(none)
		}
		if rank == 0 {
			break
		}
	}
	if found == nil {
		return nil
	}
	return []Hit{*found}
}

// judge holds one flavor against the query.
func (q Query) judge(query, f Flavor, prefer []Flavor) judged {
	k := judged{rank: len(prefer)}
	switch q.Rule {
	case Exactly:
		k.suits = f.Equal(query)
	case Installed:
		k.score, k.suits = f.Strong().Score(query)
	case Strongly:
		if k.score, k.suits = query.Score(f); k.suits && q.Asked != nil {
			k.suits = f.Provides(*q.Asked)
		}
	default:
		k.score, k.suits = query.Score(f)
	}
	strong := f.Strong()
	if i := slices.IndexFunc(prefer, strong.Matches); i >= 0 {
		k.rank = i
	}
	return k
}

// Closest are the least changes to any of the queries that make one of the flavors
// match, sorted. Those that need no other architecture are told if there are any, else
// those that keep one, and of them the shortest.
func Closest(queries, flavors []Flavor) []Flavor {
	var any, some, same []Flavor
	for _, query := range queries {
		for _, f := range flavors {
			change := query.Change(f, true)
			kept, other := false, false
			for _, a := range f.archs[is] {
				if query.archs[is].find(a.name) != nil {
					kept = true
				} else {
					other = true
				}
			}
			any = append(any, change)
			if kept {
				some = append(some, change)
			}
			if !other {
				same = append(same, change)
			}
		}
	}
	if len(same) > 0 {
		any = same
	} else if len(some) > 0 {
		any = some
	}
	if len(any) == 0 {
		return nil
	}
	least := any[0].size()
	for _, f := range any {
		least = min(least, f.size())
	}
	any = slices.DeleteFunc(any, func(f Flavor) bool { return f.size() > least })
	slices.SortFunc(any, Flavor.Compare)
	return slices.CompactFunc(any, Flavor.Equal)
}
