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
	ARRANGEMENT_SIZE = 1 << 17,
};

/* An IPv6 address in host order; IPv4 is IPv4-mapped. */
struct address {
	__u64 high, low;
};

/* How a pool's packets of one family come to their buckets. */
struct hashing {
	struct address source; /* masks: what of the packet the hash takes in */
	__be16 remote_port, local_port;
	__u32 start; /* where it begins */
	__u32 buckets;
	__u32 first; /* index of bucket 0 in rota_buckets */
};

/* What nearly all packets need of their pool stands beside the address: nothing waits for a second load. */
struct shared_address {
	struct address address;
	struct hashing hashing;
	__u32 pool; /* its place, and RETIRES; NO_POOL in an empty slot */
	__u32 : 32;
	__u64 : 64;
};

struct pool {
	struct hashing ipv4, ipv6;
	__u8 mac[ETH_ALEN]; /* the cluster's */
	__u16 : 16;
	__u32 order; /* where user space lists it */
	__u32 : 32;
	__u64 rest[6];
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
 * force, and how its addresses are found, so that user space changes everything with
 * one store. A version is not written to while a program might still look into it (table.h).
 */
enum { VERSIONS = 4, VERSION_SHIFT = 6 };

struct arrangement {
	__u64 fingerprint; /* of what user space asked for */
	__u64 multiplier; /* of the perfect hash; its bits below VERSIONS are set */
	struct pool pool[MAX_POOLS]; /* each keeps its place */
	struct shared_address slot[ADDRESS_SLOTS];
	__u8 rest[ARRANGEMENT_SIZE - 16 - MAX_POOLS * sizeof(struct pool) - ADDRESS_SLOTS * sizeof(struct shared_address)];
};

struct live {
	__u64 current; /* the multiplier, but below VERSIONS the version */
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

static __always_inline const struct hashing *hashing_of(__u32 pool, bool ipv6)
{
	return ipv6 ? &pool_at(pool)->ipv6 : &pool_at(pool)->ipv4;
}

#endif
