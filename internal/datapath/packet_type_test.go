package datapath

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
	"github.com/rota-cluster/rota/internal/ownership"
)

func TestTheAdopterDropsBeatsAlone(t *testing.T) {
	rows := []struct {
		words string
		frame []byte
		want  Verdict
	}{
		{"a beat", frame(ip4(other4, web4, udp(7479, beatPort, 100))), DropBeat},
		{"a beat, IPv6", frame(ip6(other6, web6, udp(7479, beatPort, 100))), DropBeat},
		{"the beats' port at another address", frame(ip4(client4, other4, udp(1, beatPort, 4))), PassUntouched},
		{"TCP of a bucket that is mine, counted where it was judged first", frame(ip4(client4, web4, tcp(1234, 80, tcpSYN))), PassUntouched},
		{"TCP of a foreign bucket, as if XDP were gone", frame(ip4(client4, mail4, tcp(1234, 80, tcpSYN))), DropForeign},
		{"a later fragment of nobody knows what", frame(fragment4(1, 8, 16, ip4(client4, web4, udp(1, 2, 40)))), DropFragment},
		{"ARP", frame(arp(2, clientMAC, client4, testMAC, web4)), PassUntouched},
	}
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	if err := d.SetTable(1, make([]State, d.options().Pools[1].Hasher.Buckets)); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			expectOutgoing(t, d, d.programs.RotaAdopt, r.frame, what{verdict: r.want, dropped: r.want.Drops(), out: r.frame})
		})
	}
}

// TestPacketTypes sends real frames over a veth pair: the kernel's test run
// does not show the packet type.
func TestPacketTypes(t *testing.T) {
	const (
		host, broadcast, multicast, otherHost = unix.PACKET_HOST, unix.PACKET_BROADCAST, unix.PACKET_MULTICAST, unix.PACKET_OTHERHOST
	)
	unicast := net.HardwareAddr{0x02, 0xdd, 0, 0, 0, 9}
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	rows := []struct {
		words        string
		to           net.HardwareAddr
		packet       packetOf
		before, want uint8
	}{
		{"to a shared address, multicast MAC", testMAC, ip4(client4, web4, tcp(1, 80, tcpSYN)), multicast, host},
		{"to a shared address, unicast MAC", unicast, ip4(client4, web4, tcp(2, 80, tcpSYN)), otherHost, host},
		{"to a shared address, IPv6", testMAC, ip6(client6, web6, tcp(3, 80, tcpSYN)), multicast, host},
		{"to a shared address, IPv6, unicast MAC", unicast, ip6(client6, web6, tcp(4, 80, tcpSYN)), otherHost, host},
		{"to another address, multicast MAC", testMAC, ip4(client4, other4, tcp(5, 80, tcpSYN)), multicast, multicast},
		{"to another address, unicast MAC", unicast, ip6(client6, other6, tcp(6, 80, tcpSYN)), otherHost, otherHost},
		{"ARP reply to a shared address, unicast MAC", unicast, arp(2, clientMAC, client4, unicast, web4), otherHost, host},
		{"ARP request for a shared address, unicast MAC", unicast, arp(1, clientMAC, client4, unicast, web4), otherHost, host},
		{"ARP reply to another address, unicast MAC", unicast, arp(2, clientMAC, client4, unicast, other4), otherHost, otherHost},
		{"ARP request to everybody", everybody, arp(1, clientMAC, client4, make([]byte, 6), web4), broadcast, broadcast},
	}
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	for name, program := range map[string]*ebpf.Program{"rota_adopt": d.programs.RotaAdopt, "rota_tc": d.programs.RotaTc} {
		w := newWire(t)
		for _, r := range rows {
			if got := w.packetType(t, frameTo(r.to, r.packet)); got != r.before {
				t.Errorf("%s: type %d without the program, want %d", r.words, got, r.before)
			}
		}
		w.attach(t, program)
		for _, r := range rows {
			t.Run(name+", "+r.words, func(t *testing.T) {
				if got := w.packetType(t, frameTo(r.to, r.packet)); got != r.want {
					t.Errorf("type %d, want %d", got, r.want)
				}
			})
		}
	}
}

