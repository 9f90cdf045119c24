package peer

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

var (
	clusterMAC = MAC{0x03, 1, 2, 3, 4, 5}
	ownMAC     = MAC{0x02, 0, 0, 0, 0, 1}
	shared4    = netip.MustParseAddr("192.0.2.10")
	shared6    = netip.MustParseAddr("2001:db8::10")
	own4       = netip.MustParseAddr("192.0.2.1")
	own6       = netip.MustParseAddr("2001:db8::1")
)

const beatPort = 7479

func frame4(payload string) Frame {
	return Frame{
		SourceMAC: ownMAC, DestinationMAC: clusterMAC, Source: own4, Destination: shared4,
		SourcePort: beatPort, DestinationPort: beatPort, Payload: []byte(payload),
	}
}

func frame6(payload string) Frame {
	f := frame4(payload)
	f.Source, f.Destination = own6, shared6
	return f
}

func mustAppend(tb testing.TB, f Frame) []byte {
	tb.Helper()
	b, err := AppendFrame(nil, &f)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// The checksums come from another implementation; TestKernelTakesTheFrames has a kernel
// judge them.
func TestFrameBytes(t *testing.T) {
	rows := []struct {
		name  string
		frame Frame
		want  string
	}{
		{"IPv4", frame4("abc"), `
			030102030405 020000000001 0800
			45 c0 001f 0000 4000 ff 11 f701 c0000201 c000020a
			1d37 1d37 000b 7cfb 616263`},
		{"IPv6", frame6("abc"), `
			030102030405 020000000001 86dd
			6c000000 000b 11 ff 20010db8000000000000000000000001 20010db8000000000000000000000010
			1d37 1d37 000b a584 616263`},
	}
	for _, row := range rows {
		want, err := hex.DecodeString(strings.Join(strings.Fields(row.want), ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := mustAppend(t, row.frame); !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%x\nwant\n%x", row.name, got, want)
		}
	}
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	for _, make := range []func(string) Frame{frame4, frame6} {
		for _, n := range []int{0, 1, 2, 1452, 1453, 65507} {
			f := make(strings.Repeat("x", n))
			got, fault := ParseFrame(append(mustAppend(t, f), "padding"...))
			if f.Source.Is6() && n == 65507 && fault == FaultNone {
				f.Payload = got.Payload // bytes.Equal is judged below
			}
			if fault != FaultNone || !reflect.DeepEqual(got, f) {
				t.Errorf("%v, %d bytes: %v", f.Destination, n, fault)
			}
		}
	}
	// A checksum that comes out as 0 is written as all ones.
	f := frame4("\x00\x00")
	b := mustAppend(t, f)
	binary.BigEndian.PutUint16(f.Payload, binary.BigEndian.Uint16(b[40:]))
	b = mustAppend(t, f)
	if sum := binary.BigEndian.Uint16(b[40:]); sum != 0xffff {
		t.Errorf("checksum %#x", sum)
	}
	if _, fault := ParseFrame(b); fault != FaultNone {
		t.Error(fault)
	}
}

func TestAppendFrameRefuses(t *testing.T) {
	mixed, none, long := frame4(""), frame4(""), frame4(strings.Repeat("x", 65508))
	mixed.Source, none.Source = own6, netip.Addr{}
	for _, f := range []Frame{mixed, none, long, {}} {
		if b, err := AppendFrame([]byte("before"), &f); err == nil || string(b) != "before" {
			t.Errorf("%v to %v: %q, %v", f.Source, f.Destination, b, err)
		}
	}
}

func TestParseFrameSaysWhy(t *testing.T) {
	v4, v6 := mustAppend(t, frame4("beat")), mustAppend(t, frame6("beat"))
	// set changes bytes and makes the IPv4 header's checksum right again.
	set := func(b []byte, at int, to ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], to)
		if b[12] == 8 && len(b) >= 34 {
			b[24], b[25] = 0, 0
			binary.BigEndian.PutUint16(b[24:], fold(onesSum(b[14:34])))
		}
		return b
	}
	rows := []struct {
		name  string
		frame []byte
		want  Fault
	}{
		{"IPv4", v4, FaultNone},
		{"IPv6", v6, FaultNone},
		{"nothing", nil, FaultTooShort},
		{"half an Ethernet header", v4[:13], FaultTooShort},
		{"half an IPv4 header", v4[:33], FaultTooShort},
		{"half an IPv6 header", v6[:53], FaultTooShort},
		{"ARP", set(v4, 12, 0x08, 0x06), FaultNotUDP},
		{"a VLAN", set(v4, 12, 0x81, 0x00), FaultNotUDP},
		{"TCP over IPv4", set(v4, 23, 6), FaultNotUDP},
		{"TCP over IPv6", set(v6, 20, 6), FaultNotUDP},
		{"an IPv6 extension header", set(v6, 20, 60), FaultNotUDP},
		{"version 5", set(v4, 14, 0x55), FaultNotUDP},
		{"version 7", set(v6, 14, 0x70), FaultNotUDP},
		{"an IPv4 header of 16 bytes", set(v4, 14, 0x44), FaultBadLength},
		{"an IPv4 header beyond the frame", set(v4, 14, 0x4f), FaultBadLength},
		{"IPv4 beyond the frame", set(v4, 16, 0xff, 0xff), FaultBadLength},
		{"IPv4 shorter than UDP says", set(v4, 16, 0, 28), FaultBadLength},
		{"IPv4 without UDP", set(v4, 16, 0, 20), FaultBadLength},
		{"IPv6 beyond the frame", set(v6, 18, 0xff, 0xff), FaultBadLength},
		{"IPv6 without UDP", set(v6, 18, 0, 4), FaultBadLength},
		{"UDP longer than IPv4", set(v4, 38, 1, 0), FaultBadLength},
		{"UDP shorter than IPv4", set(v4, 38, 0, 8), FaultBadLength},
		{"the first fragment", set(v4, 20, 0x20, 0), FaultFragment},
		{"the last fragment", set(v4, 20, 0, 8), FaultFragment},
		{"a hop limit of 254 over IPv4", set(v4, 22, 254), FaultRouted},
		{"a hop limit of 1 over IPv6", set(v6, 21, 1), FaultRouted},
		{"a wrong sum of the IPv4 header", append(append(bytes.Clone(v4[:24]), 1, 2), v4[26:]...), FaultBadChecksum},
		{"another IPv4 source", set(v4, 29, 2), FaultBadChecksum},
		{"another IPv6 source", set(v6, 37, 2), FaultBadChecksum},
		{"another byte of payload", set(v4, 42, 'B'), FaultBadChecksum},
		{"UDP without sum over IPv4", set(v4, 40, 0, 0), FaultNone},
		{"UDP without sum over IPv6", set(v6, 60, 0, 0), FaultBadChecksum},
	}
	covered := make(map[Fault]bool)
	for _, row := range rows {
		covered[row.want] = true
		f, got := ParseFrame(row.frame)
		if got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
		if (got == FaultNone) != (string(f.Payload) == "beat") {
			t.Errorf("%s: %v with payload %q", row.name, got, f.Payload)
		}
	}
	for fault := range Fault(Faults) {
		if !covered[fault] {
			t.Errorf("no row for %v", fault)
		}
	}
}

