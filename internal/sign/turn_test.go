package sign

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// However often another configuration comes, a read that the kernel does not answer keeps one thread: also
// where the first of the signs that are read together is switched off, and on again.
func TestSignsReadTogetherKeepOneThread(t *testing.T) {
	signs, env := cpuPressureHangs(t)
	var last *Watcher
	for _, off := range []bool{true, true, false, true, false} {
		signs[0].Off = off
		w := New(signs, env, func(Report) {})
		for i := range signs {
			if last != nil {
				w.Await(i, last.Turn(i))
			}
		}
		ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
		w.Run(ctx)
		stop()
		last = w
	}
	if n := pressuresRead(); n != 1 {
		t.Errorf("%d threads read it, want 1", n)
	}
}

// TestOneThatIsOffIsToldAsOff, although it would be read together with one that hangs.
func TestOneThatIsOffIsToldAsOff(t *testing.T) {
	signs, env := cpuPressureHangs(t)
	signs[0].Off = true
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var answers [2]health.Answer
	var told int
	New(signs, env, func(r Report) {
		answers[r.Sign] = r.Answer
		if told++; told == len(signs) {
			stop()
		}
	}).Run(ctx)
	if want := [2]health.Answer{health.SwitchedOff, health.Broken}; answers != want {
		t.Errorf("told as %v, want %v", answers, want)
	}
}

// cpuPressureHangs are the signs of the pressure on memory and CPU, of which the second is not answered until the test ends.
func cpuPressureHangs(t *testing.T) ([]config.SignInForce, Env) {
	t.Helper()
	root := t.TempDir()
	writer(t, root)("pressure/none", "")
	mute := root + "/pressure/cpu"
	if err := unix.Mkfifo(mute, 0o600); err != nil { // nobody writes into it, so that open waits
		t.Fatal(err)
	}
	t.Cleanup(func() { letGo(t, mute) })
	signs := new(config.Config).SignsInForce()
	signs = slices.DeleteFunc(signs, func(s config.SignInForce) bool { return s.Name != "memory_pressure" && s.Name != "cpu_pressure" })
	return signs, Env{Roots: Roots{Proc: root}, Now: time.Now, Interface: "lo"}
}

// pressuresRead is how many goroutines read a pressure.
func pressuresRead() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "sign.pressure.read")
}

// letGo ends whoever reads a FIFO.
func letGo(t *testing.T, mute string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); pressuresRead() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the read does not end")
		}
		if f, err := os.OpenFile(mute, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil { // else nobody reads
			_ = f.Close() // an end of file is all that is to be read
		}
	}
}
