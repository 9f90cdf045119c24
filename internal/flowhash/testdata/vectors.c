// SPDX-License-Identifier: Apache-2.0
//
// Prints vectors.csv: packets and the buckets that they belong to.
//
// It shares nothing with the Go package on purpose. It hashes bytes where the
// package hashes words, and takes the ports from the bytes of a packet where
// the package swaps numbers: lookup3's hashlittle() over what Linux's
// clusterip_hashfn() hands to jhash_1word(), _2words() and _3words() in the
// memory of a little-endian host. Both must come to the same.
//
// The hash is written from its public-domain definition by Bob Jenkins
// (lookup3.c, May 2006) and checked against the results that file gives.

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct state {
	uint32_t a, b, c;
};

static uint32_t rotate(uint32_t x, int by)
{
	return x << by | x >> (32 - by);
}

static void mix(struct state *s)
{
	s->a -= s->c; s->a ^= rotate(s->c, 4);  s->c += s->b;
	s->b -= s->a; s->b ^= rotate(s->a, 6);  s->a += s->c;
	s->c -= s->b; s->c ^= rotate(s->b, 8);  s->b += s->a;
	s->a -= s->c; s->a ^= rotate(s->c, 16); s->c += s->b;
	s->b -= s->a; s->b ^= rotate(s->a, 19); s->a += s->c;
	s->c -= s->b; s->c ^= rotate(s->b, 4);  s->b += s->a;
}

static void final(struct state *s)
{
	s->c ^= s->b; s->c -= rotate(s->b, 14);
	s->a ^= s->c; s->a -= rotate(s->c, 11);
	s->b ^= s->a; s->b -= rotate(s->a, 25);
	s->c ^= s->b; s->c -= rotate(s->b, 16);
	s->a ^= s->c; s->a -= rotate(s->c, 4);
	s->b ^= s->a; s->b -= rotate(s->a, 14);
	s->c ^= s->b; s->c -= rotate(s->b, 24);
}

// add_block adds up to 12 bytes to the state, as three little-endian words
// padded with zeroes.
static void add_block(struct state *s, const uint8_t *key, size_t length)
{
	uint32_t word[3] = {0};

	for (size_t i = 0; i < length && i < 12; i++)
		word[i / 4] |= (uint32_t)key[i] << 8 * (i % 4);
	s->a += word[0];
	s->b += word[1];
	s->c += word[2];
}

static uint32_t hashlittle(const void *data, size_t length, uint32_t seed)
{
	const uint8_t *key = data;
	uint32_t start = 0xdeadbeef + (uint32_t)length + seed;
	struct state s = {start, start, start};

	if (length == 0)
		return s.c;
	for (; length > 12; key += 12, length -= 12) {
		add_block(&s, key, 12);
		mix(&s);
	}
	add_block(&s, key, length);
	final(&s);
	return s.c;
}

// The results that lookup3.c gives for itself in driver5().
static void check_hash(void)
{
	const char *text = "Four score and seven years ago";

	if (hashlittle("", 0, 0) != 0xdeadbeef ||
	    hashlittle("", 0, 0xdeadbeef) != 0xbd5b7dde ||
	    hashlittle(text, 30, 0) != 0x17770551 ||
	    hashlittle(text, 30, 1) != 0xcd628161) {
		fprintf(stderr, "this is not lookup3\n");
		exit(1);
	}
}

// A key is the memory of the words that are hashed, on a little-endian host.
struct key {
	uint8_t bytes[20];
	size_t length;
};

static void put_word(struct key *k, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		k->bytes[k->length++] = (uint8_t)(word >> 8 * i);
}

// put_raw_port adds what a little-endian host reads when it takes two bytes of
// a packet for a number: the same two bytes in its memory.
static void put_raw_port(struct key *k, const uint8_t wire[2])
{
	k->bytes[k->length++] = wire[0];
	k->bytes[k->length++] = wire[1];
	k->bytes[k->length++] = 0;
	k->bytes[k->length++] = 0;
}

enum mode { NETWORK, ADDRESS, PORT, PORTS };

static const char *const mode_name[] = {
	"source-network",
	"source-address",
	"source-address-port",
	"source-address-port-destination-port",
};

// A flow as it stands in a packet's headers, all in network order.
struct flow {
	const char *text;
	int family;
	uint8_t source[16];
	uint8_t ports[4];
};

