/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What user space changes while the programs run; mapped into its memory. */
#ifndef ROTA_CONTROL_H
#define ROTA_CONTROL_H

#include "config.h"

struct control {
	/* The lease: the first jiffy in which nothing is accepted any more; 0 is over. */
	__u64 lease;
	/* Where each pool's table in force begins in rota_tables, in bytes. */
	__u32 table[MAX_POOLS];
};

volatile struct control control SEC(".data.control");

/* The fuse. bpf_jiffies64 is inlined; it never wraps. */
static __always_inline bool lease_is_over(void)
{
	return bpf_jiffies64() >= control.lease;
}

#endif
