package datapath

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
	"github.com/rota-cluster/rota/internal/ownership"
)

func TestFuseOfALease(t *testing.T) {
	const tick = 4 * time.Millisecond
	at := reading{jiffies: 1000, monotonic: 50 * time.Second, reliable: true}
	late := reading{jiffies: 1000, monotonic: 50 * time.Second}
	rows := []struct {
		words string
		at    reading
		left  time.Duration // at the reading
		age   time.Duration // of the reading
		want  uint64        // the jiffy
	}{
		{"300 ms: half of them", at, 300 * time.Millisecond, 0, 1000 + 37},
		{"rounded down", at, 296*time.Millisecond - 2, 0, 1000 + 36},
		{"50 ms: less 1 ms and six ticks, more than half", at, 46 * time.Millisecond, 0, 1000 + 5},
		{"a tick more than six and 2 %", at, 7*tick + 600*time.Microsecond, 0, 1001},
		{"a little less than that", at, 7 * tick, 0, 0},
		{"the margin alone", at, 6 * tick, 0, 0},
		{"nothing", at, 0, 0, 0},
		{"over", at, -time.Hour, 0, 0},
		{"ticks were lost", late, 300 * time.Millisecond, 0, 0},
		{"300 ms by a reading of 500 ms ago: half of those that are left", at, 800 * time.Millisecond, 500 * time.Millisecond, 1000 + 162},
		{"50 ms by such a one: less 11 ms and six ticks", at, 546 * time.Millisecond, 500 * time.Millisecond, 1000 + 127},
		{"10 ms by such a one: by the exact clock alone", at, 510 * time.Millisecond, 500 * time.Millisecond, 1000 + 118},
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			c := clock{tick: tick}
			want := fuse{jiffy: r.want, until: r.at.monotonic + r.left}
			if got := c.fuse(r.at, r.at.monotonic+r.age, want.until); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// TestEitherClockGrants in the kernel and in the model alike, so that no
// mixture of two fuses grants more than the longer of them.
func TestEitherClockGrants(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	now, err := d.clock.read()
	if err != nil {
		t.Fatal(err)
	}
	const jiffies, hour = 1 << 20, time.Hour
	rows := []struct {
		words string
		fuse  fuse
		want  Verdict
	}{
		{"both to come", fuse{now.jiffies + jiffies, now.monotonic + hour}, PassMine},
		{"the jiffy past, the time to come", fuse{now.jiffies - 1, now.monotonic + hour}, PassMine},
		{"the jiffy at hand, the time to come", fuse{now.jiffies, now.monotonic + hour}, PassMine},
		{"no jiffy, the time to come", fuse{0, now.monotonic + hour}, PassMine},
		{"the jiffy to come, the time past", fuse{now.jiffies + jiffies, now.monotonic}, PassMine},
		{"the jiffy to come, no time", fuse{now.jiffies + jiffies, 0}, PassMine},
		{"both past", fuse{now.jiffies, now.monotonic}, DropLease},
		{"no jiffy, the time past", fuse{0, now.monotonic}, DropLease},
		{"the jiffy past, no time", fuse{now.jiffies, 0}, DropLease},
		{"neither", fuse{}, DropLease},
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			d.control.grant(r.fuse)
			expectVerdict(t, d, frame(ip4(client4, web4, tcp(1234, 80, tcpSYN))), r.want)
			expectVerdict(t, d, frame(ip6(client6, web6, tcp(1234, 80, tcpSYN))), r.want)
			if r.fuse.blown(now.jiffies, now.monotonic) != (r.want == DropLease) {
				t.Error("the model says otherwise")
			}
		})
	}
}

