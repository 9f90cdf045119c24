package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/api"
)

// TestKeyRotate tells a person at each step what it did and what to do, and
// never a key.
func TestKeyRotate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(run(t, "key", "generate").out), 0o600); err != nil {
		t.Fatal(err)
	}
	const id = `[0-9a-f]{8}`
	for i, want := range []string{
		`^step 1 of 3: ` + id + ` seals still, the new key ` + id + ` is accepted too\n(?s:.*)heartbeat.keys \[` + id + ` ` + id + `\] on every node, and not before,\n`,
		`^step 2 of 3: ` + id + ` is accepted still, the new key ` + id + ` seals\n`,
		`^step 3 of 3: ` + id + ` is forgotten, ` + id + ` is the only key\n(?s:.*)heartbeat.keys \[` + id + `\]`,
	} {
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := run(t, "key", "rotate", file)
		if got.code != 0 || got.errors != "" || !regexp.MustCompile(want).MatchString(got.out) || !strings.Contains(got.out, "copy "+file+" to every node") {
			t.Errorf("step %d: %+v", i+1, got)
		}
		if last := strings.Contains(got.out, "the rotation is over"); last != (i == 2) {
			t.Errorf("step %d says %q", i+1, got.out)
		}
		for word := range strings.FieldsSeq(string(before)) {
			if len(word) > 6 && strings.Contains(got.out, word) {
				t.Errorf("step %d tells a key", i+1)
			}
		}
	}
	if got := run(t, "key", "rotate", file+"s"); got.code != 1 || !strings.Contains(got.errors, "does not exist") {
		t.Errorf("%+v", got)
	}
	if got := run(t, "key", "rotate"); got.code != 2 {
		t.Errorf("%+v", got)
	}
}

// TestHangup ends a command that waits.
func TestHangup(t *testing.T) {
	f := &fake{}
	hangups := make(chan os.Signal, 1)
	f.onAsk = func(int, *api.Status) {
		select {
		case hangups <- os.Interrupt:
		default:
		}
	}
	code := Main(t.Context(), Env{Stdin: strings.NewReader(""), Stdout: &strings.Builder{}, Stderr: &strings.Builder{},
		Getenv: func(string) string { return "" }, Signals: Signals{Hangups: hangups}}, []string{"status", "--watch", "--socket", f.serve(t)})
	if code != 0 {
		t.Errorf("exit %d", code)
	}
}
