package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

const promisedFile = "promised"

// promised keeps over restarts until when this node has promised to hold other
// nodes' buckets, as an ordinary start waits for what the one before it promised.
type promised struct {
	path    string
	log     *slog.Logger
	boot    string // under which the clock runs; "" if that cannot be told
	failing bool
}

func newPromised(stateDir string, log *slog.Logger) *promised {
	return &promised{path: filepath.Join(stateDir, promisedFile), log: log, boot: bootID()}
}

// bootID tells this boot of the host from others; "" if it cannot be told.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// recall is until when this start joins no view. Of a promise given before the host
// was booted only the length is of use: the clock begins at a boot.
func (p *promised) recall() ownership.Time {
	text, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0 // never has anything been promised
	}
	var boot string
	var until, length time.Duration
	if err == nil {
		boot, until, length, err = parsePromised(string(text))
	}
	switch {
	case err != nil:
		p.log.Warn("what an earlier start promised is not known", "error", err)
		return 0
	case boot == p.boot:
		return until
	default:
		return length
	}
}

func parsePromised(text string) (boot string, until, length time.Duration, err error) {
	if n, err := fmt.Sscanf(text, "%s %d %d\n", &boot, &until, &length); n != 3 || err != nil {
		return "", 0, 0, fmt.Errorf("%s: %q is not a boot and two numbers; remove the file", promisedFile, strings.TrimSpace(text))
	}
	return boot, until, length, nil
}

// keep notes it, and tells whether it has. It tells a person once that it cannot.
func (p *promised) keep(until, now ownership.Time) bool {
	err := errors.New("the kernel does not tell its boot_id")
	if p.boot != "" {
		err = replaceFile(p.path, fmt.Sprintf("%s %d %d\n", p.boot, until, until-now))
	}
	if err != nil && !p.failing {
		p.log.Warn("cannot note what this node promises: its peers cannot restart their daemons without a takeover", "error", err)
	}
	p.failing = err != nil
	return err == nil
}
