/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Does a TCP packet belong to a connection that this host passes on to another
 * address (DNAT: containers)? Such a connection has no socket here; the kernel's
 * connection tracking knows it. Only what has been translated counts: all else has
 * a socket, which tells more.
 */
#ifndef ROTA_CONNTRACK_H
#define ROTA_CONNTRACK_H

#include "socket.h"

/* net/netfilter/nf_conntrack_bpf.c, Linux 5.18; there may be more after it */
struct bpf_ct_opts {
	__s32 netns_id, error;
	__u8 l4proto, dir, reserved[2];
};

/* include/net/netfilter/nf_conntrack.h; config.conntrack says where it has what */
struct nf_conn {};

/* include/linux/netfilter/nf_conntrack_tcp.h; conntrack.go makes sure that the running kernel has it so */
struct ip_ct_tcp_state {
	__u32 td_end; /* next sequence number */
	__u32 td_maxend, td_maxwin, td_maxack;
	__u8 td_scale, flags;
};

struct ip_ct_tcp {
	struct ip_ct_tcp_state seen[2]; /* by direction */
	__u8 state;
};

extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 len,
					 struct bpf_ct_opts *opts, __u32 opts_len) __ksym __weak;
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 len,
					 struct bpf_ct_opts *opts, __u32 opts_len) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *ct) __ksym __weak;

/* include/uapi/linux/netfilter/nf_conntrack_common.h */
enum { IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY };

enum {
	IPS_SEEN_REPLY = 1 << 1,
	IPS_CONFIRMED = 1 << 3,
	IPS_DST_NAT = 1 << 5,
	IPS_DYING = 1 << 9,
	IPS_OFFLOAD = 1 << 14,
};

/* include/uapi/linux/netfilter/nf_conntrack_tcp.h */
enum {
	TCP_CONNTRACK_SYN_RECV = 2,
	TCP_CONNTRACK_LAST_ACK = 6,
	TCP_CONNTRACK_TIME_WAIT = 7,
	IP_CT_TCP_FLAG_CLOSE_INIT = 1 << 2, /* sent its FIN first */
};

/* net/netfilter/nf_conntrack_proto_tcp.c, MAXACKWINCONST */
enum { MAX_ACK_WINDOW = 66000 };

/* Is there still somebody to answer it? Who closed first is in TIME_WAIT. */
static __always_inline bool lasts(const struct ip_ct_tcp *ct)
{
	if (ct->state == TCP_CONNTRACK_TIME_WAIT)
		return ct->seen[IP_CT_DIR_REPLY].flags & IP_CT_TCP_FLAG_CLOSE_INIT;
	return ct->state >= TCP_CONNTRACK_SYN_RECV && ct->state <= TCP_CONNTRACK_LAST_ACK;
}

/*
 * As acknowledges() of socket.h, also for an established connection: another node
 * may have a newer one by the same ports. Conntrack calls it invalid to acknowledge
 * anything else, leaves the packet untranslated, and our own stack resets it. While
 * a flow table forwards the packets conntrack does not count.
 */
static __always_inline bool
acknowledges_reply(const struct frame *f, const struct packet *p, __u64 status, const struct ip_ct_tcp *ct)
{
	struct tcphdr room;
	const struct tcphdr *tcp = segment_of(f, p, &room);
	__u32 missing, window;

	if (!tcp || !(tcp->flags & TCP_FLAG_ACK) || status & IPS_OFFLOAD)
		return true;
	missing = ct->seen[IP_CT_DIR_REPLY].td_end - bpf_ntohl(tcp->ack);
	if (ct->state == TCP_CONNTRACK_SYN_RECV)
		return missing == 0;
	window = ct->seen[IP_CT_DIR_ORIGINAL].td_maxwin;
	return missing <= (window > MAX_ACK_WINDOW ? window : MAX_ACK_WINDOW);
}

static __always_inline bool expects(const struct frame *f, const struct packet *p, const struct nf_conn *conn)
{
	const __u32 wanted = IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_DST_NAT;
	const struct ip_ct_tcp *ct = (const void *)conn + config.conntrack.tcp;
	__u64 status = *(const __u64 *)((const void *)conn + config.conntrack.status);

	return (status & (wanted | IPS_DYING)) == wanted && lasts(ct) && acknowledges_reply(f, p, status, ct);
}

static __always_inline bool find_forwarded(const struct frame *f, const struct packet *p)
{
	struct bpf_ct_opts opts = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = IPPROTO_TCP };
	struct bpf_sock_tuple tuple = {};
	__u32 len = tuple_of(p, &tuple);
	struct nf_conn *ct;
	bool found;

	ct = f->hook == XDP ? bpf_xdp_ct_lookup(f->ctx, &tuple, len, &opts, sizeof(opts))
			    : bpf_skb_ct_lookup(f->ctx, &tuple, len, &opts, sizeof(opts));
	if (!ct)
		return false;
	found = opts.dir == IP_CT_DIR_ORIGINAL && expects(f, p, ct);
	bpf_ct_release(ct);
	return found;
}

/* Functions of their own, as in network.h. */
__noinline int forwarded_in_xdp(struct xdp_md *ctx, const struct packet *p)
{
	struct frame f = xdp_frame(ctx);

	return p && config.conntrack.status && find_forwarded(&f, p);
}

__noinline int forwarded_in_tc(struct __sk_buff *skb, const struct packet *p)
{
	struct frame f = tc_frame(skb);

	return p && config.conntrack.status && find_forwarded(&f, p);
}

/* Does this host expect the packet? */
static __always_inline bool has_connection(const struct frame *f, const struct packet *p)
{
	if (has_tcp_socket(f, p))
		return true;
	if (!config.conntrack.status)
		return false;
	return f->hook == XDP ? forwarded_in_xdp(f->ctx, p) : forwarded_in_tc(f->ctx, p);
}

#endif