// TestHeadersBeyondTheFirstPiece: of these frames only the Ethernet header lies
// where a tc program can read without copying.
func TestHeadersBeyondTheFirstPiece(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	w := newWire(t)
	w.scatter(t)
	w.attach(t, d.programs.RotaTc)
	rows := []struct {
		words  string
		packet packetOf
		want   Verdict
	}{
		{"IPv4", ip4(client4, web4, udp(1, 53, 5000)), PassMine},
		{"IPv6", ip6(client6, web6, stacked(2, udp(1, 53, 5000))), PassMine},
		{"an ICMP error", ip6("2001:db8:f::1", web6, icmp6(2, ip6(web6, client6, udp(53, 1, 5000)).bytes...)), PassMine},
		{"a VLAN tag", tagged(etherTypeVLAN, 5, ip4(client4, web4, udp(1, 53, 5000))), PassMine},
		{"two VLAN tags", tagged(etherTypeQinQ, 6, tagged(etherTypeVLAN, 5, ip4(client4, web4, udp(1, 53, 5000)))), PassMine},
		{"three VLAN tags, one of them taken out by the kernel", tagged(etherTypeQinQ, 7, tagged(etherTypeQinQ, 6, tagged(etherTypeVLAN, 5, ip4(client4, web4, udp(1, 53, 5000))))), PassMine},
		{"a beat", ip4(other4, web4, udp(1, beatPort, 5000)), DropBeat},
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			before, err := d.Counters()
			if err != nil {
				t.Fatal(err)
			}
			w.send(t, frame(r.packet))
			netnstest.Until(t, "the frame was judged", func() bool {
				after, err := d.Counters()
				if err != nil {
					t.Fatal(err)
				}
				return after[0][r.want] == before[0][r.want]+1
			})
		})
	}
}

func frameTo(to net.HardwareAddr, p packetOf) []byte {
	return with(0, to, frame(p))
}

// wire is a veth pair whose one end sends, and whose other end tells the type
// of what comes out of tc ingress.
type wire struct {
	node, far      *netnstest.Space
	index, farther int            // of their interfaces, node0 and far0
	sender         int            // socket
	prefix         []byte         // before every frame sent
	receiver       map[uint16]int // sockets by EtherType
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{node: netnstest.New(t), far: netnstest.New(t), receiver: make(map[uint16]int)}
	netnstest.Veth(w.node, "node0", w.far, "far0")
	w.far.Do(func() (err error) {
		w.farther, err = indexOf("far0")
		if err == nil {
			w.sender, err = packetSocket(t, 0, w.farther)
		}
		return err
	})
	w.node.Do(func() (err error) {
		if w.index, err = indexOf("node0"); err != nil {
			return err
		}
		for _, etherType := range []uint16{etherTypeIPv4, etherTypeIPv6, etherTypeARP} {
			if w.receiver[etherType], err = packetSocket(t, etherType, w.index); err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

func indexOf(name string) (int, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	return l.Attrs().Index, nil
}

// packetSocket receives one EtherType, after tc ingress; none for 0.
func packetSocket(t *testing.T, etherType uint16, index int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	protocol := binary.NativeEndian.Uint16(be16(etherType))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}); err != nil {
		return 0, err
	}
	patience := unix.NsecToTimeval(int64(netnstest.Patience))
	return fd, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
}

func (w *wire) attach(t *testing.T, program *ebpf.Program) {
	t.Helper()
	w.node.Do(func() error {
		l, err := link.AttachTCX(link.TCXOptions{Interface: w.index, Program: program, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return fmt.Errorf("attach (needs Linux 6.6): %w", err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return nil
	})
}

// scatter makes the wire take jumbo frames, and the sender send them in pieces:
// the Ethernet header, then the rest.
func (w *wire) scatter(t *testing.T) {
	t.Helper()
	for name, s := range map[string]*netnstest.Space{"node0": w.node, "far0": w.far} {
		s.Do(func() error {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(l, 9000)
		})
	}
	if err := unix.SetsockoptInt(w.sender, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		t.Fatal(err)
	}
	// struct virtio_net_hdr of include/uapi/linux/virtio_net.h: hdr_len 14.
	w.prefix = make([]byte, 10)
	binary.NativeEndian.PutUint16(w.prefix[2:], 14)
}

func (w *wire) send(t *testing.T, frame []byte) {
	t.Helper()
	if err := unix.Sendto(w.sender, append(w.prefix, frame...), 0, &unix.SockaddrLinklayer{Ifindex: w.farther}); err != nil {
		t.Fatal(err)
	}
}

// packetType sends a frame and tells the type with which it arrives.
func (w *wire) packetType(t *testing.T, frame []byte) uint8 {
	t.Helper()
	w.send(t, frame)
	buf := make([]byte, 2048)
	for deadline := time.Now().Add(netnstest.Patience); time.Now().Before(deadline); {
		n, from, err := unix.Recvfrom(w.receiver[binary.BigEndian.Uint16(frame[12:])], buf, 0)
		if err != nil {
			t.Fatalf("the frame did not arrive: %v", err)
		}
		if string(buf[:n]) == string(frame) {
			return from.(*unix.SockaddrLinklayer).Pkttype
		}
	}
	t.Fatal("the frame did not arrive")
	return 0
}
