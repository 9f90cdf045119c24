package config

import "fmt"

// suggest answers a word that is not known with the one that was meant, if it
// is near enough, else with all of them.
func suggest(word string, known []string) string {
	if best := nearest(word, known); best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return "write " + list(known)
}

// nearest is the word at most two letters away, one for short words; "" if there is none.
func nearest(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(word, k); d < distance && d <= len(k)/3 {
			best, distance = k, d
		}
	}
	return best
}

// editDistance is Levenshtein's, in bytes. Words of more than 64 bytes are far from everything.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
