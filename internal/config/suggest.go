package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unknown says that a section of the file has no such key, and what may have been meant.
func unknown(section, key string, siblings map[string]field) string {
	candidates := slices.Sorted(maps.Keys(siblings))
	for _, k := range Keys() {
		if k.Name == key && section == "" {
			i := strings.LastIndexByte(key, '.')
			return fmt.Sprintf("unknown key: keys are nested, put %q below %q", key[i+1:], key[:max(i, 0)])
		}
		candidates = append(candidates, k.Name)
	}
	return "unknown key" + didYouMean(join(section, key), candidates)
}

// didYouMean returns ", did you mean X?" for the candidate that name is closest to: a slip of the keyboard,
// or the right key in the wrong section. It returns "" when nothing is close.
func didYouMean(name string, candidates []string) string {
	const most = 64 // longer ones are no slip, and distance costs their square
	if len(name) > most {
		return ""
	}
	name = strings.ToLower(name)
	best, least := "", max(1, len(name)/5)+1
	for _, c := range candidates {
		if d := distance(name, strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	for _, c := range candidates {
		if best == "" && lastPart(c) == lastPart(name) {
			best = c
		}
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + best + "?"
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// distance is how many bytes must be added, removed or changed to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
