/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Judges what nearly all packets are straight from the frame: a whole segment of TCP
 * that opens nothing, without options of IP, for a bucket that is this node's alone
 * or another's. Whatever else a frame is, filter.h reads it anew and judges
 * it: to keep for it what has been read here would cost all the others.
 *
 * What counts is not how much there is to do but what waits for what: to find the
 * address, to hash, to find the bucket's counter. All else the CPU does meanwhile.
 */
#ifndef ROTA_COMMON_H
#define ROTA_COMMON_H

#include "hash.h"
#include "mark.h"
#include "table.h"
#include "transport.h"

/* Who judges a packet again counts only what the first one would have dropped. */
enum turn { FIRST_TURN, SECOND_TURN };

/* What the filter says to a frame, and whose pool it is about. */
struct ruling {
	enum verdict verdict;
	int pool; /* or NO_POOL */
};

static const struct ruling untouched = { PASS_UNTOUCHED, NO_POOL };
static const struct ruling undecided = { UNDECIDED, NO_POOL };

/* A segment to a shared address; it ends in the frame at end. */
static __always_inline bool
is_common(const struct frame *f, const struct shared *s, const struct tcphdr *tcp, __u32 end, __u64 now)
{
	return !opens(tcp) && !(s->at->pool & RETIRES) && frame_has(f, end) && !lease_is_over(now);
}

static __always_inline struct ruling
judge_common(const struct shared *s, const struct flow *flow, __u32 hash, __u64 now, enum turn turn)
{
	const struct hashing *how = &s->at->hashing;
	__u32 bucket = bucket_of(how, hash);

	switch (state_of(s->pool, bucket)) {
	case FOREIGN:
		mark(hash, flow, now);
		count_bucket(how, bucket, DROP_FOREIGN);
		count_verdict(s->pool, DROP_FOREIGN);
		return (struct ruling){ DROP_FOREIGN, s->pool };
	case MINE:
		if (turn == FIRST_TURN) {
			count_bucket(how, bucket, PASS_MINE);
			count_verdict(s->pool, PASS_MINE);
		}
		return (struct ruling){ PASS_MINE, s->pool };
	default:
		return undecided;
	}
}

static __always_inline struct ruling judge_common_ipv4(const struct frame *f, __u32 at, enum turn turn)
{
	const struct iphdr *ip = f->data + at;
	const struct tcphdr *tcp = (const void *)(ip + 1);
	__u64 now = bpf_jiffies64();
	struct address local;
	struct shared s;
	struct flow flow;
	__u32 len;

	if ((void *)(tcp + 1) > f->data_end)
		return undecided;
	local = address4(ip->daddr);
	s = find_shared(&local);
	if (!s.at)
		return untouched;
	len = bpf_ntohs(ip->tot_len);
	if (unlikely(ip->version_ihl != 0x45 || ip->protocol != IPPROTO_TCP || len < sizeof(*ip) + sizeof(*tcp)))
		return undecided;
	if (unlikely(ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET)))
		return undecided;
	if (unlikely(!is_common(f, &s, tcp, at + len, now)))
		return undecided;
	flow.remote = address4(ip->saddr);
	flow.remote_port = tcp->source;
	flow.local_port = tcp->destination;
	return judge_common(&s, &flow, hash4(&s.at->hashing, &flow), now, turn);
}

static __always_inline struct ruling judge_common_ipv6(const struct frame *f, __u32 at, enum turn turn)
{
	const struct ipv6hdr *ip = f->data + at;
	const struct tcphdr *tcp = (const void *)(ip + 1);
	__u64 now = bpf_jiffies64();
	struct address local;
	struct shared s;
	struct flow flow;
	__u32 len;

	if ((void *)(tcp + 1) > f->data_end)
		return undecided;
	local = address6(ip->daddr);
	s = find_shared(&local);
	if (!s.at)
		return untouched;
	len = bpf_ntohs(ip->payload_len);
	if (unlikely(bpf_ntohl(ip->version_class_flow) >> 28 != 6 || ip->nexthdr != IPPROTO_TCP || len < sizeof(*tcp)))
		return undecided;
	if (unlikely(!is_common(f, &s, tcp, at + sizeof(*ip) + len, now)))
		return undecided;
	flow.remote = address6(ip->saddr);
	flow.remote_port = tcp->source;
	flow.local_port = tcp->destination;
	return judge_common(&s, &flow, hash6(&s.at->hashing, &flow), now, turn);
}

#endif
