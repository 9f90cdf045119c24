/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The guard (tc egress of every other interface). Linux answers for an
 * address on every interface; there nobody rewrites the MAC, so nothing
 * may bind a shared address to another MAC than the cluster's. What already
 * carries that is another node's answer, bridged through this host, or this
 * host's own on its way out of a bridge.
 */
#ifndef ROTA_GUARD_H
#define ROTA_GUARD_H

#include "announcer.h"

static __always_inline bool holds_cluster_mac(struct __sk_buff *skb, __u32 pool, __u32 at)
{
	__u8 held[ETH_ALEN], cluster[ETH_ALEN];

	cluster_mac(pool, cluster);
	return bpf_skb_load_bytes(skb, at, held, ETH_ALEN) == 0 && same_mac(held, cluster);
}

/* Whether the message has the option that binds, and every such option has the cluster's MAC. */
static __always_inline bool
nd_holds_cluster_mac(struct __sk_buff *skb, __u32 pool, const struct nd_message *m)
{
	__u32 at = m->options;
	bool holds = false;

	for (int i = 0; i < MAX_ND_OPTIONS; i++) {
		struct nd_option option;

		if (!m->whole || at + sizeof(option) > m->end)
			return m->whole && holds;
		if (bpf_skb_load_bytes(skb, at, &option, sizeof(option)) || option.length == 0)
			return false;
		if (option.type == m->option) {
			holds = holds_cluster_mac(skb, pool, at + __builtin_offsetof(struct nd_option, mac));
			if (!holds)
				return false;
		}
		at += option.length * 8;
	}
	return false;
}

static __always_inline enum verdict guard(struct __sk_buff *skb)
{
	struct frame f = tc_frame(skb);
	struct arp_claims arp = arp_claims(&f);
	int pool = arp.sender != NO_POOL ? arp.sender : arp.target;
	struct nd_message message = {};
	bool holds;

	if (pool != NO_POOL) {
		holds = holds_cluster_mac(skb, pool, arp.at + __builtin_offsetof(struct arphdr, sender_mac));
	} else {
		pool = nd_bound_pool(&f, &message);
		if (pool == NO_POOL)
			return PASS_UNTOUCHED;
		holds = nd_holds_cluster_mac(skb, pool, &message);
	}
	if (holds)
		return PASS_UNTOUCHED;
	count_verdict(pool, DROP_GUARD);
	return DROP_GUARD;
}

#endif
