package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

// vrrpConfig is keepalived at its quickest: VRRP version 3, real-time like
// rota's daemon, and priorities next to each other, so that the backup waits
// three beats and hardly more (RFC 5798, 6.1: Skew_Time).
const vrrpConfig = `global_defs {
    router_id %[1]s
    vrrp_version 3
    vrrp_rt_priority 1
    vrrp_no_swap
}
vrrp_instance web {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority %[2]d
    advert_int %[3]g
    virtual_ipaddress {
        %[4]s/32 dev eth0
    }
}
`

// vrrpBeat is the beat of which three make a lease, in VRRP's own unit.
func vrrpBeat(lease time.Duration) time.Duration {
	return (lease / 3).Round(10 * time.Millisecond)
}

// vrrpTakeovers cuts the owner of a keepalived pair off, again and again.
func vrrpTakeovers(b *testing.B, beat time.Duration, n int) {
	l := cluster(b, 2, profile{}) // of rota, nothing runs here but the lab
	owner, backup := l.Node(0), l.Node(1)
	startKeepalived(b, owner, 254, beat)
	startKeepalived(b, backup, 253, beat)
	var all series
	for range n {
		must(b, answeredBy(soon(b), l.Client(), owner))
		time.Sleep(rand.N(beat))
		s, err := measureCut(soon(b), l.Client(), flowsOfLost, owner.Name(), owner.Cut)
		must(b, err)
		all = append(all, s)
		must(b, owner.Heal())
	}
	all.report(b, fmt.Sprintf("keepalived, advert_int %g", beat.Seconds()))
}

// startKeepalived starts it on a node until the benchmark ends.
func startKeepalived(b *testing.B, n *lab.Node, priority int, beat time.Duration) {
	b.Helper()
	dir := b.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	config := fmt.Sprintf(vrrpConfig, n.Name(), priority, beat.Seconds(), lab.Shared4)
	must(b, os.WriteFile(at("keepalived.conf"), []byte(config), 0o600))
	output, err := os.Create(at("log"))
	must(b, err)
	defer output.Close() // the child has its own
	cmd := exec.Command("keepalived", "--dont-fork", "--log-console", "--vrrp",
		"--use-file", at("keepalived.conf"), "--pid", at("pid"), "--vrrp_pid", at("vrrp.pid"))
	cmd.Stdout, cmd.Stderr = output, output
	if err := n.Host().Start(cmd); errors.Is(err, exec.ErrNotFound) {
		b.Fatal("keepalived is missing: `make bench` installs it")
	} else {
		must(b, err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // if it has ended, Wait tells
		if err := cmd.Wait(); err != nil || b.Failed() {
			text, _ := os.ReadFile(at("log"))
			b.Logf("keepalived of %s: %v\n%s", n.Name(), err, text)
		}
	})
}

// answeredBy waits until all new connections are answered by one node.
func answeredBy(ctx context.Context, client *probe.Client, n *lab.Node) error {
	const connections = 20
	for {
		r, err := client.Burst(ctx, probe.Burst{To: web(), Connections: connections, Patience: 100 * time.Millisecond})
		if err != nil {
			return err
		}
		if r.ByNode[n.Name()] == connections {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s does not answer alone: %s", n.Name(), r)
		}
	}
}
