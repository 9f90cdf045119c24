package datapath

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestVerdictsAreThoseOfThePrograms(t *testing.T) {
	source, err := os.ReadFile("bpf/verdict.h")
	if err != nil {
		t.Fatal(err)
	}
	inC := make(map[Verdict]string)
	for _, m := range regexp.MustCompile(`(?m)^\t((?:PASS|DROP)_\w+) = (\d+),`).FindAllStringSubmatch(string(source), -1) {
		value, err := strconv.ParseUint(m[2], 10, 8)
		if err != nil {
			t.Fatal(err)
		}
		inC[Verdict(value)] = strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))
	}
	for v := range Verdict(Verdicts) {
		want := inC[v]
		if want == "" {
			want = "unknown"
		}
		if got := v.String(); got != want {
			t.Errorf("verdict %d is %q, in the programs %q", v, got, want)
		}
		if drops := strings.HasPrefix(want, "drop-"); drops && !v.Drops() || strings.HasPrefix(want, "pass-") && v.Drops() {
			t.Errorf("verdict %v: Drops is %v", v, v.Drops())
		}
	}
	if all := AllVerdicts(); len(all) != len(inC) {
		t.Errorf("%d verdicts, in the programs %d", len(all), len(inC))
	}
}

// Whoever reads the counters can look up what they count.
func TestVerdictsAreExplained(t *testing.T) {
	docs, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range AllVerdicts() {
		told := v != PassUntouched && v != PassBeat && v != DropBeat // of no interest: rota status leaves them out
		if told && !strings.Contains(string(docs), "`"+v.String()+"`") {
			t.Errorf("docs/operations.md says nothing of %v", v)
		}
	}
}
