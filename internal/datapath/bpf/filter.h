/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The filter: may this node accept the frame? The answer depends on the packet
 * alone, neither on the MAC that it was sent to nor on where it came in.
 */
#ifndef ROTA_FILTER_H
#define ROTA_FILTER_H

#include "fragment.h"
#include "hash.h"
#include "socket.h"
#include "shared.h"
#include "table.h"
#include "transport.h"

/* Who judges a packet again counts only what the first one would have dropped. */
enum turn { FIRST_TURN, SECOND_TURN };

/*
 * Handed over to a live node: only TCP that has a socket here goes on. The new
 * owner cannot tell the first datagram of something from others, so it has them all.
 */
static __always_inline enum verdict judge_lingering(const struct frame *f, const struct packet *p)
{
	if (p->flow.protocol != IPPROTO_TCP || p->flow.opening)
		return DROP_LINGERING_NEW;
	return has_tcp_socket(f, p) ? PASS_LINGERING : DROP_LINGERING_NO_SOCKET;
}

/*
 * Mine, while a live node still lingers: what goes on without a socket here has
 * one there, and our stack must not reset it.
 */
static __always_inline enum verdict judge_contested(const struct frame *f, const struct packet *p)
{
	if (p->flow.protocol != IPPROTO_TCP || p->flow.opening)
		return PASS_CONTESTED_NEW;
	return has_tcp_socket(f, p) ? PASS_CONTESTED : DROP_CONTESTED_NO_SOCKET;
}

static __always_inline enum verdict
judge_bucket(const struct frame *f, const struct packet *p, __u32 pool, __u32 bucket)
{
	switch (state_of(pool, bucket)) {
	case FOREIGN:
		return DROP_FOREIGN;
	case MINE:
		return PASS_MINE;
	case LINGERING:
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
	__u32 bucket;

	if (verdict)
		return verdict;
	if (is_beat(p))
		return PASS_BEAT;
	if (is_neighbour_discovery(p))
		return PASS_NEIGHBOUR;
	if (lease_is_over())
		return DROP_LEASE;
	if (p->fragment == FIRST_FRAGMENT)
		remember_flow(p);
	if (p->fragment == LATER_FRAGMENT && !recall_flow(p))
		return DROP_FRAGMENT;
	bucket = bucket_of(pool, p);
	verdict = judge_bucket(f, p, pool, bucket);
	if (turn == FIRST_TURN || drops(verdict))
		count_bucket(pool, bucket, verdict);
	return verdict;
}

/* Judges a packet to a shared address as read_shared left it, and counts. */
static __always_inline enum verdict
judge(const struct frame *f, struct packet *p, __u32 pool, enum verdict fault, enum turn turn)
{
	enum verdict verdict = fault ? fault : judge_shared(f, p, pool, turn);

	if (turn == FIRST_TURN || drops(verdict))
		count_verdict(pool, verdict);
	return verdict;
}

static __always_inline enum verdict filter(const struct frame *f)
{
	struct packet p = {};
	enum verdict fault = 0;
	int pool = read_shared(f, &p, &fault);

	return pool == NO_POOL ? PASS_UNTOUCHED : judge(f, &p, pool, fault, FIRST_TURN);
}

#endif
