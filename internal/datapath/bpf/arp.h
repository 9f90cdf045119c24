/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Reading ARP: which shared addresses a message speaks of. */
#ifndef ROTA_ARP_H
#define ROTA_ARP_H

#include "address.h"
#include "frame.h"

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

/* The pool of the address that the message binds to a MAC, or NO_POOL. */
static __always_inline int arp_sender_pool(const struct frame *f, __u32 *at)
{
	struct arphdr room;
	const struct arphdr *arp = arp_at(f, at, &room);
	struct address sender;

	if (!arp)
		return NO_POOL;
	sender = address4(arp->sender_ip);
	return pool_of(&sender);
}

/* The pool of the address that the message asks for, or answers to. */
static __always_inline int arp_target_pool(const struct frame *f)
{
	struct arphdr room;
	__u32 at;
	const struct arphdr *arp = arp_at(f, &at, &room);
	struct address target;

	if (!arp)
		return NO_POOL;
	target = address4(arp->target_ip);
	return pool_of(&target);
}

#endif
