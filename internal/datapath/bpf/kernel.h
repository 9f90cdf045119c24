/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The few definitions of the kernel's stable ABI that the programs need, so
 * that they build without any kernel's headers. Each names its source there.
 */
#ifndef ROTA_KERNEL_H
#define ROTA_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;

#define bool _Bool
#define true 1
#define false 0
#define NULL ((void *)0)

/* What most packets are: keeps their code together, and their values in registers. */
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Keeps an address in a register, where the compiler would work it out anew for every use. */
#define KEEP(x) asm volatile("" : "+r"(x))

/* include/uapi/linux/bpf.h */
enum {
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
};

enum { BPF_F_MMAPABLE = 1 << 10 };
enum { BPF_F_CURRENT_NETNS = -1 };
enum { BPF_ANY = 0 };

enum xdp_action { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };

struct xdp_md {
	__u32 data, data_end, data_meta;
	__u32 ingress_ifindex, rx_queue_index, egress_ifindex;
};

struct __sk_buff {
	__u32 len, pkt_type, mark, queue_mapping, protocol;
	__u32 vlan_present, vlan_tci, vlan_proto;
	__u32 priority, ingress_ifindex, ifindex, tc_index;
	__u32 cb[5];
	__u32 hash, tc_classid, data, data_end, napi_id;
	__u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4];
	__u32 remote_port, local_port, data_meta;
	__u64 flow_keys __attribute__((aligned(8)));
	__u64 tstamp;
	__u32 wire_len, gso_segs;
	__u64 sk __attribute__((aligned(8)));
	__u32 gso_size;
};

struct bpf_sock {
	__u32 bound_dev_if, family, type, protocol, mark, priority;
	__u32 src_ip4, src_ip6[4], src_port;
	__be16 dst_port;
	__u16 : 16;
	__u32 dst_ip4, dst_ip6[4], state;
	__s32 rx_queue_mapping;
};

struct bpf_sock_tuple {
	union {
		struct {
			__be32 saddr, daddr;
			__be16 sport, dport;
		} ipv4;
		struct {
			__be32 saddr[4], daddr[4];
			__be16 sport, dport;
		} ipv6;
	};
};

/* include/uapi/linux/pkt_cls.h; TC_ACT_UNSPEC is also TCX_NEXT */
enum { TC_ACT_UNSPEC = -1, TC_ACT_OK = 0, TC_ACT_SHOT = 2 };

/* include/uapi/linux/if_packet.h */
enum { PACKET_HOST = 0, PACKET_BROADCAST = 1 };

/* include/net/tcp_states.h; NEW_SYN_RECV: a struct tcp_request_sock */
enum { TCP_LISTEN = 10, TCP_NEW_SYN_RECV = 12 };

/* include/uapi/linux/if_ether.h */
enum {
	ETH_ALEN = 6,
	ETH_P_IP = 0x0800,
	ETH_P_ARP = 0x0806,
	ETH_P_8021Q = 0x8100,
	ETH_P_8021AD = 0x88A8,
	ETH_P_IPV6 = 0x86DD,
};

struct ethhdr {
	__u8 destination[ETH_ALEN], source[ETH_ALEN];
	__be16 protocol;
};

struct vlanhdr {
	__be16 tci, protocol;
};

/* include/uapi/linux/in.h, in6.h */
enum {
	IPPROTO_HOPOPTS = 0,
	IPPROTO_ICMP = 1,
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	IPPROTO_DCCP = 33,
	IPPROTO_ROUTING = 43,
	IPPROTO_FRAGMENT = 44,
	IPPROTO_ESP = 50,
	IPPROTO_AH = 51,
	IPPROTO_ICMPV6 = 58,
	IPPROTO_DSTOPTS = 60,
	IPPROTO_SCTP = 132,
	IPPROTO_UDPLITE = 136,
};

/* RFC 791 */
struct iphdr {
	__u8 version_ihl, tos;
	__be16 tot_len, id, frag_off;
	__u8 ttl, protocol;
	__be16 check;
	__be32 saddr, daddr;
};

enum { IP_MORE_FRAGMENTS = 0x2000, IP_FRAGMENT_OFFSET = 0x1fff };

/* RFC 8200 */
struct ipv6hdr {
	__be32 version_class_flow;
	__be16 payload_len;
	__u8 nexthdr, hop_limit;
	__be64 saddr[2], daddr[2];
};

struct ipv6exthdr {
	__u8 nexthdr, length; /* in units of 8 bytes, the first not counted */
	__be16 frag_off; /* fragment header: offset in units of 8 << 3, more fragments */
	__be32 id; /* fragment header */
};

enum { IPV6_MORE_FRAGMENTS = 0x0001, IPV6_FRAGMENT_OFFSET = 0xfff8 };

/* RFC 9293 */
struct tcphdr {
	__be16 source, destination;
	__be32 seq, ack;
	__u8 offset, flags;
	__be16 window, check, urgent;
};

enum { TCP_FLAG_SYN = 0x02, TCP_FLAG_ACK = 0x10 };

/* RFC 792, RFC 4443 */
struct icmphdr {
	__u8 type, code;
	__be16 check;
	__be32 rest;
};

/* RFC 826, for Ethernet and IPv4 */
struct arphdr {
	__be16 hardware, protocol;
	__u8 hardware_len, protocol_len;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender_ip;
	__u8 target_mac[ETH_ALEN];
	__be32 target_ip;
} __attribute__((packed, aligned(2)));

/* RFC 4861, 4.6.1 */
struct nd_option {
	__u8 type, length; /* length in units of 8 bytes */
	__u8 mac[ETH_ALEN];
} __attribute__((aligned(4)));

#endif
