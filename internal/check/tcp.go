package check

// tcp passes when a connection opens.
func tcp(target string) talk {
	return talk{address: target, judge: func([]byte, error) (Outcome, bool) { return passed("connects"), true }}
}
