//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Faults of a switch port: frames lost by chance, all of them, beats only, or what
 * the switch floods, per direction of the port and per pair of hosts.
 *
 * Attached to the switch's side of a host's cable: tc ingress sees what the
 * host sends, tc egress what it is sent.
 */
#include "kernel.h"

#define CERTAIN 1000000 /* parts per million */

enum direction {
	FROM_HOST,
	TO_HOST,
};

/* How many frames of a million are lost; CERTAIN or more is all of them. */
struct loss {
	__u32 frames_ppm;
	__u32 beats_ppm; /* of the frames that frames_ppm let through */
	__u32 flooded_ppm; /* and of those, if they are for neither mac nor all stations */
	__u8 mac[ETH_ALEN];
	__u8 zero[2];
};

struct port {
	__u32 ifindex;
	enum direction direction;
};

/* Frames from one host that leave by another host's port. */
struct pair {
	__u32 ifindex;
	__u8 source[ETH_ALEN];
	__u8 zero[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct port);
	__type(value, struct loss);
} port_loss SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct pair);
	__type(value, struct loss);
} pair_loss SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct port);
	__type(value, __u64);
} lost SEC(".maps");

/* UDP destination port of beats, host order; set before loading. */
volatile const __u16 beat_port = 7479;

static int happens(__u32 ppm)
{
	if (!ppm)
		return 0;
	return (((__u64)bpf_get_prandom_u32() * CERTAIN) >> 32) < ppm;
}

static int is_beat(struct __sk_buff *skb)
{
	__u32 transport;
	__u8 protocol, version_ihl, port[2];

	if (skb->protocol == __builtin_bswap16(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &version_ihl, 1) ||
		    bpf_skb_load_bytes(skb, ETH_HLEN + 9, &protocol, 1))
			return 0;
		transport = ETH_HLEN + (version_ihl & 0xf) * 4;
	} else if (skb->protocol == __builtin_bswap16(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + 6, &protocol, 1))
			return 0;
		transport = ETH_HLEN + 40;
	} else {
		return 0;
	}
	if (protocol != IPPROTO_UDP || bpf_skb_load_bytes(skb, transport + 2, port, 2))
		return 0;
	return ((__u32)port[0] << 8 | port[1]) == beat_port;
}

/* Whether the frame is sent to the port although its host is not the one addressed. */
static int is_flooded(struct __sk_buff *skb, struct loss *loss)
{
	__u8 to[ETH_ALEN];
	int own = 1, all = 1, i;

	if (bpf_skb_load_bytes(skb, 0, to, ETH_ALEN))
		return 0;
	for (i = 0; i < ETH_ALEN; i++) {
		own &= to[i] == loss->mac[i];
		all &= to[i] == 0xff;
	}
	return !own && !all;
}

static int loses(struct __sk_buff *skb, struct loss *loss)
{
	if (!loss)
		return 0;
	if (happens(loss->frames_ppm))
		return 1;
	if (loss->beats_ppm && is_beat(skb) && happens(loss->beats_ppm))
		return 1;
	return loss->flooded_ppm && is_flooded(skb, loss) && happens(loss->flooded_ppm);
}

static int drop(struct port *port)
{
	__u64 *count = bpf_map_lookup_elem(&lost, port);

	if (count)
		__sync_fetch_and_add(count, 1);
	return TC_ACT_SHOT;
}

SEC("tc") int lab_from_host(struct __sk_buff *skb)
{
	struct port port = { skb->ifindex, FROM_HOST };

	if (loses(skb, bpf_map_lookup_elem(&port_loss, &port)))
		return drop(&port);
	return TC_ACT_OK;
}

SEC("tc") int lab_to_host(struct __sk_buff *skb)
{
	struct port port = { skb->ifindex, TO_HOST };
	struct pair pair = { .ifindex = skb->ifindex };

	if (loses(skb, bpf_map_lookup_elem(&port_loss, &port)))
		return drop(&port);
	if (bpf_skb_load_bytes(skb, ETH_ALEN, pair.source, ETH_ALEN))
		return TC_ACT_OK;
	if (loses(skb, bpf_map_lookup_elem(&pair_loss, &pair)))
		return drop(&port);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
