package check

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// withoutDescriptors does something while no descriptor is free.
func withoutDescriptors(t *testing.T, do func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 256, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	var taken []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	do()
	for _, fd := range taken {
		unix.Close(fd)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
}

// What the daemon itself lacks is not told as the service's failure.
func TestOwnLackIsNoVerdict(t *testing.T) {
	address := silent(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(pidFile, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []config.Check{
		of("tcp", address), of("http", "http://"+address+"/"), of("https", "https://"+address+"/"), of("tls", address), of("grpc", address),
		of("agent", address), withServer(of("dns", "example.com"), address), of("exec", "/bin/true"), of("process", pidFile), of("process", "x"),
		of("tcp", "no-such-name.invalid:1"),
	} {
		t.Run(c.Kind+" "+c.Target[0], func(t *testing.T) {
			var got []Outcome
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			r, err := New([]config.Check{c}, env, func(r Report) { got = append(got, r.Outcome) })
			if err != nil {
				t.Fatal(err)
			}
			var board *switchboard
			if _, _, ok := plain(r.slots[0]); ok {
				on := &Runner{env: env, report: func(r Report) { got = append(got, r.Outcome); cancel() }}
				if board, err = newSwitchboard(on, []*slot{{config: c, prober: r.slots[0].prober}}); err != nil {
					t.Fatal(err)
				}
			}
			withoutDescriptors(t, func() {
				r.Once(ctx)
				if board != nil {
					err = board.run(ctx)
				}
			})
			if err != nil || len(got) == 0 {
				t.Fatal(err, got)
			}
			for _, o := range got {
				expect(t, o, health.OK, "too many open files (raise LimitNOFILE of the daemon)")
				if o.Answer != health.Broken || !strings.HasPrefix(o.Text, "could not look: ") {
					t.Errorf("%+v", o)
				}
			}
		})
	}
}

// A host that has no address to ask from cannot reach its service; one whose ports are all taken lacks something.
func TestNoAddressIsNoLack(t *testing.T) {
	space := netnstest.New(t)
	space.Sysctl("net/ipv6/conf/lo/disable_ipv6", "1")
	space.Sysctl("net/ipv4/ip_local_port_range", "40000 40001")
	space.Do(func() error {
		l, err := net.Listen("tcp", "127.0.0.1:80")
		if err != nil {
			return err
		}
		defer l.Close()
		for range 2 {
			conn, err := net.Dial("tcp", "127.0.0.1:80")
			if err != nil {
				return err
			}
			defer conn.Close()
		}
		for _, row := range []struct {
			target string
			level  health.Level
			answer health.Answer
			text   string
		}{
			{"[::1]:80", health.Leave, health.Measured, "connect to [::1]:80: cannot assign requested address"},
			{"127.0.0.1:80", health.OK, health.Broken, "no local address or port is free"},
		} {
			for how, got := range map[string]Outcome{
				"alone": tcp(row.target).probe(t.Context()), "on a switchboard": onSwitchboard(t, tcp(row.target), of("tcp", row.target)),
			} {
				if expect(t, got, row.level, row.text); got.Answer != row.answer {
					t.Errorf("%s, %s: %+v", row.target, how, got)
				}
			}
		}
		return nil
	})
}

func TestWhatIsALack(t *testing.T) {
	for _, row := range []struct {
		err  error
		text string
	}{
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", unix.EADDRNOTAVAIL)}, "no local address or port is free"},
		{&os.PathError{Op: "open", Path: "/x", Err: unix.ENFILE}, "raise fs.file-max"},
		{unix.ENOBUFS, "short of memory for its network"},
		{unix.ENOMEM, "short of memory"},
		{unix.ECONNREFUSED, ""},
		{&net.DNSError{Err: "no such host"}, ""},
		{errors.New("too many open files, says the service"), ""},
	} {
		got := failure("try", row.err)
		if lack := got.Answer == health.Broken; lack != (row.text != "") || lack != (got.Level == health.OK) || !strings.Contains(got.Text, row.text) {
			t.Errorf("%v: %+v", row.err, got)
		}
	}
}
