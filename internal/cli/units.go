package cli

import (
	"fmt"
	"time"
)

// ago is a duration as a person says it, in at most two units.
func ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(d, 0).Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%d.%d s", d/time.Second, d%time.Second/(100*time.Millisecond))
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

func millis(ms int64) string { return ago(time.Duration(ms) * time.Millisecond) }

// count is a number of packets in at most six characters.
func count(n uint64) string {
	for _, u := range []struct {
		size uint64
		name string
	}{{1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}} {
		if n >= u.size {
			return fmt.Sprintf("%d.%d%s", n/u.size, n%u.size/(u.size/10), u.name)
		}
	}
	return fmt.Sprint(n)
}

// plural is "1 bucket" or "2 buckets".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// percent is tenths of a percent, rounded.
func percent(part, whole int) string {
	if whole <= 0 {
		return "-"
	}
	tenths := (part*1000 + whole/2) / whole
	return fmt.Sprintf("%d.%d%%", tenths/10, tenths%10)
}
