// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#include "config.h"
#include "control.h"
#include "table.h"
#include "verdict.h"

SEC("xdp")
int rota_xdp(struct xdp_md *ctx)
{
	return lease_is_over() && state_of(0, 0) == FOREIGN && config.pools ? XDP_PASS : XDP_PASS;
}

SEC("tc")
int rota_tc(struct __sk_buff *skb)
{
	count_verdict(0, PASS_UNTOUCHED);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int rota_adopt(struct __sk_buff *skb)
{
	count_bucket(0, 0, PASS_UNTOUCHED);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int rota_announce(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

SEC("tc")
int rota_guard(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

/*
 * Not attached anywhere: user space runs it to learn which jiffy it is. Writes
 * jiffies and then CLOCK_MONOTONIC (ns) to the start of the packet.
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
