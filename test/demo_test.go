package test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestADemoWhoseServiceBreaksEnds within its minute, and says what was not answered, and by whom.
func TestADemoWhoseServiceBreaksEnds(t *testing.T) {
	const minute = time.Minute
	name := fmt.Sprintf("demo%d", os.Getpid())
	demo := exec.CommandContext(soonBefore(t, 2*minute), binary, "lab", "--demo", "--name", name)
	demo.Cancel = func() error { return demo.Process.Signal(syscall.SIGINT) } // it cleans up
	stdout, err := demo.StdoutPipe()
	must(t, err)
	var stderr bytes.Buffer
	demo.Stderr = &stderr
	began := time.Now()
	must(t, demo.Start())
	broken := false
	for said := bufio.NewScanner(stdout); said.Scan(); {
		if !broken && strings.HasPrefix(said.Text(), "they agree") {
			dropService(t, "rota-"+name+"-node-b")
			broken = true
		}
	}
	err = demo.Wait()
	took, says := time.Since(began), stderr.String()
	t.Logf("%s after %s: %s", err, took.Round(time.Millisecond), says)
	if code := demo.ProcessState.ExitCode(); !broken || code != 1 || took > minute {
		t.Errorf("broken: %v, exit %d after %s; want 1 within %s", broken, code, took, minute)
	}
	for _, want := range []string{"while clients asked over new connections: ", " connections to 192.0.2.10:80 were not answered", "; node-b should have answered"} {
		if !strings.Contains(says, want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// dropService has a host drop what comes for its service, with no answer to it.
func dropService(t *testing.T, namespace string) {
	t.Helper()
	drop := exec.Command("ip", "netns", "exec", namespace, "nft", "-f", "-")
	drop.Stdin = strings.NewReader("table inet broken {\n chain in {\n type filter hook input priority 0\n tcp dport 80 drop\n }\n}\n")
	if out, err := drop.CombinedOutput(); err != nil {
		t.Fatalf("drop the service's packets: %v\n%s", err, out)
	}
}
