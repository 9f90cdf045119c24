/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The adopter (tc ingress). Frames sent to the cluster's MAC count as
 * multicast or as another host's, and the stack would refuse their TCP. The
 * adopter calls what is for a shared address the host's own. It comes after
 * packet sockets for all protocols: the daemon already has its copy of a beat.
 */
#ifndef ROTA_ADOPTER_H
#define ROTA_ADOPTER_H

#include "arp.h"
#include "shared.h"
#include "transport.h"

/* The verifier wants every access to go by the context itself, not by a pointer into it. */
static __always_inline __u32 packet_type(struct __sk_buff *skb)
{
	KEEP(skb);
	return skb->pkt_type;
}

static __always_inline void adopt(struct __sk_buff *skb)
{
	if (packet_type(skb) != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
}

/* Beats are the daemon's alone: the stack would answer them with ICMP errors. */
static __always_inline int adopt_packet(struct __sk_buff *skb, __u32 pool, bool beat)
{
	if (beat) {
		count_verdict(pool, DROP_BEAT);
		return TC_ACT_SHOT;
	}
	adopt(skb);
	return TC_ACT_UNSPEC;
}

/*
 * Answers to this host's own requests, which left with the cluster's MAC, and
 * requests that a router sends to the MAC it knows. Broadcasts need nothing.
 */
static __always_inline int adopt_arp(struct __sk_buff *skb, const struct frame *f)
{
	if (packet_type(skb) > PACKET_BROADCAST && arp_target_pool(f) != NO_POOL)
		adopt(skb);
	return TC_ACT_UNSPEC;
}

#endif
