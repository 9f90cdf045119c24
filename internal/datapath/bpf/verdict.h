/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What became of a packet, and how often. verdict.go has the same list. */
#ifndef ROTA_VERDICT_H
#define ROTA_VERDICT_H

#include "config.h"

enum verdict {
	/* Not for a shared address: none of our business, not counted. */
	PASS_UNTOUCHED = 0,
	PASS_BEAT = 1,
	PASS_NEIGHBOUR = 2, /* neighbour discovery */
	PASS_MINE = 3,
	PASS_LINGERING = 4, /* has a socket here */
	PASS_CONTESTED = 5, /* has a socket here */
	PASS_CONTESTED_NEW = 6,
	PASS_ANNOUNCED = 7, /* left with the cluster's MAC */

	/* From here on dropped. */
	DROP = 16,
	DROP_FOREIGN = 16,
	DROP_LEASE = 17,
	DROP_LINGERING_NEW = 18,
	DROP_LINGERING_NO_SOCKET = 19,
	DROP_CONTESTED_NO_SOCKET = 20,
	DROP_FRAGMENT = 21, /* whose first fragment is not known */
	DROP_TRUNCATED = 22,
	DROP_MALFORMED = 23,
	DROP_EXTENSIONS = 24, /* more IPv6 extension headers than we follow */
	DROP_ICMP_INNER = 25, /* ICMP error that does not tell which flow */
	DROP_BEAT = 26, /* the daemon has its copy, the stack needs none */
	DROP_UNANNOUNCEABLE = 27, /* would bind a shared address to another MAC */
	DROP_GUARD = 28, /* speaks of a shared address on another interface */
	DROP_INTERNAL = 29,
	DROP_RETIRING = 30, /* new, to an address that is about to go */

	VERDICTS = 32,
	UNDECIDED = VERDICTS, /* none: somebody else is to judge */
};

struct verdict_counts {
	__u64 packets[VERDICTS];
};

struct bucket_counts {
	__u64 passed, dropped;
};

/* By pool. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_POOLS);
	__type(key, __u32);
	__type(value, struct verdict_counts);
} rota_verdicts SEC(".maps");

/* By hashing.first + bucket; max_entries is set when loading. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bucket_counts);
} rota_buckets SEC(".maps");

static __always_inline bool drops(enum verdict v)
{
	return v >= DROP;
}

static __always_inline void count_verdict(__u32 pool, enum verdict v)
{
	__u32 key = place_of(pool);
	struct verdict_counts *c = bpf_map_lookup_elem(&rota_verdicts, &key);

	if (c)
		c->packets[v & (VERDICTS - 1)]++;
}

static __always_inline void count_bucket(const struct hashing *how, __u32 bucket, enum verdict v)
{
	__u32 key = how->first + bucket;
	struct bucket_counts *c = bpf_map_lookup_elem(&rota_buckets, &key);

	if (!c)
		return;
	if (drops(v))
		c->dropped++;
	else
		c->passed++;
}

#endif
