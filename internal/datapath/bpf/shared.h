/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Is a frame an IP packet to a shared address? */
#ifndef ROTA_SHARED_H
#define ROTA_SHARED_H

#include "network.h"

static __always_inline int
read_shared_ipv4(const struct frame *f, __u32 at, struct packet *p, enum verdict *fault)
{
	struct iphdr room;
	const struct iphdr *ip = frame_at(f, at, &room, sizeof(*ip));
	int pool;

	if (!ip)
		return NO_POOL;
	p->destination = address4(ip->daddr);
	pool = pool_of(&p->destination);
	if (pool == NO_POOL)
		return NO_POOL;
	p->source = address4(ip->saddr);
	*fault = read_ipv4(f, ip, at, p);
	return pool;
}

static __always_inline int
read_shared_ipv6(const struct frame *f, __u32 at, struct packet *p, enum verdict *fault)
{
	struct ipv6hdr room;
	const struct ipv6hdr *ip = frame_at(f, at, &room, sizeof(*ip));
	int pool;

	if (!ip)
		return NO_POOL;
	p->ipv6 = true;
	p->destination = address6(ip->daddr);
	pool = pool_of(&p->destination);
	if (pool == NO_POOL)
		return NO_POOL;
	p->source = address6(ip->saddr);
	*fault = read_ipv6(f, ip, at, p);
	return pool;
}

#endif
