package assign

// Single is the table of a pool that one node has as a whole: active, if it is
// among the nodes and has a weight, else the first that has one. If all have
// weight 0 they count as equal, because somebody must serve.
func Single(buckets uint32, nodes []Node, active string) []int16 {
	owner := int16(None)
	for i, n := range nodes {
		has := owner == None || nodes[owner].Weight == 0 && n.Weight > 0
		if has || n.Name == active && (n.Weight > 0 || nodes[owner].Weight == 0) {
			owner = int16(i)
		}
	}
	table := make([]int16, buckets)
	for i := range table {
		table[i] = owner
	}
	return table
}
