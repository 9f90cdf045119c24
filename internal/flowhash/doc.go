// Package flowhash maps a packet to a bucket, bit for bit as every datapath of
// the cluster does. It is not for hash tables and not a cryptographic hash: the
// seed keeps outsiders from aiming at one node only as long as they do not know it.
//
// Its one invariant: the same source, ports, mode, seed and number of buckets
// give the same bucket on every node, architecture and implementation.
// testdata/vectors.csv publishes worked examples; testdata/vectors.c derives
// them independently of this package.
//
// IPv4 is the CLUSTERIP target of Linux 6.2 (net/ipv4/netfilter/ipt_CLUSTERIP.c):
// jhash (include/linux/jhash.h, which is Bob Jenkins' lookup3) of one, two or
// three words: the source address in host order, then the ports as a
// little-endian host reads them from the packet, so that port 80 counts as
// 0x5000. Then reciprocal_scale (include/linux/math.h) to the number of
// buckets. Bucket k is CLUSTERIP's node number k+1. Much older kernels hash
// otherwise (another initial value, a remainder in place of reciprocal_scale)
// and do not even agree with newer CLUSTERIP nodes.
//
// IPv6, which CLUSTERIP never had, is jhash2 of the four address words in host
// order and, in the modes with ports, a fifth word: the source port in the
// upper half, the destination port or 0 in the lower, both as plain numbers.
package flowhash
