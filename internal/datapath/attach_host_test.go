package datapath

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/flowhash"
	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
	"github.com/rota-cluster/rota/internal/ownership"
)

var (
	shared4 = netip.MustParseAddr("192.0.2.10")
	shared6 = netip.MustParseAddr("2001:db8::10")

	multicastReception = netcfg.Reception{MAC: net.HardwareAddr{0x03, 1, 2, 3, 4, 5}}
	unicastReception   = netcfg.Reception{MAC: net.HardwareAddr{0x02, 1, 2, 3, 4, 5}}
	igmpReception      = netcfg.Reception{MAC: net.HardwareAddr{0x01, 0, 0x5e, 0x41, 2, 3}, Group: netip.MustParseAddr("239.193.2.3")}
)

const servicePort = "80"

// host is a node in a namespace, put together as the daemon does it.
type host struct {
	*netnstest.Space
	t         *testing.T
	link      netcfg.Link
	reception netcfg.Reception
	found     Found
	datapath  *Datapath
	attached  *Attachment
}

// segment is a node and a client on one wire, with an address each.
func segment(t *testing.T) (*host, *netnstest.Space) {
	t.Helper()
	h, client := &host{Space: netnstest.New(t), t: t, reception: multicastReception}, netnstest.New(t)
	netnstest.Veth(h.Space, "node0", client, "client0")
	h.AddAddress("node0", "192.0.2.1/24")
	h.AddAddress("node0", "2001:db8::1/64")
	client.AddAddress("client0", "192.0.2.2/24")
	client.AddAddress("client0", "2001:db8::2/64")
	h.refresh()
	return h, client
}

// refresh reads the service interface anew.
func (h *host) refresh() {
	h.t.Helper()
	h.Do(func() (err error) {
		h.link, err = netcfg.LinkByName("node0")
		return err
	})
}

func (h *host) options() Options {
	return Options{BeatPort: 7479, Pools: []Pool{{
		Name: "web", Addresses: []netip.Addr{shared4, shared6}, MAC: h.reception.MAC,
		Hasher: flowhash.Hasher{Mode: flowhash.SourceAddressPort, Prefix4: 24, Prefix6: 64, Seed: 7, Buckets: 64},
	}}}
}

// attach adopts what there is and attaches. It accepts nothing yet.
func (h *host) attach(wish config.Datapath, clsact bool) {
	h.t.Helper()
	h.Do(func() error { return h.tryAttach(wish, clsact) })
}

func (h *host) tryAttach(wish config.Datapath, clsact bool) error {
	if err := h.adopt(); err != nil {
		return err
	}
	return h.complete(wish, clsact)
}

// adopt is the first half of attach, complete the second.
func (h *host) adopt() (err error) {
	if h.datapath, h.found, err = Adopt(h.options(), h.link); err == nil {
		h.t.Cleanup(func() { _ = h.datapath.Close() })
	}
	return err
}

func (h *host) complete(wish config.Datapath, clsact bool) (err error) {
	if h.attached != nil { // its process has ended
		if err := h.attached.Close(); err != nil {
			return err
		}
	}
	if h.attached, err = h.datapath.attach(h.link, wish, tc{clsact: clsact}); err == nil {
		h.t.Cleanup(func() { _ = h.attached.Close() })
	}
	return err
}

