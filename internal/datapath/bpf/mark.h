/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * When another node's flow was last seen going on: whoever answered its SYN,
 * nobody need do so again (replay.go). Flows that meet in one place share it: a
 * SYN that nobody answered may be taken for one that somebody did, never the reverse.
 */
#ifndef ROTA_MARK_H
#define ROTA_MARK_H

#include "flow.h"

enum { MARKS = 1 << 18 };

struct marks {
	__u32 seen[MARKS]; /* jiffies; 0: never */
} marks; /* .bss: mapped into user space, like the sections of data */

/* Where a flow's is, by its full hash, which in some modes leaves out its port (marks.go). */
static __always_inline void mark(__u32 hash, const struct flow *f, __u32 now)
{
	volatile __u32 *seen = &marks.seen[(hash + f->remote_port) & (MARKS - 1)];

	if (*seen != now) /* most often it is: no cache line wanders between CPUs for each packet */
		*seen = now;
}

#endif
