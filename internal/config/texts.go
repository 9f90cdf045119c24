package config

import (
	_ "embed" // of the two texts
	"slices"
)

//go:embed example.yaml
var example []byte

//go:embed schema.json
var schema []byte

// Example is a file with every key and its default, explained.
func Example() []byte { return slices.Clone(example) }

// Schema is the JSON schema of a file, for editors.
func Schema() []byte { return slices.Clone(schema) }
