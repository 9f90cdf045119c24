/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a packet says about the flow it belongs to, seen from this node. */
#ifndef ROTA_FLOW_H
#define ROTA_FLOW_H

#include "address.h"

/* Its local address is the packet's destination. */
struct flow {
	struct address remote;
	__be16 remote_port, local_port; /* 0 where the protocol has none */
	__u8 protocol; /* IPPROTO_… */
	__u8 opening; /* TCP SYN without ACK */
	__u16 : 16;
};

enum fragment { WHOLE, FIRST_FRAGMENT, LATER_FRAGMENT };

struct packet {
	struct address source, destination;
	__u8 ipv6; /* else IPv4 */
	__u8 protocol; /* of the transport header */
	__u8 fragment; /* enum fragment */
	__u8 icmp_type; /* of ICMP and ICMPv6 */
	__be32 fragment_id;
	__u32 transport; /* where its header begins in the frame */
	__u32 end; /* where the packet ends in the frame */
	struct flow flow; /* ICMP errors: the one that they are about */
};

/*
 * Where a protocol has its ports, or what CLUSTERIP takes for them (the SPI of
 * ESP and AH): proto_ports_offset of include/net/ip.h. Negative if nowhere.
 */
static __always_inline int ports_offset(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_DCCP:
	case IPPROTO_ESP:
	case IPPROTO_SCTP:
	case IPPROTO_UDPLITE:
		return 0;
	case IPPROTO_AH:
		return 4;
	default:
		return -1;
	}
}

#endif
