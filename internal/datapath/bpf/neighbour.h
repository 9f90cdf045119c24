/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Reading outgoing neighbour discovery (RFC 4861): which shared address a message binds to a MAC. */
#ifndef ROTA_NEIGHBOUR_H
#define ROTA_NEIGHBOUR_H

#include "shared.h"
#include "transport.h"

enum {
	ND_ROUTER_SOLICIT = 133,
	ND_ROUTER_ADVERT = 134,
	ND_NEIGHBOUR_SOLICIT = 135,
	ND_NEIGHBOUR_ADVERT = 136,
	ND_REDIRECT = 137,
};

enum { ND_OPTION_SOURCE_MAC = 1, ND_OPTION_TARGET_MAC = 2 };

struct nd_message {
	__u32 check; /* where in the frame its checksum is */
	__u32 options, end; /* where its options begin and it ends */
	__u8 option; /* the kind of option that holds the MAC */
	bool whole; /* not a fragment */
};

/* Where the options of a message begin, from the ICMPv6 header on; 0 for other messages. */
static __always_inline __u32 nd_header_len(__u32 type)
{
	switch (type) {
	case ND_ROUTER_SOLICIT:
		return 8;
	case ND_ROUTER_ADVERT:
		return 16;
	case ND_NEIGHBOUR_SOLICIT:
	case ND_NEIGHBOUR_ADVERT:
		return 24;
	case ND_REDIRECT:
		return 40;
	default:
		return 0;
	}
}

static __always_inline bool nd_binds_target(__u32 type)
{
	return type == ND_NEIGHBOUR_ADVERT || type == ND_REDIRECT;
}

/* The address that the message would bind: of its sender, or the one it names. */
static __always_inline int
nd_bound_address(const struct frame *f, const struct packet *p, __u32 type, struct address *a)
{
	__be64 target[2];

	*a = p->source;
	if (!nd_binds_target(type))
		return 0;
	if (!frame_load(f, p->transport + sizeof(struct icmphdr), target, sizeof(target)))
		return -1;
	*a = address6(target);
	return 0;
}

static __always_inline bool
read_outgoing_ipv6(const struct frame *f, __u32 at, struct packet *p)
{
	struct ipv6hdr room;
	const struct ipv6hdr *ip = frame_at(f, at, &room, sizeof(*ip));

	if (!ip)
		return false;
	p->ipv6 = true;
	p->source = address6(ip->saddr);
	return read_ipv6(f, ip, at, p) == 0 && p->protocol == IPPROTO_ICMPV6 && p->fragment != LATER_FRAGMENT;
}

/* The pool of the address that the message binds, or NO_POOL if it is none of that kind. */
static __always_inline int nd_bound_pool(const struct frame *f, struct nd_message *m)
{
	struct icmphdr room;
	const struct icmphdr *icmp;
	struct packet p = {};
	struct address bound;
	__u32 at = 0, type;

	if (frame_protocol(f, &at) != ETH_P_IPV6 || !read_outgoing_ipv6(f, at, &p))
		return NO_POOL;
	icmp = transport_at(f, &p, 0, &room, sizeof(*icmp));
	if (!icmp)
		return NO_POOL;
	type = icmp->type;
	if (!nd_header_len(type) || nd_bound_address(f, &p, type, &bound))
		return NO_POOL;
	m->check = p.transport + __builtin_offsetof(struct icmphdr, check);
	m->options = p.transport + nd_header_len(type);
	m->end = p.end;
	m->option = nd_binds_target(type) ? ND_OPTION_TARGET_MAC : ND_OPTION_SOURCE_MAC;
	m->whole = p.fragment == WHOLE;
	return pool_of(&bound);
}

#endif
