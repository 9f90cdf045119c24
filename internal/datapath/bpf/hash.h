/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From a flow to its bucket. IPv4 exactly as CLUSTERIP did it
 * (clusterip_hashfn of net/ipv4/netfilter/ipt_CLUSTERIP.c, Linux 6.2) on
 * little-endian hosts; internal/flowhash is the same in Go.
 */
#ifndef ROTA_HASH_H
#define ROTA_HASH_H

#include "flow.h"

/* include/linux/jhash.h */
enum { JHASH_INITVAL = 0xdeadbeef };

struct jhash {
	__u32 a, b, c;
};

static __always_inline __u32 rol32(__u32 word, __u32 shift)
{
	return word << shift | word >> (32 - shift);
}

static __always_inline struct jhash jhash_start(__u32 words, __u32 seed)
{
	__u32 init = (__u32)JHASH_INITVAL + (words << 2) + seed;

	return (struct jhash){ init, init, init };
}

static __always_inline void jhash_mix(struct jhash *h)
{
	h->a -= h->c; h->a ^= rol32(h->c, 4);  h->c += h->b;
	h->b -= h->a; h->b ^= rol32(h->a, 6);  h->a += h->c;
	h->c -= h->b; h->c ^= rol32(h->b, 8);  h->b += h->a;
	h->a -= h->c; h->a ^= rol32(h->c, 16); h->c += h->b;
	h->b -= h->a; h->b ^= rol32(h->a, 19); h->a += h->c;
	h->c -= h->b; h->c ^= rol32(h->b, 4);  h->b += h->a;
}

static __always_inline __u32 jhash_final(struct jhash *h)
{
	h->c ^= h->b; h->c -= rol32(h->b, 14);
	h->a ^= h->c; h->a -= rol32(h->c, 11);
	h->b ^= h->a; h->b -= rol32(h->a, 25);
	h->c ^= h->b; h->c -= rol32(h->b, 16);
	h->a ^= h->c; h->a -= rol32(h->c, 4);
	h->b ^= h->a; h->b -= rol32(h->a, 14);
	h->c ^= h->b; h->c -= rol32(h->b, 24);
	return h->c;
}

/* A port as a little-endian host reads it from the packet without swapping. */
static __always_inline __u16 raw_port(__be16 port)
{
	return __builtin_bswap16(bpf_ntohs(port));
}

static __always_inline __u32 hash4(const volatile struct pool *p, const struct flow *f)
{
	__u32 source = f->remote.low, mode = p->mode;
	struct jhash h;

	if (mode == SOURCE_NETWORK)
		source &= p->mask4;
	if (mode < SOURCE_ADDRESS_PORT) {
		h = jhash_start(1, p->seed);
	} else if (mode == SOURCE_ADDRESS_PORT) {
		h = jhash_start(2, p->seed);
		h.b += raw_port(f->remote_port);
	} else {
		h = jhash_start(3, p->seed);
		h.b += raw_port(f->remote_port);
		h.c += raw_port(f->local_port);
	}
	h.a += source;
	return jhash_final(&h);
}

static __always_inline __u32 hash6(const volatile struct pool *p, const struct flow *f)
{
	__u64 high = f->remote.high, low = f->remote.low;
	__u32 mode = p->mode;
	struct jhash h = jhash_start(mode < SOURCE_ADDRESS_PORT ? 4 : 5, p->seed);

	if (mode == SOURCE_NETWORK) {
		high &= p->mask6[0];
		low &= p->mask6[1];
	}
	h.a += high >> 32;
	h.b += high;
	h.c += low >> 32;
	jhash_mix(&h);
	h.a += low;
	if (mode >= SOURCE_ADDRESS_PORT)
		h.b += (__u32)bpf_ntohs(f->remote_port) << 16;
	if (mode == SOURCE_ADDRESS_PORT_DESTINATION_PORT)
		h.b += bpf_ntohs(f->local_port);
	return jhash_final(&h);
}

static __always_inline __u32 bucket_of(__u32 pool, const struct packet *packet)
{
	const volatile struct pool *p = pool_at(pool);
	const struct flow *f = &packet->flow;
	__u32 hash = packet->ipv6 ? hash6(p, f) : hash4(p, f);

	return (__u64)hash * p->buckets >> 32; /* reciprocal_scale of include/linux/math.h */
}

#endif
