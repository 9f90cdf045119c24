/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A frame, wherever the program is attached. Its first bytes lie in one piece
 * of memory, the rest may not (socket buffers, XDP frames of several buffers).
 */
#ifndef ROTA_FRAME_H
#define ROTA_FRAME_H

#include "config.h"
#include "headers/bpf_endian.h"

enum hook { XDP, TC };

struct frame {
	void *ctx; /* struct xdp_md or struct __sk_buff */
	void *data, *data_end; /* the first piece */
	enum hook hook; /* known when compiling */
};

/*
 * All headers that we read begin before: twice (an ICMPv6 error and what it is
 * about) 40 bytes and MAX_EXTENSIONS of 2 KiB. The verifier wants to see it, and
 * sees it best without a comparison, which would make it tell apart every sum.
 */
enum { MAX_OFFSET = 0x7fff };

static __always_inline struct frame xdp_frame(struct xdp_md *ctx)
{
	return (struct frame){ ctx, (void *)(long)ctx->data, (void *)(long)ctx->data_end, XDP };
}

static __always_inline struct frame tc_frame(struct __sk_buff *skb)
{
	return (struct frame){ skb, (void *)(long)skb->data, (void *)(long)skb->data_end, TC };
}

/* Length of the whole frame, from the Ethernet header on. */
static __always_inline __u32 frame_len(const struct frame *f)
{
	if (f->hook == TC)
		return ((struct __sk_buff *)f->ctx)->len;
	if (config.multi_buffer)
		return bpf_xdp_get_buff_len(f->ctx);
	return f->data_end - f->data;
}

/* Is the frame at least so long? Most often its first piece says so. */
static __always_inline bool frame_has(const struct frame *f, __u32 len)
{
	return likely(len <= (__u32)(f->data_end - f->data)) || len <= frame_len(f);
}

/* Copies what is not in the first piece. */
static __always_inline bool frame_load(const struct frame *f, __u32 offset, void *to, __u32 len)
{
	if (f->hook == TC)
		return bpf_skb_load_bytes(f->ctx, offset, to, len) == 0;
	return config.multi_buffer && bpf_xdp_load_bytes(f->ctx, offset, to, len) == 0;
}

/*
 * Where len bytes at offset can be read: in the frame, or in room when they had
 * to be copied there. NULL if the frame ends before.
 */
static __always_inline const void *frame_at(const struct frame *f, __u32 offset, void *room, __u32 len)
{
	const void *at = f->data + (offset & MAX_OFFSET);

	if (likely(at + len <= f->data_end))
		return at;
	return frame_load(f, offset, room, len) ? room : NULL;
}

/*
 * The protocol of the frame's network layer (host order) and where that
 * begins. A tag may be in the frame or, taken out by the kernel or the NIC,
 * beside it; two are followed (802.1ad). 0 if the frame is too short.
 */
static __always_inline __u16 frame_protocol(const struct frame *f, __u32 *network)
{
	const struct ethhdr *eth = f->data;
	__u32 offset = sizeof(*eth);
	__u16 protocol;

	if ((void *)(eth + 1) > f->data_end)
		return 0;
	protocol = bpf_ntohs(eth->protocol);
#pragma unroll
	for (int tags = 0; tags < 2; tags++) {
		struct vlanhdr room;
		const struct vlanhdr *tag;

		if (likely(protocol != ETH_P_8021Q && protocol != ETH_P_8021AD))
			break;
		tag = frame_at(f, offset, &room, sizeof(*tag));
		if (!tag)
			return 0;
		protocol = bpf_ntohs(tag->protocol);
		offset += sizeof(*tag);
	}
	*network = offset;
	return protocol;
}

#endif
