package daemon

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestIncarnationsRise(t *testing.T) {
	now := time.UnixMicro(1_000_000)
	for _, c := range []struct {
		what  string
		there string // what an earlier start wrote; "-" for nothing
		want  uint64
		warns bool
	}{
		{"a first start has the clock's", "-", 1_000_000, false},
		{"a later start has the clock's", "999999\n", 1_000_000, false},
		{"a start at the same moment is another one", "1000000\n", 1_000_001, false},
		{"a clock that was set back does not count", "5000000\n", 5_000_001, false},
		{"a broken file is told and replaced", "soon\n", 1_000_000, true},
	} {
		dir := filepath.Join(t.TempDir(), "made", "for it")
		file := filepath.Join(dir, incarnationFile)
		if c.there != "-" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.there), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var said bytes.Buffer
		log := slog.New(slog.NewTextHandler(&said, nil))
		if got := nextIncarnation(dir, now, log); got != c.want || (said.Len() > 0) != c.warns {
			t.Errorf("%s: got %d, want %d; says %q", c.what, got, c.want, said.String())
		}
		if again := nextIncarnation(dir, now, log); again != c.want+1 {
			t.Errorf("%s: and again: %d", c.what, again)
		}
	}
}

func TestIncarnationWithoutAPlaceToRememberIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if got := nextIncarnation(file, time.UnixMicro(7), slog.New(slog.NewTextHandler(&said, nil))); got != 7 {
		t.Errorf("got %d", got)
	}
	if !strings.Contains(said.String(), "without memory") {
		t.Errorf("says %q", said.String())
	}
}

func TestHostsOfOneNameAreToldApart(t *testing.T) {
	a, b := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	if hostID(a) == hostID(b) {
		t.Error("two hosts are one")
	}
}
