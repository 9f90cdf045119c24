package sim

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "record anew what the nodes decide in testdata/*.txt")

// mark stands between a story and what the nodes were last seen to decide.
const mark = "\n----\n"

// TestScripts plays the stories of testdata. What every node decides in them
// is recorded below each; `-update` records it anew, to be read before it is committed.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories in testdata", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playScript(t, file) })
	}
}

func playScript(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, recorded, _ := strings.Cut(string(data), mark)
	s, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	opt := options()
	opt.Tell = true
	r := Run(s, theNode, opt)
	told := strings.Join(r.Story, "\n") + "\n"
	if r.Violation != nil {
		t.Fatalf("%s\n%s", s.Title, told)
	}
	if *update {
		text = strings.TrimRight(text, "\n") + "\n"
		if err := os.WriteFile(file, []byte(text+mark+told), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if told != recorded {
		t.Errorf("%s\nthe nodes decide otherwise than recorded, first here:\n%s\n(go test -run Scripts -update records it anew)",
			s.Title, firstDifference(recorded, told))
	}
}

func firstDifference(before, now string) string {
	old, lines := strings.Split(before, "\n"), strings.Split(now, "\n")
	for i, line := range lines {
		if i >= len(old) || old[i] != line {
			was := "(end)"
			if i < len(old) {
				was = old[i]
			}
			return "recorded: " + was + "\nnow:      " + line
		}
	}
	return "recorded: " + strings.Join(old[len(lines)-1:], "\n") + "\nnow:      (end)"
}
