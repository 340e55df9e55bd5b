// Package spell finds the word that a misspelt one stands for.
package spell

import "strings"

// maxWord is the length from which on a word is like no other.
const maxWord = 100

// Nearest is the word of a list that was probably meant, or "": the one of the
// fewest changes, of which there may be one for every three letters. Upper and
// lower case are the same.
func Nearest(word string, among []string) string {
	if len(word) > maxWord {
		return ""
	}
	best, limit := "", max(1, len(word)/3)
	lower := strings.ToLower(word)
	for _, w := range among {
		if d := Distance(lower, strings.ToLower(w), limit); d < limit || d == limit && best == "" {
			best, limit = w, d
		}
	}
	return best
}

// Distance is how many letters are to be added, dropped, changed or swapped with
// their neighbour to come from a to b (optimal string alignment); past limit it is
// only known to be greater.
func Distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit || len(a) > maxWord || len(b) > maxWord {
		return limit + 1
	}
	var rows [3][128]int
	before, last, row := rows[0][:len(b)+1], rows[1][:len(b)+1], rows[2][:len(b)+1]
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
			least = min(least, row[j+1])
		}
		if least > limit {
			return limit + 1
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
