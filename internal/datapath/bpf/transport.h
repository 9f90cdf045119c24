/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Reading transport headers: which flow a packet belongs to, or is about. */
#ifndef ROTA_TRANSPORT_H
#define ROTA_TRANSPORT_H

#include "network.h"

/* The transport header, as far as size, within packet and frame. */
static __always_inline const void *
transport_at(const struct frame *f, const struct packet *p, __u32 offset, void *room, __u32 size)
{
	__u32 at = p->transport + offset;

	return at + size <= p->end ? frame_at(f, at, room, size) : NULL;
}

static __always_inline bool opens(const struct tcphdr *tcp)
{
	return (tcp->flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
}

static __always_inline enum verdict read_tcp(const struct frame *f, struct packet *p)
{
	struct tcphdr room;
	const struct tcphdr *tcp = transport_at(f, p, 0, &room, sizeof(*tcp));

	if (!tcp)
		return DROP_TRUNCATED;
	p->flow.remote_port = tcp->source;
	p->flow.local_port = tcp->destination;
	p->flow.opening = opens(tcp);
	return 0;
}

struct ports {
	__be16 source, destination;
};

static __always_inline enum verdict read_ports(const struct frame *f, struct packet *p, __u32 offset)
{
	struct ports room;
	const struct ports *ports = transport_at(f, p, offset, &room, sizeof(*ports));

	if (!ports)
		return DROP_TRUNCATED;
	p->flow.remote_port = ports->source;
	p->flow.local_port = ports->destination;
	return 0;
}

/* Destination unreachable, source quench, redirect, time exceeded, parameter problem. */
static __always_inline bool is_icmp4_error(__u8 type)
{
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* RFC 4443, 2.1. */
static __always_inline bool is_icmp6_error(__u8 type)
{
	return type < 128;
}

/* Neighbour discovery: RFC 4861. */
static __always_inline bool is_neighbour_discovery(const struct packet *p)
{
	return p->ipv6 && p->protocol == IPPROTO_ICMPV6 && p->fragment == WHOLE &&
	       p->icmp_type >= 133 && p->icmp_type <= 137;
}

static __always_inline bool is_beat(const struct packet *p)
{
	return p->protocol == IPPROTO_UDP && p->fragment == WHOLE && p->flow.local_port == config.beat_port;
}

/* The header of the packet that an ICMP error is about: one that we sent. */
static __always_inline enum verdict
read_inner_header(const struct frame *f, const struct packet *p, struct packet *inner)
{
	__u32 offset = sizeof(struct icmphdr), at = p->transport + offset;

	if (p->ipv6) {
		struct ipv6hdr room;
		const struct ipv6hdr *ip = transport_at(f, p, offset, &room, sizeof(*ip));

		if (!ip)
			return DROP_TRUNCATED;
		inner->source = address6(ip->saddr);
		inner->destination = address6(ip->daddr);
		return read_ipv6(f, ip, at, inner);
	} else {
		struct iphdr room;
		const struct iphdr *ip = transport_at(f, p, offset, &room, sizeof(*ip));

		if (!ip)
			return DROP_TRUNCATED;
		inner->source = address4(ip->saddr);
		inner->destination = address4(ip->daddr);
		return read_ipv4(f, ip, at, inner);
	}
}

static __always_inline enum verdict read_icmp_error(const struct frame *f, struct packet *p)
{
	struct packet inner = { .ipv6 = p->ipv6, .end = p->end };
	int ports;

	if (read_inner_header(f, p, &inner))
		return DROP_ICMP_INNER;
	if (inner.fragment == LATER_FRAGMENT || !same_address(&inner.source, &p->destination))
		return DROP_ICMP_INNER;
	ports = ports_offset(inner.protocol);
	if (ports >= 0 && read_ports(f, &inner, ports))
		return DROP_ICMP_INNER;
	p->flow.remote = inner.destination;
	p->flow.remote_port = inner.flow.local_port;
	p->flow.local_port = inner.flow.remote_port;
	p->flow.protocol = inner.protocol;
	return 0;
}

static __always_inline enum verdict find_icmp_flow(const struct frame *f, struct packet *p)
{
	struct icmphdr room;
	const struct icmphdr *icmp = transport_at(f, p, 0, &room, sizeof(*icmp));

	if (!icmp)
		return DROP_TRUNCATED;
	p->icmp_type = icmp->type;
	if (p->ipv6 ? is_icmp6_error(icmp->type) : is_icmp4_error(icmp->type))
		return read_icmp_error(f, p);
	return 0;
}

/* Functions of their own, as in network.h. */
__noinline int icmp_flow_in_xdp(struct xdp_md *ctx, struct packet *p)
{
	struct frame f = xdp_frame(ctx);

	return p ? (int)find_icmp_flow(&f, p) : DROP_INTERNAL;
}

__noinline int icmp_flow_in_tc(struct __sk_buff *skb, struct packet *p)
{
	struct frame f = tc_frame(skb);

	return p ? (int)find_icmp_flow(&f, p) : DROP_INTERNAL;
}

static __always_inline enum verdict read_icmp(const struct frame *f, struct packet *p)
{
	return f->hook == XDP ? icmp_flow_in_xdp(f->ctx, p) : icmp_flow_in_tc(f->ctx, p);
}

/* Fills in p->flow; returns what is wrong, a verdict, or 0. */
static __always_inline enum verdict read_transport(const struct frame *f, struct packet *p)
{
	int ports;

	p->flow.remote = p->source;
	p->flow.protocol = p->protocol;
	if (unlikely(p->fragment == LATER_FRAGMENT))
		return 0;
	if (likely(p->protocol == IPPROTO_TCP))
		return read_tcp(f, p);
	if (p->protocol == (p->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return read_icmp(f, p);
	ports = ports_offset(p->protocol);
	return ports >= 0 ? read_ports(f, p, ports) : 0;
}

#endif
