/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What user space changes while the programs run; mapped into its memory. */
#ifndef ROTA_CONTROL_H
#define ROTA_CONTROL_H

#include "config.h"

struct control {
	/*
	 * The lease, twice: before jiffy `lease` it is certainly in force, before
	 * CLOCK_MONOTONIC `until` (ns) it is exactly. Either is enough, so user space
	 * may write them in any order: no mixture grants more than the longer of two
	 * leases. 0 in both is over.
	 */
	__u64 lease, until;
	/* Where each pool's table in force begins in rota_tables, in bytes. */
	__u32 table[MAX_POOLS];
};

volatile struct control control SEC(".data.control");

/*
 * The fuse. bpf_jiffies64 is inlined and never wraps. The exact clock costs
 * some 30 ns, so it is read only when the lease has not been renewed for a while.
 */
static __always_inline bool lease_is_over(__u64 jiffies)
{
	return jiffies >= control.lease && bpf_ktime_get_ns() >= control.until;
}

#endif
