// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * rota's programs: the places where the kernel calls them. What they do is
 * in the headers, one concern each.
 *
 *   rota_xdp       filter                XDP, service interface
 *   rota_tc        filter and adopter    tc ingress
 *   rota_adopt     the same, again       tc ingress, behind rota_xdp
 *   rota_announce  announcer             tc egress, service interface
 *   rota_guard     guard                 tc egress, all other interfaces
 *   rota_replay                          attached nowhere
 *   rota_clock                           attached nowhere
 */
#include "adopter.h"
#include "announcer.h"
#include "filter.h"
#include "guard.h"

SEC("xdp")
int rota_xdp(struct xdp_md *ctx)
{
	struct frame f = xdp_frame(ctx);

	return drops(filter(&f, FIRST_TURN).verdict) ? XDP_DROP : XDP_PASS;
}

static __always_inline int filter_and_adopt(struct __sk_buff *skb, enum turn turn)
{
	struct frame f = tc_frame(skb);
	struct ruling r = filter(&f, turn);

	if (r.pool == NO_POOL)
		return adopt_arp(skb, &f);
	return drops(r.verdict) ? TC_ACT_SHOT : adopt_packet(skb, r.pool, r.verdict == PASS_BEAT);
}

SEC("tc")
int rota_tc(struct __sk_buff *skb)
{
	return filter_and_adopt(skb, FIRST_TURN);
}

/*
 * Behind rota_xdp few packets come here, and all have been judged. If
 * somebody takes rota_xdp off, all come, and the node must not accept them all.
 */
SEC("tc")
int rota_adopt(struct __sk_buff *skb)
{
	return filter_and_adopt(skb, SECOND_TURN);
}

SEC("tc")
int rota_announce(struct __sk_buff *skb)
{
	return drops(announce(skb)) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

SEC("tc")
int rota_guard(struct __sk_buff *skb)
{
	return drops(guard(skb)) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

/*
 * User space runs it on frames for this host where the filter does not stand in
 * the driver: there the frames come to the filter when this has passed them.
 */
SEC("xdp")
int rota_replay(struct xdp_md *ctx)
{
	return XDP_PASS;
}

/*
 * User space runs it to learn which jiffy it is. It writes jiffies and then
 * CLOCK_MONOTONIC (ns) to the start of the packet.
 */
SEC("xdp")
int rota_clock(struct xdp_md *ctx)
{
	__u64 *out = (void *)(long)ctx->data;

	if ((void *)(out + 2) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	out[0] = bpf_jiffies64();
	out[1] = bpf_ktime_get_ns();
	return XDP_PASS;
}

/* To the kernel the programs are GPL, the half of the licence that it needs. */
char rota_license[] SEC("license") = "GPL";
