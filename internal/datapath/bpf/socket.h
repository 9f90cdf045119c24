/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Does a flow have a socket here? The kernel's own socket tables are asked, so
 * that there is no flow table to fill or to lose. About 100 ns.
 */
#ifndef ROTA_SOCKET_H
#define ROTA_SOCKET_H

#include "flow.h"

static __always_inline void words_of(const struct address *a, __be32 word[4])
{
	word[0] = bpf_htonl(a->high >> 32);
	word[1] = bpf_htonl(a->high);
	word[2] = bpf_htonl(a->low >> 32);
	word[3] = bpf_htonl(a->low);
}

/* Returns the tuple's length. */
static __always_inline __u32 tuple_of(const struct packet *p, struct bpf_sock_tuple *t)
{
	const struct flow *f = &p->flow;

	if (!p->ipv6) {
		t->ipv4.saddr = bpf_htonl(f->remote.low);
		t->ipv4.daddr = bpf_htonl(p->destination.low);
		t->ipv4.sport = f->remote_port;
		t->ipv4.dport = f->local_port;
		return sizeof(t->ipv4);
	}
	words_of(&f->remote, t->ipv6.saddr);
	words_of(&p->destination, t->ipv6.daddr);
	t->ipv6.sport = f->remote_port;
	t->ipv6.dport = f->local_port;
	return sizeof(t->ipv6);
}

/* A connection, established, opening, closing or in TIME_WAIT; a listener is none. */
static __always_inline bool has_tcp_socket(void *ctx, const struct packet *p)
{
	struct bpf_sock_tuple tuple = {};
	__u32 len = tuple_of(p, &tuple);
	struct bpf_sock *sk = bpf_skc_lookup_tcp(ctx, &tuple, len, BPF_F_CURRENT_NETNS, 0);
	bool found;

	if (!sk)
		return false;
	found = sk->state != TCP_LISTEN;
	bpf_sk_release(sk);
	return found;
}

static __always_inline bool has_connected_udp_socket(void *ctx, const struct packet *p)
{
	struct bpf_sock_tuple tuple = {};
	__u32 len = tuple_of(p, &tuple);
	struct bpf_sock *sk = bpf_sk_lookup_udp(ctx, &tuple, len, BPF_F_CURRENT_NETNS, 0);
	bool found;

	if (!sk)
		return false;
	found = sk->state == TCP_ESTABLISHED;
	bpf_sk_release(sk);
	return found;
}

#endif
