package cli

// flagValue is a flag that says in plain words what is wrong with its value.
type flagValue struct {
	kind string // e.g. TIME
	read func(word string) error
}

func (f flagValue) String() string        { return "" }
func (f flagValue) Type() string          { return f.kind }
func (f flagValue) Set(word string) error { return f.read(word) }
