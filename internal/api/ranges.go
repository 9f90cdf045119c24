package api

import (
	"fmt"
	"strconv"
	"strings"
)

// Ranges writes the numbers of 0 … n-1 that are in the set: "0-12,17", "" for none.
func Ranges(n uint32, in func(uint32) bool) string {
	var b strings.Builder
	for i := uint32(0); i < n; i++ {
		if !in(i) {
			continue
		}
		first := i
		for i+1 < n && in(i+1) {
			i++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(first), 10))
		if i > first {
			b.WriteByte('-')
			b.WriteString(strconv.FormatUint(uint64(i), 10))
		}
	}
	return b.String()
}

// ListRanges writes ascending numbers in the same way.
func ListRanges(list []uint32) string {
	if len(list) == 0 {
		return ""
	}
	i := 0
	return Ranges(list[len(list)-1]+1, func(n uint32) bool {
		if list[i] != n {
			return false
		}
		i++
		return true
	})
}

// ParseRanges reads numbers below n and ranges of them, such as 0-63,80, in any
// order, and returns them ascending, each once.
func ParseRanges(text string, n uint32) ([]uint32, error) {
	in := make([]bool, n)
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.ParseUint(first, 10, 32)
		b, err2 := strconv.ParseUint(last, 10, 32)
		switch {
		case err1 != nil || err2 != nil:
			return nil, fmt.Errorf("%q is not a bucket or a range of them; write e.g. 0-63,80", part)
		case b < a:
			return nil, fmt.Errorf("%q ends before it begins", part)
		case b >= uint64(n):
			return nil, fmt.Errorf("there is no bucket %d; they end at %d at most", b, n-1)
		}
		for ; a <= b; a++ {
			in[a] = true
		}
	}
	var list []uint32
	for i, is := range in {
		if is {
			list = append(list, uint32(i))
		}
	}
	return list, nil
}

// Count is how many numbers are in what Ranges wrote.
func Count(ranges string) (int, error) {
	if ranges == "" {
		return 0, nil
	}
	total := 0
	for part := range strings.SplitSeq(ranges, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.ParseUint(first, 10, 32)
		b, err2 := strconv.ParseUint(last, 10, 32)
		if err1 != nil || err2 != nil || b < a {
			return 0, fmt.Errorf("%q is not a number or a range such as 0-12", part)
		}
		total += int(b-a) + 1
	}
	return total, nil
}
