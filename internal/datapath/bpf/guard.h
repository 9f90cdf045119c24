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
	struct nd_message message;
	__u32 at = 0;
	int pool = arp_sender_pool(&f, &at);

	if (pool == NO_POOL)
		pool = nd_bound_pool(&f, &message);
	if (pool == NO_POOL)
		return PASS_UNTOUCHED;
	count_verdict(pool, DROP_GUARD);
	return DROP_GUARD;
}

#endif
