/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The bucket tables: one byte of state per bucket. Each pool has several
 * tables (generations); control.table says which is in force, so that user
 * space switches all buckets of a pool with one store.
 */
#ifndef ROTA_TABLE_H
#define ROTA_TABLE_H

#include "control.h"

enum bucket_state { FOREIGN, MINE, LINGERING, CONTESTED, STATE_UNKNOWN = 255 };

enum { TABLE_LINE = 64 };

struct table_line {
	__u8 state[TABLE_LINE];
};

/* max_entries is set when loading: all tables of all pools, end to end. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct table_line);
} rota_tables SEC(".maps");

static __always_inline enum bucket_state state_of(__u32 pool, __u32 bucket)
{
	__u32 at = control.table[place_of(pool)] + bucket;
	__u32 line = at / TABLE_LINE;
	struct table_line *l = bpf_map_lookup_elem(&rota_tables, &line);

	return l ? l->state[at % TABLE_LINE] : STATE_UNKNOWN;
}

#endif
