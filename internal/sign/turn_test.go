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
)

// However often another configuration comes, a read that the kernel does not answer keeps one thread: also
// where the first of the signs that are read together is switched off, and on again.
func TestSignsReadTogetherKeepOneThread(t *testing.T) {
	root := t.TempDir()
	writer(t, root)("pressure/none", "")
	mute := root + "/pressure/cpu"
	if err := unix.Mkfifo(mute, 0o600); err != nil { // nobody writes into it, so that open waits
		t.Fatal(err)
	}
	signs := new(config.Config).SignsInForce()
	signs = slices.DeleteFunc(signs, func(s config.SignInForce) bool { return s.Name != "memory_pressure" && s.Name != "cpu_pressure" })
	env := Env{Roots: Roots{Proc: root}, Now: time.Now, Interface: "lo"}
	reading := func() int {
		stacks := make([]byte, 1<<20)
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "sign.pressure.read")
	}
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
	if n := reading(); n != 1 {
		t.Errorf("%d threads read it, want 1", n)
	}
	for deadline := time.Now().Add(10 * time.Second); reading() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the read does not end")
		}
		if f, err := os.OpenFile(mute, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil { // else nobody reads
			_ = f.Close() // an end of file is all that is to be read
		}
	}
}
