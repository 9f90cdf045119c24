package datapath

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func TestWhyTheKernelRefuses(t *testing.T) {
	for _, row := range []struct {
		what string
		err  error
		old  bool
		want string
	}{
		{"a kernel that is too old", fmt.Errorf("map create: %w", ebpf.ErrNotSupported), true, "too old, rota needs Linux 5.15"},
		{"a verifier that is too old", &ebpf.VerifierError{Cause: unix.EINVAL}, true, "too old, rota needs Linux 5.15"},
		{"a verifier that is new", &ebpf.VerifierError{Cause: unix.EINVAL}, false, "verifier refuses them"},
		{"a kernel that lacks a part", fmt.Errorf("map create: %w", ebpf.ErrNotSupported), false, "built without what they need"},
		{"no memory", unix.ENOMEM, false, "load the BPF programs: cannot allocate memory"},
	} {
		err := explainRefusal(row.err, row.old)
		if !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") || !errors.Is(err, row.err) {
			t.Errorf("%s: says %q, want %q", row.what, err, row.want)
		}
	}
}
