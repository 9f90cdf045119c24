/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The guard (tc egress of every other interface). Linux answers for an
 * address on every interface; there nobody rewrites the MAC, so nothing
 * may be said about a shared address at all.
 */
#ifndef ROTA_GUARD_H
#define ROTA_GUARD_H

#include "arp.h"
#include "neighbour.h"

static __always_inline enum verdict guard(struct __sk_buff *skb)
{
	struct frame f = tc_frame(skb);
	struct arp_claims arp = arp_claims(&f);
	int pool = arp.sender != NO_POOL ? arp.sender : arp.target;
	struct nd_message message;

	if (pool == NO_POOL)
		pool = nd_bound_pool(&f, &message);
	if (pool == NO_POOL)
		return PASS_UNTOUCHED;
	count_verdict(pool, DROP_GUARD);
	return DROP_GUARD;
}

#endif
