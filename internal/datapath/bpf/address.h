/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Which pool an address is shared in, if any. */
#ifndef ROTA_ADDRESS_H
#define ROTA_ADDRESS_H

#include "config.h"
#include "headers/bpf_endian.h"

enum { NO_POOL = -1 };

static __always_inline struct address address4(__be32 a)
{
	return (struct address){ 0, 0xffffULL << 32 | bpf_ntohl(a) };
}

static __always_inline struct address address6(const __be64 a[2])
{
	return (struct address){ bpf_be64_to_cpu(a[0]), bpf_be64_to_cpu(a[1]) };
}

static __always_inline bool same_address(const struct address *a, const struct address *b)
{
	return a->high == b->high && a->low == b->low;
}

/* The one slot where the address stands if it is shared (config.go: slotOf). */
static __always_inline __u64 slot_of(const struct address *a, __u64 multiplier)
{
	return (a->low * multiplier + a->high * (multiplier ^ 0x9e3779b97f4a7c14ULL)) >> ADDRESS_SHIFT;
}

/* An address as it is shared, if it is, and the number of its pool. */
struct shared {
	const struct shared_address *at; /* or NULL */
	__u32 pool;
};

static __always_inline struct shared find_shared(const struct address *a)
{
	__u64 current = *(const volatile __u64 *)&live.current;
	__u32 version = current & (VERSIONS - 1);
	const struct shared_address *s = &live.version[version].slot[slot_of(a, current | (VERSIONS - 1))];

	KEEP(s);
	if (s->address.low != a->low || s->address.high != a->high || (int)s->pool == NO_POOL)
		return (struct shared){ NULL, 0 };
	return (struct shared){ s, s->pool | version << VERSION_SHIFT };
}

static __always_inline int pool_of(const struct address *a)
{
	struct shared s = find_shared(a);

	return s.at ? (int)s.pool : NO_POOL;
}

#endif
