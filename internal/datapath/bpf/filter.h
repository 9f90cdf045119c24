/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The filter: may this node accept the frame? The answer depends on the packet
 * alone, neither on the MAC that it was sent to nor on where it came in.
 */
#ifndef ROTA_FILTER_H
#define ROTA_FILTER_H

#include "common.h"
#include "conntrack.h"
#include "fragment.h"
#include "shared.h"
#include "syn.h"

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

/* A packet of a flow that another node may have answered, as owner or as the new one. */
static __always_inline bool goes_on_elsewhere(const struct packet *p, enum verdict verdict)
{
	if (verdict == DROP_FOREIGN)
		return p->protocol == IPPROTO_TCP && p->fragment == WHOLE && !p->flow.opening;
	return verdict == DROP_LINGERING_NO_SOCKET;
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
	const struct hashing *how;
	__u32 hash, bucket;

	if (verdict)
		return verdict;
	if (is_beat(p))
		return PASS_BEAT;
	if (is_neighbour_discovery(p))
		return PASS_NEIGHBOUR;
	if (lease_is_over(bpf_jiffies64()))
		return DROP_LEASE;
	if (p->fragment == FIRST_FRAGMENT)
		remember_flow(p);
	if (p->fragment == LATER_FRAGMENT && !recall_flow(p))
		return DROP_FRAGMENT;
	how = hashing_of(pool, p->ipv6);
	hash = hash_of(how, p);
	bucket = bucket_of(how, hash);
	verdict = judge_bucket(f, p, pool, bucket);
	if (goes_on_elsewhere(p, verdict))
		mark(hash, &p->flow, bpf_jiffies64());
	if (turn == FIRST_TURN || drops(verdict))
		count_bucket(how, bucket, verdict);
	return verdict;
}

/* Judges a packet as far as it has been read: fault is what is wrong with it, or 0. */
static __always_inline struct ruling
judge(const struct frame *f, struct packet *p, int pool, enum verdict fault, enum turn turn)
{
	enum verdict verdict;

	if (pool == NO_POOL)
		return untouched;
	if (!fault && !frame_has(f, p->end))
		fault = DROP_TRUNCATED;
	verdict = fault ? fault : judge_shared(f, p, pool, turn);
	if (turn == FIRST_TURN || drops(verdict))
		count_verdict(pool, verdict);
	return (struct ruling){ verdict, pool };
}

/* Judges a frame, whatever it is. */
static __always_inline struct ruling judge_any(const struct frame *f, enum turn turn)
{
	struct packet p = {};
	enum verdict fault = 0;
	__u32 network = 0;
	int pool = NO_POOL;

	switch (frame_protocol(f, &network)) {
	case ETH_P_IP:
		pool = read_shared_ipv4(f, network, &p, &fault);
		break;
	case ETH_P_IPV6:
		pool = read_shared_ipv6(f, network, &p, &fault);
		break;
	}
	return judge(f, &p, pool, fault, turn);
}

/* A ruling as what a function of its own may return. */
static __always_inline int packed(struct ruling r)
{
	return r.verdict << 16 | (__u16)r.pool;
}

static __always_inline struct ruling unpacked(int r)
{
	return (struct ruling){ r >> 16, (__s16)r };
}

/* Functions of their own, as in network.h; and so that nothing of theirs stays in the common path. */
__noinline int judge_in_xdp(struct xdp_md *ctx, enum turn turn)
{
	struct frame f = xdp_frame(ctx);

	return packed(judge_any(&f, turn));
}

__noinline int judge_in_tc(struct __sk_buff *skb, enum turn turn)
{
	struct frame f = tc_frame(skb);

	return packed(judge_any(&f, turn));
}

static __always_inline struct ruling filter(const struct frame *f, enum turn turn)
{
	struct ruling r = untouched;
	__u32 network = 0;

	switch (frame_protocol(f, &network)) {
	case ETH_P_IP:
		r = judge_common_ipv4(f, network, turn);
		break;
	case ETH_P_IPV6:
		r = judge_common_ipv6(f, network, turn);
		break;
	}
	if (likely(r.verdict != UNDECIDED))
		return r;
	return unpacked(f->hook == XDP ? judge_in_xdp(f->ctx, turn) : judge_in_tc(f->ctx, turn));
}

#endif
