/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Reading ARP: which shared addresses a message speaks of. */
#ifndef ROTA_ARP_H
#define ROTA_ARP_H

#include "address.h"
#include "frame.h"

static __always_inline bool same_mac(const __u8 a[ETH_ALEN], const __u8 b[ETH_ALEN])
{
	__u8 differ = 0;

#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

/* The message, or NULL if the frame is none for IPv4 on Ethernet. */
static __always_inline const struct arphdr *arp_at(const struct frame *f, __u32 *at, struct arphdr *room)
{
	const struct arphdr *arp;

	if (frame_protocol(f, at) != ETH_P_ARP)
		return NULL;
	arp = frame_at(f, *at, room, sizeof(*arp));
	if (!arp || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_len != ETH_ALEN || arp->protocol_len != sizeof(__be32))
		return NULL;
	return arp;
}

/* The pool of an address in the message, or NO_POOL. */
static __always_inline int arp_pool(__be32 ip)
{
	struct address a = address4(ip);

	return pool_of(&a);
}

/* What a message says about shared addresses. */
struct arp_claims {
	__u32 at; /* where the message begins in the frame */
	int sender; /* pool of the address that it binds to its sender, or NO_POOL */
	int target; /* the same of its target, as announcements to everybody do */
};

static __always_inline struct arp_claims arp_claims(const struct frame *f)
{
	struct arp_claims c = { .sender = NO_POOL, .target = NO_POOL };
	struct arphdr room;
	const struct arphdr *arp = arp_at(f, &c.at, &room);

	if (!arp)
		return c;
	c.sender = arp_pool(arp->sender_ip);
	if (same_mac(arp->sender_mac, arp->target_mac))
		c.target = arp_pool(arp->target_ip);
	return c;
}

/* The pool of the address that the message asks for, or answers to. */
static __always_inline int arp_target_pool(const struct frame *f)
{
	struct arphdr room;
	__u32 at;
	const struct arphdr *arp = arp_at(f, &at, &room);

	return arp ? arp_pool(arp->target_ip) : NO_POOL;
}

#endif
