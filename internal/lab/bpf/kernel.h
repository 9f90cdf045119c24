/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The few lines of the kernel's interface (include/uapi/linux/bpf.h) that the
 * lab's programs need, so that building them takes clang and nothing else.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;

/* The head of the kernel's struct of this name; the rest is not used here. */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol; /* EtherType, network order */
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex; /* the device whose hook runs the program */
};

enum {
	BPF_MAP_TYPE_HASH = 1,
	TC_ACT_OK = 0,
	TC_ACT_SHOT = 2,
	ETH_HLEN = 14,
	ETH_ALEN = 6,
	ETH_P_IP = 0x0800,
	ETH_P_IPV6 = 0x86dd,
	IPPROTO_UDP = 17,
};

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static __u32 (*bpf_get_prandom_u32)(void) = (void *)7;
static long (*bpf_skb_load_bytes)(const void *skb, __u32 offset, void *to, __u32 len) = (void *)26;

#define SEC(name) __attribute__((section(name), used))

/* Members of a map definition in BTF, as libbpf reads them. */
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
