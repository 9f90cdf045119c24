/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Does a TCP packet have a socket here? The kernel's own socket tables are
 * asked, so that there is no flow table to fill or to lose. Some 60 ns.
 */
#ifndef ROTA_SOCKET_H
#define ROTA_SOCKET_H

#include "transport.h"

static __always_inline void words_of(const struct address *a, __be32 word[4])
{
	word[0] = bpf_htonl(a->high >> 32);
	word[1] = bpf_htonl(a->high);
	word[2] = bpf_htonl(a->low >> 32);
	word[3] = bpf_htonl(a->low);
}

/* Returns the tuple's length. */
static __always_inline __u32 tuple_of(const struct packet *p, struct bpf_sock_tuple *t)
{
	const struct flow *f = &p->flow;

	if (!p->ipv6) {
		t->ipv4.saddr = bpf_htonl(f->remote.low);
		t->ipv4.daddr = bpf_htonl(p->destination.low);
		t->ipv4.sport = f->remote_port;
		t->ipv4.dport = f->local_port;
		return sizeof(t->ipv4);
	}
	words_of(&f->remote, t->ipv6.saddr);
	words_of(&p->destination, t->ipv6.daddr);
	t->ipv6.sport = f->remote_port;
	t->ipv6.dport = f->local_port;
	return sizeof(t->ipv6);
}

/* The header of a packet that is a TCP segment with one; NULL for later fragments and ICMP errors. */
static __always_inline const struct tcphdr *
segment_of(const struct frame *f, const struct packet *p, struct tcphdr *room)
{
	if (p->protocol != IPPROTO_TCP || p->fragment == LATER_FRAGMENT)
		return NULL;
	return transport_at(f, p, 0, room, sizeof(*room));
}

/*
 * The kernel gives a connection that is opening as a struct of which only it
 * knows the layout. Its address has to become a number for us to go on from:
 * the verifier allows no sums with it.
 */
static __always_inline bool isn_of(const struct bpf_sock *request, __u32 *isn)
{
	__u64 address = 0;

	return config.request_isn &&
	       bpf_probe_read_kernel(&address, sizeof(address), &request) == 0 &&
	       bpf_probe_read_kernel(isn, sizeof(*isn), (void *)(address + config.request_isn)) == 0;
}

/*
 * While a bucket moves a client may have a handshake with the other node, by
 * the same ports: it sent its SYN again. What acknowledges the other's SYN-ACK is
 * none of ours, and our stack would answer it with a reset.
 */
static __always_inline bool
acknowledges(const struct frame *f, const struct packet *p, const struct bpf_sock *request)
{
	struct tcphdr room;
	const struct tcphdr *tcp = segment_of(f, p, &room);
	__u32 isn;

	if (!tcp || !(tcp->flags & TCP_FLAG_ACK) || !isn_of(request, &isn))
		return true;
	return bpf_ntohl(tcp->ack) == isn + 1;
}

union ip_header {
	struct iphdr v4;
	struct ipv6hdr v6;
};

/* As much of an IP header as the check of a SYN cookie reads. */
static __always_inline void header_of(const struct packet *p, union ip_header *ip)
{
	if (!p->ipv6) {
		ip->v4.version_ihl = 0x45;
		ip->v4.saddr = bpf_htonl(p->source.low);
		ip->v4.daddr = bpf_htonl(p->destination.low);
		return;
	}
	ip->v6.version_class_flow = bpf_htonl(6u << 28);
	ip->v6.saddr[0] = bpf_cpu_to_be64(p->source.high);
	ip->v6.saddr[1] = bpf_cpu_to_be64(p->source.low);
	ip->v6.daddr[0] = bpf_cpu_to_be64(p->destination.high);
	ip->v6.daddr[1] = bpf_cpu_to_be64(p->destination.low);
}

/*
 * A listener whose queue is full keeps nothing of a SYN: the SYN-ACK is a
 * cookie, which its answer brings back. The kernel looks at the cookie only if the
 * listener has sent some lately.
 */
static __always_inline bool
answers_cookie(const struct frame *f, const struct packet *p, struct bpf_sock *listener)
{
	struct tcphdr tcp;
	const struct tcphdr *segment = segment_of(f, p, &tcp);
	union ip_header ip = {};

	if (!segment || !(segment->flags & TCP_FLAG_ACK))
		return false;
	if (segment != &tcp)
		tcp = *segment;
	header_of(p, &ip);
	return (p->ipv6 ? bpf_tcp_check_syncookie(listener, &ip.v6, sizeof(ip.v6), (void *)&tcp, sizeof(tcp))
			: bpf_tcp_check_syncookie(listener, &ip.v4, sizeof(ip.v4), (void *)&tcp, sizeof(tcp))) == 0;
}

/* Established, opening, closing or in TIME_WAIT. */
static __always_inline bool find_tcp_socket(const struct frame *f, const struct packet *p)
{
	struct bpf_sock_tuple tuple = {};
	__u32 len = tuple_of(p, &tuple);
	struct bpf_sock *sk = bpf_skc_lookup_tcp(f->ctx, &tuple, len, BPF_F_CURRENT_NETNS, 0);
	bool found = true;

	if (!sk)
		return false;
	if (sk->state == TCP_LISTEN)
		found = answers_cookie(f, p, sk);
	else if (sk->state == TCP_NEW_SYN_RECV)
		found = acknowledges(f, p, sk);
	bpf_sk_release(sk);
	return found;
}

/* Functions of their own, as in network.h. */
__noinline int tcp_socket_for_xdp(struct xdp_md *ctx, const struct packet *p)
{
	struct frame f = xdp_frame(ctx);

	return p && find_tcp_socket(&f, p);
}

__noinline int tcp_socket_for_tc(struct __sk_buff *skb, const struct packet *p)
{
	struct frame f = tc_frame(skb);

	return p && find_tcp_socket(&f, p);
}

static __always_inline bool has_tcp_socket(const struct frame *f, const struct packet *p)
{
	return f->hook == XDP ? tcp_socket_for_xdp(f->ctx, p) : tcp_socket_for_tc(f->ctx, p);
}

#endif
