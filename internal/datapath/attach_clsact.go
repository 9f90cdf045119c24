package datapath

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ownQdisc, at the end of a filter's name, says that rota added the clsact
// qdisc for it and takes it away again when nobody uses it.
const ownQdisc = " (with clsact)"

// clsactPriority is the first that tc looks at.
const clsactPriority = 1

func clsactParent(at place) uint32 {
	if at == atEgress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

func clsact(index int) *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
}

// addClsact attaches through the clsact qdisc, which it adds if there is none.
func addClsact(index int, at place, p *ebpf.Program, name string) error {
	kind, err := ingressQdisc(index)
	if err != nil {
		return err
	}
	switch kind {
	case "":
		if err := netlink.QdiscAdd(clsact(index)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add a clsact qdisc: %w; needs CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF, or Linux 6.6", err)
		}
		name += ownQdisc
	case "ingress":
		return errors.New("an ingress qdisc stands where rota needs clsact; replace it with: tc qdisc add dev … clsact")
	default:
		if mine, err := surveyClsact(index, otherSide(at)); err == nil {
			for _, s := range mine {
				if strings.HasSuffix(s.filter.Name, ownQdisc) {
					name += ownQdisc
					break
				}
			}
		}
	}
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: clsactParent(at), Priority: clsactPriority, Protocol: unix.ETH_P_ALL,
		},
		Fd: p.FD(), Name: name, DirectAction: true,
	}
	if err := netlink.FilterAdd(filter); err != nil {
		return fmt.Errorf("attach %s at %s by clsact: %w; is something else than a BPF filter at priority %d?", name, at, err, clsactPriority)
	}
	return nil
}

func otherSide(at place) place {
	if at == atEgress {
		return atIngress
	}
	return atEgress
}

func replaceClsact(s standing, p *ebpf.Program, name string) error {
	filter := *s.filter
	filter.Fd = p.FD()
	filter.Name = name
	if strings.HasSuffix(s.filter.Name, ownQdisc) {
		filter.Name += ownQdisc
	}
	if err := netlink.FilterReplace(&filter); err != nil {
		return fmt.Errorf("replace %s at %s by clsact: %w", s.name, s.place, err)
	}
	return nil
}

// detachClsact removes the filter, and the qdisc if rota added it and no filter
// of anybody's is left.
func detachClsact(s standing) error {
	filter := *s.filter
	filter.Fd = -1
	if err := netlink.FilterDel(&filter); err != nil {
		return fmt.Errorf("detach %s from %s by clsact: %w", s.name, s.place, err)
	}
	if !strings.HasSuffix(s.filter.Name, ownQdisc) {
		return nil
	}
	for _, at := range []place{atIngress, atEgress} {
		left, err := filters(s.index, at)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return nil
		}
	}
	if err := netlink.QdiscDel(clsact(s.index)); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("remove the clsact qdisc: %w", err)
	}
	return nil
}

// surveyClsact finds rota's programs that stand there as tc filters.
func surveyClsact(index int, at place) ([]standing, error) {
	kind, err := ingressQdisc(index)
	if err != nil || kind == "" {
		return nil, err
	}
	all, err := filters(index, at)
	if err != nil {
		return nil, err
	}
	var found []standing
	for _, f := range all {
		bpf, ok := f.(*netlink.BpfFilter)
		if !ok || bpf.Id == 0 {
			continue
		}
		s, ok, err := recognise(ebpf.ProgramID(bpf.Id))
		if err != nil {
			return nil, err
		}
		if ok {
			s.index, s.place, s.filter = index, at, bpf
			found = append(found, s)
		}
	}
	return found, nil
}

func filters(index int, at place) ([]netlink.Filter, error) {
	link := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}
	all, err := netlink.FilterList(link, clsactParent(at))
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list the filters at %s: %w", at, err)
	}
	return all, nil
}

// ingressQdisc is the kind of the qdisc that holds ingress filters: "clsact",
// "ingress" or none.
func ingressQdisc(index int) (string, error) {
	link := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}
	all, err := netlink.QdiscList(link)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return "", fmt.Errorf("list the qdiscs: %w", err)
	}
	for _, q := range all {
		if q.Attrs().Parent == netlink.HANDLE_CLSACT { // HANDLE_INGRESS is the same number
			return q.Type(), nil
		}
	}
	return "", nil
}