func TestMaxPayload(t *testing.T) {
	rows := []struct {
		mtu  int
		to   netip.Addr
		want int
	}{{1500, shared4, 1472}, {1500, shared6, 1452}, {1280, shared6, 1232}, {20, shared4, 0}, {1500, netip.MustParseAddr("::ffff:192.0.2.10"), 1472}}
	for _, row := range rows {
		if got := MaxPayload(row.mtu, row.to); got != row.want {
			t.Errorf("MTU %d to %v: %d, want %d", row.mtu, row.to, got, row.want)
		}
	}
}

func TestSourcePortsOfFramesInARowDiffer(t *testing.T) {
	for _, port := range []uint16{1, beatPort, 65472, 65473, 65535} {
		seen := make(map[uint16]bool)
		for i := range uint64(sourcePorts) {
			seen[sourcePort(port, 1000+i)] = true
		}
		if len(seen) != sourcePorts || seen[0] {
			t.Errorf("port %d: %d different: %v", port, len(seen), seen)
		}
	}
}

func TestStopgapSource(t *testing.T) {
	if got := stopgap(shared4, ownMAC); got.String() != "0.0.0.0" {
		t.Error(got)
	}
	if got := stopgap(shared6, MAC{0x00, 0x11, 0x22, 0x33, 0x44, 0x55}); got.String() != "fe80::211:22ff:fe33:4455" {
		t.Error(got)
	}
}

// FuzzParseFrame: what is parsed can be built again and parses as the same.
func FuzzParseFrame(f *testing.F) {
	f.Add(mustAppend(f, frame4("beat")))
	f.Add(mustAppend(f, frame6("beat")))
	f.Add(append(mustAppend(f, frame4("")), make([]byte, 18)...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		was := bytes.Clone(b)
		got, fault := ParseFrame(b)
		if !bytes.Equal(b, was) {
			t.Fatal("the frame was changed")
		}
		if fault >= Faults {
			t.Fatalf("fault %d", fault)
		}
		if fault != FaultNone {
			if !reflect.DeepEqual(got, Frame{}) {
				t.Fatalf("%v with %+v", fault, got)
			}
			return
		}
		again, fault := ParseFrame(mustAppend(t, got))
		if fault != FaultNone || !reflect.DeepEqual(again, got) {
			t.Fatalf("%v: got\n%+v\nwant\n%+v", fault, again, got)
		}
	})
}
