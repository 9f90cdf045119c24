/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the programs are told: config, which is fixed when they are loaded (the
 * kernel freezes it, and the verifier folds what is constant), and live, the pools
 * and their addresses, which may change while they run. User space fills both in
 * (config.go mirrors the layout).
 */
#ifndef ROTA_CONFIG_H
#define ROTA_CONFIG_H

#include "kernel.h"
#include "headers/bpf_helpers.h"

enum {
	MAX_POOLS = 64,
	/* Slots of the perfect hash of shared addresses; a power of two. */
	ADDRESS_SLOTS = 1024,
	ADDRESS_SHIFT = 64 - 10,
	/* Like that of its parts a power of two: to find a part is to shift, not to multiply. */
	ARRANGEMENT_SIZE = 1 << 16,
};

/* An IPv6 address in host order; IPv4 is IPv4-mapped. */
struct address {
	__u64 high, low;
};

struct shared_address {
	struct address address;
	__u32 pool; /* its place, and RETIRES; NO_POOL in an empty slot */
	__u32 : 32;
	__u64 : 64;
};

struct pool {
	/* The mode of its hash: where it begins, and what of the packet it takes in. */
	__u32 start4, start6;
	__u64 source6[2]; /* masks, in host order */
	__u32 source4;
	__be16 remote_port, local_port;
	__u32 buckets;
	__u32 first; /* index of its bucket 0 in rota_buckets */
	__u8 mac[ETH_ALEN]; /* the cluster's */
	__u16 : 16;
	__u32 order; /* where user space lists it */
	__u32 : 32;
	__u64 : 64;
};

struct config {
	__u32 abi; /* layout of this file, control.h, table.h, verdict.h, syn.h */
	__u32 : 32;
	__u64 fingerprint; /* of what user space asked for when it loaded the programs */
	__be16 beat_port;
	__u8 multi_buffer; /* the kernel has XDP frames of several buffers (Linux 5.18) */
	__u8 : 8;
	__u16 request_isn; /* where struct tcp_request_sock has snt_isn; 0 if that cannot be known */
	struct {
		__u16 status, tcp;
	} conntrack; /* where struct nf_conn has them; 0 if it cannot be asked */
	__u16 : 16;
	__u32 : 32;
};

const volatile struct config config SEC(".rodata.config");

/*
 * The pools and addresses. There are several versions; current says which one is in
 * force, so that user space changes everything with one store. A version is
 * not written to while a program might still look into it (table.h).
 */
enum { VERSIONS = 4, VERSION_SHIFT = 6 };

struct arrangement {
	__u64 fingerprint; /* of what user space asked for */
	__u64 multiplier; /* of the perfect hash */
	struct pool pool[MAX_POOLS]; /* each keeps its place */
	struct shared_address slot[ADDRESS_SLOTS];
	__u8 rest[ARRANGEMENT_SIZE - 16 - MAX_POOLS * sizeof(struct pool) - ADDRESS_SLOTS * sizeof(struct shared_address)];
};

struct live {
	__u32 current;
	__u32 : 32;
	struct arrangement version[VERSIONS];
};

struct live live SEC(".data.live");

/*
 * A pool is known by a number: its place, the version in which it was found, and
 * whether it was by an address that retires, for which nothing new is accepted. One
 * packet is judged by one version.
 */
enum { RETIRES = MAX_POOLS * VERSIONS };

static __always_inline __u32 place_of(__u32 pool)
{
	return pool & (MAX_POOLS - 1);
}

static __always_inline const struct pool *pool_at(__u32 pool)
{
	return &live.version[pool >> VERSION_SHIFT & (VERSIONS - 1)].pool[place_of(pool)];
}

#endif
