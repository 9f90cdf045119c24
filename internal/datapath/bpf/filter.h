/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The filter: may this node accept the frame? The answer depends on the packet
 * alone, neither on the MAC that it was sent to nor on where it came in.
 */
#ifndef ROTA_FILTER_H
#define ROTA_FILTER_H

#include "conntrack.h"
#include "fragment.h"
#include "hash.h"
#include "mark.h"
#include "shared.h"
#include "syn.h"
#include "table.h"
#include "transport.h"

/* Who judges a packet again counts only what the first one would have dropped. */
enum turn { FIRST_TURN, SECOND_TURN };

/*
 * Handed over to a live node: only TCP that is expected here goes on. The new
 * owner cannot tell the first datagram of something from others, so it has them all.
 */
static __always_inline enum verdict judge_lingering(const struct frame *f, const struct packet *p)
{
	if (p->flow.protocol != IPPROTO_TCP || p->flow.opening)
		return DROP_LINGERING_NEW;
	return has_connection(f, p) ? PASS_LINGERING : DROP_LINGERING_NO_SOCKET;
}

/*
 * Mine, while a live node still lingers: what goes on unexpected here is
 * expected there, and our stack must not reset it.
 */
static __always_inline enum verdict judge_contested(const struct frame *f, const struct packet *p)
{
	if (p->flow.protocol != IPPROTO_TCP || p->flow.opening)
		return PASS_CONTESTED_NEW;
	return has_connection(f, p) ? PASS_CONTESTED : DROP_CONTESTED_NO_SOCKET;
}

/* As if lingering, to an address that is about to go: nobody begins anything there any more. */
static __always_inline enum verdict judge_retiring(const struct frame *f, const struct packet *p)
{
	if (p->flow.protocol != IPPROTO_TCP || p->flow.opening)
		return DROP_RETIRING;
	return has_connection(f, p) ? PASS_LINGERING : DROP_LINGERING_NO_SOCKET;
}

static __always_inline enum verdict
judge_bucket(const struct frame *f, const struct packet *p, __u32 pool, __u32 bucket)
{
	enum bucket_state state = state_of(pool, bucket);

	if (unlikely(pool & RETIRES) && state != FOREIGN)
		return judge_retiring(f, p);
	switch (state) {
	case FOREIGN:
		keep_syn(f, p, pool, bucket, FOREIGN);
		return DROP_FOREIGN;
	case MINE:
		return PASS_MINE;
	case LINGERING:
		keep_syn(f, p, pool, bucket, LINGERING);
		return judge_lingering(f, p);
	case CONTESTED:
		return judge_contested(f, p);
	default:
		return DROP_INTERNAL;
	}
}

/* Judges a packet that was sent to an address shared in the pool. */
static __always_inline enum verdict
judge_shared(const struct frame *f, struct packet *p, __u32 pool, enum turn turn)
{
	enum verdict verdict = read_transport(f, p);
	__u64 now = bpf_jiffies64();
	__u32 hash, bucket;

	if (verdict)
		return verdict;
	if (is_beat(p))
		return PASS_BEAT;
	if (is_neighbour_discovery(p))
		return PASS_NEIGHBOUR;
	if (lease_is_over(now))
		return DROP_LEASE;
	if (p->fragment == FIRST_FRAGMENT)
		remember_flow(p);
	if (p->fragment == LATER_FRAGMENT && !recall_flow(p))
		return DROP_FRAGMENT;
	hash = hash_of(pool, p);
	bucket = bucket_of(pool, hash);
	verdict = judge_bucket(f, p, pool, bucket);
	if (verdict == DROP_LINGERING_NO_SOCKET) /* the new owner's */
		mark(hash, &p->flow, now);
	if (turn == FIRST_TURN || drops(verdict))
		count_bucket(pool, bucket, verdict);
	return verdict;
}

/* Functions of their own, as in network.h. */
__noinline int judge_in_xdp(struct xdp_md *ctx, struct packet *p, __u32 pool, enum turn turn)
{
	struct frame f = xdp_frame(ctx);

	return p ? (int)judge_shared(&f, p, pool, turn) : DROP_INTERNAL;
}

__noinline int judge_in_tc(struct __sk_buff *skb, struct packet *p, __u32 pool, enum turn turn)
{
	struct frame f = tc_frame(skb);

	return p ? (int)judge_shared(&f, p, pool, turn) : DROP_INTERNAL;
}

/*
 * Judges what nearly all packets are at once: a whole segment of TCP that opens
 * nothing, for a bucket that is this node's alone or another's. 0 if it is not.
 */
static __always_inline enum verdict
judge_common(const struct frame *f, struct packet *p, __u32 pool, enum turn turn)
{
	__u64 now = bpf_jiffies64();
	enum verdict verdict;
	__u32 hash, bucket;

	if (unlikely(p->protocol != IPPROTO_TCP || p->fragment != WHOLE || pool & RETIRES))
		return 0;
	if (read_transport(f, p) || p->flow.opening || lease_is_over(now))
		return 0;
	hash = hash_of(pool, p);
	bucket = bucket_of(pool, hash);
	switch (state_of(pool, bucket)) {
	case FOREIGN:
		mark(hash, &p->flow, now);
		verdict = DROP_FOREIGN;
		break;
	case MINE:
		verdict = PASS_MINE;
		break;
	default:
		return 0;
	}
	if (turn == FIRST_TURN || drops(verdict))
		count_bucket(pool, bucket, verdict);
	return verdict;
}

/* Judges a packet that was sent to an address shared in the pool, whatever it is. */
static __always_inline enum verdict
judge_any(const struct frame *f, struct packet *p, __u32 pool, enum turn turn)
{
	enum verdict verdict = judge_common(f, p, pool, turn);
	struct packet copy;

	if (likely(verdict))
		return verdict;
	copy = *p; /* so that the compiler need not keep p in memory for the others */
	return f->hook == XDP ? judge_in_xdp(f->ctx, &copy, pool, turn) : judge_in_tc(f->ctx, &copy, pool, turn);
}

/* What the filter says to a frame, and whose pool it is about. */
struct ruling {
	enum verdict verdict;
	int pool; /* or NO_POOL */
};

/* Judges a packet as far as it has been read: fault is what is wrong with it, or 0. */
static __always_inline struct ruling
judge(const struct frame *f, struct packet *p, int pool, enum verdict fault, enum turn turn)
{
	enum verdict verdict;

	if (pool == NO_POOL)
		return (struct ruling){ PASS_UNTOUCHED, NO_POOL };
	if (!fault && !frame_has(f, p->end))
		fault = DROP_TRUNCATED;
	verdict = fault ? fault : judge_any(f, p, pool, turn);
	if (turn == FIRST_TURN || drops(verdict))
		count_verdict(pool, verdict);
	return (struct ruling){ verdict, pool };
}

/*
 * Each family has all the code for itself: the compiler then knows it
 * everywhere, which saves each packet some 5 ns.
 */
static __always_inline struct ruling filter(const struct frame *f, enum turn turn)
{
	struct packet p4 = {}, p6 = { .ipv6 = true };
	enum verdict fault = 0;
	__u32 network = 0;
	int pool;

	switch (frame_protocol(f, &network)) {
	case ETH_P_IP:
		pool = read_shared_ipv4(f, network, &p4, &fault);
		return judge(f, &p4, pool, fault, turn);
	case ETH_P_IPV6:
		pool = read_shared_ipv6(f, network, &p6, &fault);
		return judge(f, &p6, pool, fault, turn);
	}
	return (struct ruling){ PASS_UNTOUCHED, NO_POOL };
}

#endif
