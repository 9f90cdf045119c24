/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Only a datagram's first fragment says which flow it belongs to. Every node
 * sees all fragments and remembers what the first one said. A later fragment
 * that overtakes its first one is lost.
 */
#ifndef ROTA_FRAGMENT_H
#define ROTA_FRAGMENT_H

#include "flow.h"

struct datagram {
	struct address source, destination;
	__u32 id;
	/* IPv6: 0, its fragments may differ in what follows the header (RFC 8200, 4.5). */
	__u32 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192); /* more with many CPUs */
	__type(key, struct datagram);
	__type(value, struct flow);
} rota_fragments SEC(".maps");

static __always_inline struct datagram datagram_of(const struct packet *p)
{
	return (struct datagram){
		.source = p->source,
		.destination = p->destination,
		.id = p->fragment_id,
		.protocol = p->ipv6 ? 0 : p->protocol,
	};
}

/* Functions of their own, as in network.h. */
__noinline int remember_flow(const struct packet *p)
{
	struct datagram key;
	struct flow flow;

	if (!p)
		return 0;
	key = datagram_of(p);
	flow = p->flow;
	return bpf_map_update_elem(&rota_fragments, &key, &flow, BPF_ANY);
}

__noinline int recall_flow(struct packet *p)
{
	const struct flow *f;
	struct datagram key;

	if (!p)
		return false;
	key = datagram_of(p);
	f = bpf_map_lookup_elem(&rota_fragments, &key);
	if (f)
		p->flow = *f;
	return f != NULL;
}

#endif
