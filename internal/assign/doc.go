// Package assign turns the members of a view into a table: which node owns
// which bucket. Table spreads a pool over the nodes, Single gives it to one. It knows nothing of beats, leases or health; weights already
// contain them.
//
// Its one invariant: the same pool, buckets, nodes and pins give the same table
// on every node, architecture and version. Hence integers only, and a test that
// holds the tables of earlier versions.
//
// The method is weighted rendezvous hashing with quotas. Every node's quota is
// its exact share by weight, rounded by largest remainder; pins come first and
// count within it. Then the buckets choose in turn, each the node that it ranks
// best among those that still have room. A bucket's rank of a node is
// −log2(u) ÷ weight, least first, where u is a hash of pool, node and bucket
// taken as a fraction: of a set of nodes each then comes first with a
// probability proportional to its weight, whoever else is there. So a change of
// one node moves what that node gains or loses and, to keep the quotas exact,
// some tens of 4096 buckets more (TestMovement prints how many). The logarithm
// is a table of 256 steps, computed by repeated squaring, with linear
// interpolation in 32 fractional bits. It need not be better: the quotas make
// the shares exact, the ranks only make them stable.
package assign
