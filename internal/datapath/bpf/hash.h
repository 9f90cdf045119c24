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
struct jhash {
	__u32 a, b, c;
};

static __always_inline __u32 rol32(__u32 word, __u32 shift)
{
	return word << shift | word >> (32 - shift);
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

/*
 * Words that the pool's mode leaves out are 0 here, and count as not there by
 * where the hash begins.
 */
static __always_inline __u32 hash4(const struct hashing *how, const struct flow *f)
{
	struct jhash h = { how->start, how->start, how->start };

	h.a += (__u32)(f->remote.low & how->source.low);
	h.b += raw_port(f->remote_port & how->remote_port);
	h.c += raw_port(f->local_port & how->local_port);
	return jhash_final(&h);
}

static __always_inline __u32 hash6(const struct hashing *how, const struct flow *f)
{
	__u64 high = f->remote.high & how->source.high, low = f->remote.low & how->source.low;
	struct jhash h = { how->start, how->start, how->start };

	h.a += high >> 32;
	h.b += high;
	h.c += low >> 32;
	jhash_mix(&h);
	h.a += low;
	h.b += (__u32)bpf_ntohs(f->remote_port & how->remote_port) << 16 | bpf_ntohs(f->local_port & how->local_port);
	return jhash_final(&h);
}

static __always_inline __u32 hash_of(const struct hashing *how, const struct packet *p)
{
	return p->ipv6 ? hash6(how, &p->flow) : hash4(how, &p->flow);
}

/* reciprocal_scale of include/linux/math.h */
static __always_inline __u32 bucket_of(const struct hashing *how, __u32 hash)
{
	return (__u64)hash * how->buckets >> 32;
}

#endif
