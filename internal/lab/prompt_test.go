package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// safeBuffer is written by the prompt and read by the test.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestThePromptObeys(t *testing.T) {
	name := fmt.Sprintf("prompt%d", os.Getpid())
	o := Options{Name: name, Root: shortDir(t), Nodes: 2, Ailing: true}
	in, keyboard := io.Pipe()
	var out safeBuffer
	done := make(chan error)
	go func() { done <- interactive(context.Background(), o, in, &out) }()
	say := func(line, answer string) {
		t.Helper()
		before := len(out.String())
		_, err := fmt.Fprintln(keyboard, line)
		must(t, err)
		waitFor(t, fmt.Sprintf("%q to be answered with %q, not %s", line, answer, out.String()[before:]), func() bool {
			return strings.Contains(out.String()[before:], answer)
		})
	}
	waitFor(t, "a prompt", func() bool { return strings.HasSuffix(out.String(), name+"> ") })
	for _, want := range []string{"rota --socket", "ip netns exec rota-" + name + "-node-b", "client"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the directions lack %q:\n%s", want, out.String())
		}
	}
	say("help", "freeze NODE")
	say("status", "node-b  up")
	say("cut b", name+"> ")
	say("status", "node-b  cut")
	say("heal", name+"> ")
	say("freeze a", name+"> ")
	say("status", "node-a  frozen")
	say("thaw a", name+"> ")
	say("kill a", name+"> ")
	say("status", "node-a  stopped")
	say("start a", name+"> ")
	say("add", "node-c comes")
	say("ail c disk", name+"> ")
	say("cure c", name+"> ")
	say("ail c flu", `error: no ailment "flu"`)
	say("ail c", "error: say which node")
	say("loss c 5", name+"> ")
	say("partition a,b c", name+"> ")
	say("heal c", name+"> ")
	say("load 1", name+"> ")
	say("load 0", name+"> ")
	say("cut x", `error: no node "x"`)
	say("cut", "error: say which node")
	say("loss a much", "error:")
	say("dance", `error: no command "dance"`)
	say("reach", "node-c")
	_, err := fmt.Fprintln(keyboard, "quit")
	must(t, err)
	must(t, <-done)
	nothingLeft(t, name)
}

func TestThePromptEndsWhenInterruptedNotWithItsInput(t *testing.T) {
	name := fmt.Sprintf("eof%d", os.Getpid())
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	var out safeBuffer
	done := make(chan error, 1)
	o := Options{Name: name, Root: shortDir(t), Nodes: 1}
	go func() { done <- interactive(ctx, o, strings.NewReader(""), &out) }()
	waitFor(t, "the end of the input to be noticed", func() bool { return strings.Contains(out.String(), "no more commands") })
	select {
	case err := <-done:
		t.Fatalf("ended with its input: %v", err)
	default:
	}
	interrupt()
	must(t, <-done)
	nothingLeft(t, name)
}

func TestCommandIsComplete(t *testing.T) {
	cmd := Command()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--help"})
	must(t, cmd.Execute())
	for _, want := range []string{"--nodes", "--demo", "--interval", "--lease", "--quorum", "--name", "rota lab --demo"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help lacks %s", want)
		}
	}
}

func TestNodesHaveDistinctNames(t *testing.T) {
	seen := make(map[string]bool)
	for i := range 64 {
		seen[nodeName(i)] = true
	}
	if len(seen) != 64 || !seen["node-a"] || !seen["node-z"] || !seen["node-ba"] {
		t.Errorf("names %v", seen)
	}
}

func TestTheTableKeepsWhatWasWrong(t *testing.T) {
	var tb table
	tb.limited("gap", 306*time.Millisecond, 400*time.Millisecond)
	tb.note("memory", "41 MiB", "40 MiB", false)
	tb.excused("gap on a busy machine", 410*time.Millisecond, 400*time.Millisecond, 20*time.Millisecond)
	if err := tb.verdict(); err != nil {
		t.Errorf("all is well, but %v", err)
	}
	tb.limited("longest gap", 500*time.Millisecond, 400*time.Millisecond)
	if err := tb.verdict(); err == nil || !strings.Contains(err.Error(), "longest gap: 500ms, more than 400ms") {
		t.Errorf("verdict %v", err)
	}
	text := tb.String()
	for _, want := range []string{"306ms", "missed", "WRONG"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %s:\n%s", want, text)
		}
	}
}

func nothingLeft(t *testing.T, lab string) {
	t.Helper()
	left, err := filepath.Glob("/run/netns/rota-" + lab + "-*")
	must(t, err)
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
