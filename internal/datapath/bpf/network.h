/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Reading IPv4 and IPv6 headers, of a frame and within ICMP errors. */
#ifndef ROTA_NETWORK_H
#define ROTA_NETWORK_H

#include "flow.h"
#include "frame.h"
#include "verdict.h"

enum { MAX_EXTENSIONS = 6 };

/*
 * Where a packet ends whose header says end, or nothing (0: segments merged
 * beyond 64 KiB). What an ICMP error quotes ends with the error: room.
 */
static __always_inline __u32 packet_end(const struct frame *f, __u32 end, __u32 room)
{
	if (unlikely(!end))
		return room ? room : frame_len(f);
	return room && room < end ? room : end;
}

/*
 * Each reader fills in p up to the transport header, but for the addresses,
 * and returns what is wrong with the header: a verdict, or 0. The header begins
 * at at; p->end is where room for the packet ends, or 0 for the frame's end.
 */
static __always_inline enum verdict
read_ipv4(const struct frame *f, const struct iphdr *ip, __u32 at, struct packet *p)
{
	__u32 header = (ip->version_ihl & 0xf) * 4, len = bpf_ntohs(ip->tot_len);
	__u16 fragment = bpf_ntohs(ip->frag_off);

	if (unlikely(ip->version_ihl >> 4 != 4 || header < sizeof(*ip) || (len && len < header)))
		return DROP_MALFORMED;
	p->protocol = ip->protocol;
	p->transport = at + header;
	p->end = packet_end(f, len ? at + len : 0, p->end);
	p->fragment_id = ip->id;
	if (fragment & IP_FRAGMENT_OFFSET)
		p->fragment = LATER_FRAGMENT;
	else if (fragment & IP_MORE_FRAGMENTS)
		p->fragment = FIRST_FRAGMENT;
	return 0;
}

static __always_inline bool is_extension(__u8 header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING ||
	       header == IPPROTO_DSTOPTS || header == IPPROTO_FRAGMENT;
}

static __always_inline enum fragment fragment_of(__u16 offset_and_flag)
{
	if (offset_and_flag & IPV6_FRAGMENT_OFFSET)
		return LATER_FRAGMENT;
	return offset_and_flag & IPV6_MORE_FRAGMENTS ? FIRST_FRAGMENT : WHOLE;
}

/* Where we are in a chain of extension headers. */
struct chain {
	__u32 header; /* kind of the next header */
	__u32 at; /* where it begins in the frame */
	__u32 end;
	__u32 fragment; /* enum fragment */
	__be32 fragment_id;
};

/* Follows extension headers up to the transport header, or into a later fragment. */
static __always_inline enum verdict follow(const struct frame *f, struct chain *c)
{
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		struct ipv6exthdr room;
		const struct ipv6exthdr *h;
		__u32 kind = c->header;

		if (!is_extension(kind))
			return 0;
		h = frame_at(f, c->at, &room, sizeof(*h));
		if (!h || c->at + sizeof(*h) > c->end)
			return DROP_TRUNCATED;
		c->header = h->nexthdr;
		if (kind != IPPROTO_FRAGMENT) {
			c->at += (h->length + 1) * 8;
			continue;
		}
		c->at += sizeof(*h);
		c->fragment_id = h->id;
		c->fragment = fragment_of(bpf_ntohs(h->frag_off));
		if (c->fragment == LATER_FRAGMENT)
			return 0;
	}
	return is_extension(c->header) ? DROP_EXTENSIONS : 0;
}

/*
 * Functions of their own, which the verifier looks at once: inlined, it would
 * follow everything that comes after for every possible chain.
 */
__noinline int follow_in_xdp(struct xdp_md *ctx, struct chain *c)
{
	struct frame f = xdp_frame(ctx);

	return c ? (int)follow(&f, c) : DROP_INTERNAL;
}

__noinline int follow_in_tc(struct __sk_buff *skb, struct chain *c)
{
	struct frame f = tc_frame(skb);

	return c ? (int)follow(&f, c) : DROP_INTERNAL;
}

static __always_inline enum verdict skip_extensions(const struct frame *f, struct packet *p)
{
	enum verdict verdict;
	struct chain c;

	if (likely(p->protocol == IPPROTO_TCP) || !is_extension(p->protocol))
		return 0;
	c = (struct chain){ .header = p->protocol, .at = p->transport, .end = p->end };
	verdict = f->hook == XDP ? follow_in_xdp(f->ctx, &c) : follow_in_tc(f->ctx, &c);
	p->protocol = c.header;
	p->transport = c.at;
	p->fragment = c.fragment;
	p->fragment_id = c.fragment_id;
	return verdict;
}

static __always_inline enum verdict
read_ipv6(const struct frame *f, const struct ipv6hdr *ip, __u32 at, struct packet *p)
{
	__u32 len = bpf_ntohs(ip->payload_len);

	if (unlikely(bpf_ntohl(ip->version_class_flow) >> 28 != 6))
		return DROP_MALFORMED;
	p->protocol = ip->nexthdr;
	p->transport = at + sizeof(*ip);
	p->end = packet_end(f, len ? p->transport + len : 0, p->end);
	return skip_extensions(f, p);
}

#endif