// mending calls Mend at every change that the kernel tells of, as the daemon does.
func (h *host) mending() (stop func()) {
	h.t.Helper()
	var w *netcfg.Watcher
	h.Do(func() (err error) {
		w, err = netcfg.NewWatcher()
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	h.Go(func() error {
		defer close(ended)
		defer w.Close()
		return w.Run(ctx, func(netcfg.Change) {
			if err := h.attached.Mend(); err != nil {
				h.t.Error(err)
			}
		})
	})
	stop = func() {
		cancel()
		<-ended
	}
	h.t.Cleanup(stop)
	return stop
}

// share puts the addresses on the interface, as the daemon does after Attach.
func (h *host) share() {
	h.t.Helper()
	h.Do(func() error {
		for _, a := range []netip.Addr{shared4, shared6} {
			if err := netcfg.AddAddress(h.link, a); err != nil {
				return err
			}
		}
		if err := netcfg.Receive(h.link, h.reception); err != nil {
			return err
		}
		l, err := netcfg.LinkByIndex(h.link.Index) // with its link-local address
		if err != nil {
			return err
		}
		return errors.Join(netcfg.Announce(l, shared4, h.reception.MAC), netcfg.Announce(l, shared6, h.reception.MAC))
	})
}

// own accepts everything, for longer than any test lasts.
func (h *host) own() {
	h.t.Helper()
	if err := h.datapath.SetTable(0, slices.Repeat([]State{ownership.Mine}, 64)); err != nil {
		h.t.Fatal(err)
	}
	if err := h.datapath.SetLease(Now() + time.Hour); err != nil {
		h.t.Fatal(err)
	}
}

// leave undoes share and attach, in this order.
func (h *host) leave() {
	h.t.Helper()
	h.Do(func() error {
		return errors.Join(netcfg.StopReceiving(h.link, h.reception.MAC),
			netcfg.RemoveAddress(h.link, shared4), netcfg.RemoveAddress(h.link, shared6), h.attached.Close(), Remove(h.link))
	})
}

// standing lists rota's programs in the namespace, as "interface place name how".
func (h *host) standing() (all []string) {
	h.t.Helper()
	h.Do(func() error {
		found, err := surveyNamespace()
		for _, s := range found {
			l, err := netcfg.LinkByIndex(s.index)
			if err != nil {
				return err
			}
			how := "tcx"
			if s.filter != nil {
				how = "clsact"
			}
			if s.place == atXDP {
				how = s.mode.String()
			}
			all = append(all, fmt.Sprintf("%s %s %s %s", l.Name, s.place, s.name, how))
		}
		return err
	})
	slices.Sort(all)
	return all
}

// echo answers on all addresses of the namespace until the test ends.
func (h *host) echo() {
	h.t.Helper()
	h.Do(func() error {
		l, err := net.Listen("tcp", ":"+servicePort)
		if err != nil {
			return err
		}
		h.t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					_, _ = io.Copy(conn, conn)
				}()
			}
		}()
		return nil
	})
}

// connect opens a connection to a shared address from the client's namespace.
func connect(client *netnstest.Space, a netip.Addr, patience time.Duration) (conn net.Conn, err error) {
	err = client.Try(func() error {
		var err error
		conn, err = net.DialTimeout("tcp", net.JoinHostPort(a.String(), servicePort), patience)
		return err
	})
	return conn, err
}

// exchange sends enough for merged segments both ways and wants it back.
func exchange(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(netnstest.Patience)); err != nil {
		return err
	}
	sent := bytes.Repeat([]byte("rota"), 50_000)
	failed := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		failed <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil {
		return errors.Join(err, <-failed)
	}
	if !bytes.Equal(got, sent) {
		return errors.New("other bytes came back than were sent")
	}
	return <-failed
}

// ping sends one echo request and waits for the reply.
func ping(client *netnstest.Space, a netip.Addr) error {
	return pingWithin(client, a, netnstest.Patience)
}

func pingWithin(client *netnstest.Space, a netip.Addr, patience time.Duration) error {
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if a.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	return client.Try(func() error {
		conn, err := net.Dial(network, a.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		message := []byte{request, 0, 0, 0, 0, 1, 0, 1}
		if a.Is4() { // in IPv6 the kernel does it
			message[2], message[3] = 0xf7, 0xfd
		}
		if _, err := conn.Write(message); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		for buf := make([]byte, 1500); ; {
			n, _, err := conn.(*net.IPConn).ReadFrom(buf) // without the IP header
			if err != nil {
				return err
			}
			if n >= 8 && buf[0] == reply {
				return nil
			}
		}
	})
}