// address_word is a word of the source in host order, cut to a prefix bit by bit.
static uint32_t address_word(const struct flow *f, int index, int prefix)
{
	uint32_t word = 0;

	for (int bit = 0; bit < 32; bit++) {
		int at = 32 * index + bit;
		uint32_t set = f->source[at / 8] >> (7 - at % 8) & 1;

		word = word << 1 | (at < prefix ? set : 0);
	}
	return word;
}

static struct key make_key(const struct flow *f, enum mode mode, int prefix)
{
	struct key k = {{0}, 0};
	int words = f->family == AF_INET ? 1 : 4;

	for (int i = 0; i < words; i++)
		put_word(&k, address_word(f, i, prefix));
	if (f->family == AF_INET) {
		if (mode >= PORT)
			put_raw_port(&k, f->ports);
		if (mode >= PORTS)
			put_raw_port(&k, f->ports + 2);
	} else if (mode >= PORT) {
		uint32_t source = f->ports[0] << 8 | f->ports[1];
		uint32_t destination = f->ports[2] << 8 | f->ports[3];

		put_word(&k, source << 16 | (mode >= PORTS ? destination : 0));
	}
	return k;
}

// bucket_of finds the bucket whose share of the hash's range holds the hash.
static uint32_t bucket_of(uint32_t hash, uint32_t buckets)
{
	uint32_t bucket = 0;

	while (bucket + 1 < buckets &&
	       (uint64_t)hash >= (((uint64_t)(bucket + 1) << 32) + buckets - 1) / buckets)
		bucket++;
	return bucket;
}

static const uint32_t table_sizes[] = {2, 3, 16, 4096, 65536};
static const uint32_t cluster_sizes[] = {2, 3, 16};

static void print_row(const struct flow *f, enum mode mode, int prefix, uint32_t seed)
{
	struct key k = make_key(f, mode, prefix);
	uint32_t hash = hashlittle(k.bytes, k.length, seed);

	printf("%s,", mode_name[mode]);
	if (mode == NETWORK)
		printf("%d", prefix);
	printf(",%s,%d,%d,%u,0x%08x", f->text, f->ports[0] << 8 | f->ports[1],
	       f->ports[2] << 8 | f->ports[3], seed, hash);
	for (size_t i = 0; i < COUNT(table_sizes); i++)
		printf(",%u", bucket_of(hash, table_sizes[i]));
	for (size_t i = 0; i < COUNT(cluster_sizes); i++) {
		// CLUSTERIP knows neither IPv6 nor networks.
		if (f->family == AF_INET && mode != NETWORK)
			printf(",%u", bucket_of(hash, cluster_sizes[i]) + 1);
		else
			printf(",");
	}
	printf("\n");
}

static void print_flow(const char *source, int sport, int dport)
{
	static const uint32_t seeds[] = {0, 1, 7, 0xdeadbeef, 0xffffffff};
	static const int prefixes4[] = {8, 24, 31};
	static const int prefixes6[] = {48, 64, 97};
	struct flow f = {
		.text = source,
		.family = strchr(source, ':') ? AF_INET6 : AF_INET,
		.ports = {sport >> 8, sport & 255, dport >> 8, dport & 255},
	};

	if (inet_pton(f.family, source, f.source) != 1) {
		fprintf(stderr, "%s is not an address\n", source);
		exit(1);
	}
	for (size_t s = 0; s < COUNT(seeds); s++) {
		for (int i = 0; i < 3; i++)
			print_row(&f, NETWORK, f.family == AF_INET ? prefixes4[i] : prefixes6[i], seeds[s]);
		for (enum mode mode = ADDRESS; mode <= PORTS; mode++)
			print_row(&f, mode, 128, seeds[s]);
	}
}

int main(void)
{
	check_hash();
	printf("mode,prefix,source,source_port,destination_port,seed,hash,"
	       "bucket_of_2,bucket_of_3,bucket_of_16,bucket_of_4096,bucket_of_65536,"
	       "clusterip_node_of_2,clusterip_node_of_3,clusterip_node_of_16\n");
	print_flow("192.0.2.1", 1024, 80);
	print_flow("192.0.2.2", 1024, 80);
	print_flow("198.51.100.77", 40000, 443);
	print_flow("203.0.113.254", 65535, 65535);
	print_flow("10.1.2.3", 12345, 53);
	print_flow("0.0.0.0", 0, 0);
	print_flow("255.255.255.255", 256, 1);
	print_flow("2001:db8::1", 1024, 80);
	print_flow("2001:db8::2", 1024, 80);
	print_flow("2001:db8:1:2:a:b:c:d", 40000, 443);
	print_flow("fe80::1:2:3", 65535, 65535);
	print_flow("::", 0, 0);
	return 0;
}
