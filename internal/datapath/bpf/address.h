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
	__u64 folded = a->high * 0x9e3779b97f4a7c15ULL + a->low;

	return folded * multiplier >> ADDRESS_SHIFT;
}

static __always_inline int pool_of(const struct address *a)
{
	__u32 version = *(const volatile __u32 *)&live.current & (VERSIONS - 1);
	const struct arrangement *v = &live.version[version];
	const struct shared_address *s = &v->slot[slot_of(a, v->multiplier) & (ADDRESS_SLOTS - 1)];

	if (s->address.low != a->low || s->address.high != a->high)
		return NO_POOL;
	return s->pool | version << VERSION_SHIFT; /* which leaves NO_POOL as it is */
}

#endif
