/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The SYNs that the filter dropped because their bucket was another node's, the
 * newest of them: should that node turn out to be dead, or not to have begun
 * yet, they are given to whoever answers (replay.go, resend.go).
 * A ring for each CPU, overwritten, that nobody is woken for.
 */
#ifndef ROTA_SYN_H
#define ROTA_SYN_H

#include "flow.h"
#include "frame.h"
#include "table.h"
#include "verdict.h"

enum {
	SYNS = 1024, /* of one CPU; a power of two */
	SYN_FRAME = 168, /* longer ones are not kept */
};

struct syn {
	__u64 when; /* jiffies */
	__u32 pool, bucket;
	__u16 len; /* of the frame; 0 while it is being written */
	__u16 state; /* of the bucket, enum bucket_state */
	__be16 tag[2]; /* that the kernel has taken out of the frame: protocol, tag; or 0 */
	__u8 frame[SYN_FRAME];
};

struct syns {
	__u64 next; /* SYN number n is in ring[n % SYNS]; all below next are, or will be in a moment */
	__u64 line[7]; /* the rest of the cache line */
	struct syn ring[SYNS];
};

/* By CPU; max_entries is set when loading. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct syns);
} rota_syns SEC(".maps");

/*
 * A frame that this host has given itself: it comes from the cluster's MAC,
 * as none on the wire does.
 */
static __always_inline bool is_replay(const struct frame *f, __u32 pool)
{
	const struct pool *p = pool_at(pool);
	const struct ethhdr *eth = f->data;

	if ((void *)(eth + 1) > f->data_end)
		return false;
#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		if (eth->source[i] != p->mac[i])
			return false;
	return true;
}

/* The next of this CPU's, all but its frame. */
static __always_inline struct syn *next_syn(const struct frame *f, __u32 pool, __u32 bucket, __u32 state)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct syns *s = bpf_map_lookup_elem(&rota_syns, &cpu);
	struct syn *syn;

	if (!s || is_replay(f, pool))
		return NULL;
	/* With a full barrier: who reads knows by it what may be overwritten meanwhile. */
	syn = &s->ring[__sync_fetch_and_add(&s->next, 1) & (SYNS - 1)];
	syn->len = 0;
	syn->tag[0] = syn->tag[1] = 0;
	syn->when = bpf_jiffies64();
	syn->pool = place_of(pool);
	syn->bucket = bucket;
	syn->state = state;
	return syn;
}

/*
 * Functions of their own, off the path of most packets. more is how long the
 * frame is beyond its Ethernet header, without what only fills it up; the verifier
 * knows nothing of the arguments.
 */
__noinline int keep_from_xdp(struct xdp_md *ctx, __u32 pool, __u32 bucket, __u32 state, __u32 more)
{
	struct frame f = xdp_frame(ctx);
	struct syn *syn;

	if (!config.multi_buffer || more > SYN_FRAME - sizeof(struct ethhdr))
		return 0;
	syn = next_syn(&f, pool, bucket, state);
	if (syn && bpf_xdp_load_bytes(ctx, 0, syn->frame, sizeof(struct ethhdr) + more) == 0)
		syn->len = sizeof(struct ethhdr) + more;
	return 0;
}

__noinline int keep_from_tc(struct __sk_buff *skb, __u32 pool, __u32 bucket, __u32 state, __u32 more)
{
	struct frame f = tc_frame(skb);
	struct syn *syn;

	if (more > SYN_FRAME - sizeof(struct ethhdr))
		return 0;
	syn = next_syn(&f, pool, bucket, state);
	if (!syn || bpf_skb_load_bytes(skb, 0, syn->frame, sizeof(struct ethhdr) + more))
		return 0;
	if (skb->vlan_present) {
		syn->tag[0] = skb->vlan_proto;
		syn->tag[1] = bpf_htons(skb->vlan_tci);
	}
	syn->len = sizeof(struct ethhdr) + more;
	return 0;
}

/* Keeps the packet if it is a whole SYN. */
static __always_inline void
keep_syn(const struct frame *f, const struct packet *p, __u32 pool, __u32 bucket, enum bucket_state state)
{
	if (likely(!p->flow.opening) || p->protocol != IPPROTO_TCP || p->fragment != WHOLE)
		return;
	if (f->hook == XDP)
		keep_from_xdp(f->ctx, pool, bucket, state, p->end - sizeof(struct ethhdr));
	else
		keep_from_tc(f->ctx, pool, bucket, state, p->end - sizeof(struct ethhdr));
}

#endif
