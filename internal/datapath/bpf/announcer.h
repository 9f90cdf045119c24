/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The announcer (tc egress of the service interface). The kernel answers ARP and ND for
 * a shared address by itself, with the node's own MAC. The announcer
 * writes the cluster's in its place, in requests too, which bind their sender. The
 * Ethernet header is left alone: no frame carries the cluster's MAC as its source.
 */
#ifndef ROTA_ANNOUNCER_H
#define ROTA_ANNOUNCER_H

#include "arp.h"
#include "neighbour.h"

/* More than any message has. */
enum { MAX_ND_OPTIONS = 16 };

static __always_inline void cluster_mac(__u32 pool, __u8 mac[ETH_ALEN])
{
#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		mac[i] = pool_at(pool)->mac[i];
}

static __always_inline bool store_mac(struct __sk_buff *skb, __u32 pool, __u32 at)
{
	__u8 mac[ETH_ALEN];

	cluster_mac(pool, mac);
	return bpf_skb_store_bytes(skb, at, mac, ETH_ALEN, 0) == 0;
}

static __always_inline enum verdict announce_arp(struct __sk_buff *skb, const struct arp_claims *c)
{
	__u32 sender = c->at + __builtin_offsetof(struct arphdr, sender_mac);
	__u32 target = c->at + __builtin_offsetof(struct arphdr, target_mac);

	if (c->sender != NO_POOL && !store_mac(skb, c->sender, sender))
		return DROP_UNANNOUNCEABLE;
	if (c->target != NO_POOL && !store_mac(skb, c->target, target))
		return DROP_UNANNOUNCEABLE;
	return PASS_ANNOUNCED;
}

/* Puts the cluster's MAC into an option, and what that changes into the checksum. */
static __always_inline bool
rewrite_option(struct __sk_buff *skb, __u32 pool, __u32 at, __u32 check, struct nd_option *old)
{
	struct nd_option new = *old;
	__s64 difference;

	if (old->length != 1)
		return false;
	cluster_mac(pool, new.mac);
	difference = bpf_csum_diff((void *)old, sizeof(*old), (void *)&new, sizeof(new), 0);
	return bpf_skb_store_bytes(skb, at, &new, sizeof(new), 0) == 0 &&
	       bpf_l4_csum_replace(skb, check, 0, difference, 0) == 0;
}

/* A message without the option binds nothing: the receiver knows the MAC already. */
static __always_inline enum verdict
announce_nd(struct __sk_buff *skb, __u32 pool, const struct nd_message *m)
{
	__u32 at = m->options;

	if (!m->whole)
		return DROP_UNANNOUNCEABLE;
	for (int i = 0; i < MAX_ND_OPTIONS; i++) {
		struct nd_option option;

		if (at + sizeof(option) > m->end)
			return PASS_ANNOUNCED;
		if (bpf_skb_load_bytes(skb, at, &option, sizeof(option)) || option.length == 0)
			return DROP_UNANNOUNCEABLE;
		if (option.type == m->option && !rewrite_option(skb, pool, at, m->check, &option))
			return DROP_UNANNOUNCEABLE;
		at += option.length * 8;
	}
	return DROP_UNANNOUNCEABLE;
}

static __always_inline enum verdict announce(struct __sk_buff *skb)
{
	struct frame f = tc_frame(skb);
	struct arp_claims arp = arp_claims(&f);
	int pool = arp.sender != NO_POOL ? arp.sender : arp.target;
	struct nd_message message = {};
	enum verdict verdict;

	if (pool != NO_POOL) {
		verdict = announce_arp(skb, &arp);
	} else {
		pool = nd_bound_pool(&f, &message);
		if (pool == NO_POOL)
			return PASS_UNTOUCHED;
		verdict = announce_nd(skb, pool, &message);
	}
	count_verdict(pool, verdict);
	return verdict;
}

#endif
