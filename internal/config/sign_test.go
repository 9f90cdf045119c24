package config

import (
	"os"
	"regexp"
	"testing"
	"time"
)

// The table of signs tells how often each is read.
func TestIntervalsOfSignsAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/signs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range SignKinds() {
		row := regexp.MustCompile("(?m)^\\| `" + k.Name + "` \\| .*? \\| (\\w+) \\| ").FindSubmatch(docs)
		if row == nil {
			t.Errorf("%s is not in the table", k.Name)
			continue
		}
		if every, err := time.ParseDuration(string(row[1])); err != nil || every != k.Interval {
			t.Errorf("%s is read every %v, and documented as %s", k.Name, k.Interval, row[1])
		}
	}
}