// monotonic is CLOCK_MONOTONIC as the kernel tells it.
func monotonic(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// TestLeaseEndsExactly: no packet passes that comes after its end, none is
// dropped that comes before, wherever the filter stands and however little of
// the lease the jiffies can tell.
func TestLeaseEndsExactly(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	in := frame(ip4(client4, web4, tcp(1234, 80, tcpSYN)))
	for _, p := range []*ebpf.Program{d.programs.RotaXdp, d.programs.RotaTc, d.programs.RotaAdopt} {
		for _, lease := range []time.Duration{300 * time.Millisecond, 50 * time.Millisecond, 3 * time.Millisecond} {
			t.Run(fmt.Sprintf("%v of %v", lease, p), func(t *testing.T) {
				until := Now() + lease
				if err := d.SetLease(until); err != nil {
					t.Fatal(err)
				}
				netnstest.Until(t, "the lease is over", func() bool {
					before := monotonic(t)
					got, err := run(d, p, in)
					after := monotonic(t)
					if err != nil {
						t.Fatal(err)
					}
					if !got.dropped && before >= until {
						t.Fatalf("a packet passed that came %v after the end", before-until)
					}
					if got.dropped && after < until {
						t.Fatalf("a packet was dropped %v before the end", until-after)
					}
					return got.dropped
				})
			})
		}
	}
}

// TestNowIsNotAheadOfTheKernel, and hardly behind.
func TestNowIsNotAheadOfTheKernel(t *testing.T) {
	const behind = 100 * time.Microsecond
	netnstest.Until(t, "Now is read between two undisturbed readings of the clock", func() bool {
		before, now, after := monotonic(t), Now(), monotonic(t)
		if now > after {
			t.Fatalf("Now is %v ahead", now-after)
		}
		return now >= before-behind
	})
}

func TestClockKeepsUp(t *testing.T) {
	d := loadForTest(t, testOptions())
	c := d.clock
	first, err := c.now()
	if err != nil {
		t.Fatal(err)
	}
	var later reading
	netnstest.Until(t, "a second of jiffies has passed", func() bool {
		if later, err = c.now(); err != nil {
			t.Fatal(err)
		}
		return later.monotonic-first.monotonic > time.Second
	})
	counted := time.Duration(later.jiffies-first.jiffies) * c.tick
	if passed := later.monotonic - first.monotonic; (counted - passed).Abs() > marginTicks*c.tick {
		t.Errorf("%v by jiffies, %v by CLOCK_MONOTONIC: a tick is not %v", counted, passed, c.tick)
	}
}

func TestJiffiesThatFellBehindDoNotCount(t *testing.T) {
	d := loadForTest(t, testOptions())
	syn := frame(ip4(client4, web4, tcp(1234, 80, tcpSYN)))
	setAll(t, d, ownership.Mine)
	if d.control.lease.Load() == 0 {
		t.Error("jiffies that keep up do not count")
	}
	d.clock.base.jiffies += uint64(time.Second / d.clock.tick) // as if a second of ticks had been lost since
	d.clock.latest = reading{}
	until := Now() + time.Hour
	if err := d.SetLease(until); err != nil {
		t.Fatal(err)
	}
	if got := d.control.lease.Load(); got != 0 {
		t.Errorf("the lease is sure until jiffy %d", got)
	}
	if got := time.Duration(d.control.until.Load()); got != until {
		t.Errorf("the lease is until %v, want %v", got, until)
	}
	expectVerdict(t, d, syn, PassMine)
	d.clock.latest = reading{} // as if 200 ms had passed
	if err := d.SetLease(until); err != nil {
		t.Fatal(err)
	}
	if d.control.lease.Load() == 0 {
		t.Error("jiffies that keep up again do not count")
	}
}

func TestClosed(t *testing.T) {
	d, err := Load(testOptions())
	if err != nil {
		t.Fatalf("this test loads BPF programs and needs root: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d.Expire()
	for what, err := range map[string]error{
		"SetLease": d.SetLease(Now() + time.Hour),
		"SetTable": d.SetTable(0, make([]State, 16)),
	} {
		if !errors.Is(err, errClosed) {
			t.Errorf("%s: %v, want %v", what, err, errClosed)
		}
	}
	if _, err := d.Table(0); !errors.Is(err, errClosed) {
		t.Errorf("Table: %v, want %v", err, errClosed)
	}
}
