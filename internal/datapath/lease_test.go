package datapath

import (
	"errors"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
	"github.com/rota-cluster/rota/internal/ownership"
)

func TestDeadline(t *testing.T) {
	const tick = 4 * time.Millisecond
	at := reading{jiffies: 1000, monotonic: 50 * time.Second}
	rows := []struct {
		words string
		left  time.Duration
		want  uint64
	}{
		{"300 ms, less 6 ms and six ticks", 300 * time.Millisecond, 1000 + 67},
		{"rounded down", 300*time.Millisecond - 1, 1000 + 67},
		{"a tick more than six and 2 %", 7*tick + 600*time.Microsecond, 1001},
		{"a little less than that", 7 * tick, 0},
		{"the margin alone", 6 * tick, 0},
		{"nothing", 0, 0},
		{"over", -time.Hour, 0},
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			c := clock{tick: tick}
			if got := c.deadline(at, at.monotonic+r.left); got != r.want {
				t.Errorf("deadline %d, want %d", got, r.want)
			}
		})
	}
}

// TestLeaseEndsByItself in the kernel, not after its time, and not much before.
func TestLeaseEndsByItself(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	in := frame(ip4(client4, web4, tcp(1234, 80, tcpSYN)))
	const lease = 300 * time.Millisecond
	began := Now()
	if err := d.SetLease(began + lease); err != nil {
		t.Fatal(err)
	}
	accepted := func() bool {
		returned, err := d.programs.RotaXdp.Run(&ebpf.RunOptions{Data: in})
		if err != nil {
			t.Fatal(err)
		}
		return returned == 2
	}
	var last time.Duration // when a packet was judged that was accepted
	netnstest.Until(t, "the lease is over", func() bool {
		before := Now()
		if accepted() {
			last = before - began
			return false
		}
		return true
	})
	if last >= lease {
		t.Errorf("a packet was accepted %v after the lease began, which was for %v", last, lease)
	}
	if least := lease - lease/marginShare - (marginTicks+2)*d.clock.tick - 100*time.Millisecond; last < least {
		t.Errorf("the last packet was accepted after %v, want at least %v", last, least)
	}
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
	// Now was tied to the clock once, and is behind by what passed meanwhile.
	if now := Now(); now < later.monotonic-10*time.Millisecond || now-later.monotonic > netnstest.Patience {
		t.Errorf("Now is %v, the programs' clock %v", now, later.monotonic)
	}
}

func TestJiffiesThatFellBehindEndTheLease(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	d.clock.base.jiffies += uint64(time.Second / d.clock.tick) // as if a second of ticks had been lost since
	d.clock.latest = reading{}
	if err := d.SetLease(Now() + time.Second); !errors.Is(err, ErrClockLost) {
		t.Errorf("SetLease: %v, want %v", err, ErrClockLost)
	}
	expectVerdict(t, d, frame(ip4(client4, web4, tcp(1234, 80, tcpSYN))), DropLease)
	if err := d.SetLease(Now() + time.Hour); err != nil {
		t.Errorf("SetLease after the loss was told: %v", err)
	}
	expectVerdict(t, d, frame(ip4(client4, web4, tcp(1234, 80, tcpSYN))), PassMine)
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
