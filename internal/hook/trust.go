package hook

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/rota-cluster/rota/internal/config"
)

// Judge finds the first hook that is not among those before and would not be run.
func Judge(hooks, before []config.Hook) error {
	for i, h := range hooks {
		had := slices.ContainsFunc(before, func(b config.Hook) bool { return b.Command[0] == h.Command[0] })
		if had {
			continue
		}
		if err := trustworthy(h.Command[0]); err != nil {
			return fmt.Errorf("hooks[%d].command: %w", i, err)
		}
	}
	return nil
}

// trustworthy refuses what others than root could have written: the file, the
// folder that holds it, and the one that holds a link to it.
func trustworthy(path string) error {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, p := range []string{file, filepath.Dir(file), filepath.Dir(path)} {
		s, err := os.Stat(p)
		if err != nil {
			return err
		}
		if p == file && (!s.Mode().IsRegular() || s.Mode()&0o111 == 0) {
			return fmt.Errorf("%s is not an executable file: chmod +x it, or take it out of the configuration", file)
		}
		if err := rootsAlone(p, s); err != nil {
			return err
		}
	}
	return nil
}

func rootsAlone(path string, s fs.FileInfo) error {
	if owner, ok := s.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
		return fmt.Errorf("%s belongs to user %d, who could write what root runs: chown root it", path, owner.Uid)
	}
	// In a folder with the sticky bit nobody replaces what is another's.
	if s.Mode()&0o022 != 0 && s.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%s may be written by others than root (mode %04o): chmod go-w it", path, s.Mode().Perm())
	}
	return nil
}
