package definition

import "strings"

// nearest finds the word of a list that a misspelt one probably stands for.
func nearest(word string, among []string) (string, bool) {
	if len(word) > 64 {
		return "", false
	}
	best, found := 0, ""
	limit := max(1, len(word)/3)
	lower := strings.ToLower(word)
	for _, w := range among {
		if d := distance(lower, w); d <= limit && (found == "" || d < best) {
			best, found = d, w
		}
	}
	return found, found != ""
}

// distance counts the letters to insert, drop, change or swap with their
// neighbour that lead from one word to the other (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		next := make([]int, len(y)+1)
		next[0] = i
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(y)]
}

// didYouMean is the end of a message about an unknown word, and the word it
// suggests: a near one, or else all there are when they are few.
func didYouMean(word string, among []string) (string, string) {
	if w, ok := nearest(word, among); ok {
		return "; did you mean \"" + w + "\"?", w
	}
	if len(among) > 0 && len(among) <= 24 {
		return "; known: " + strings.Join(among, ", "), ""
	}
	return "", ""
}
