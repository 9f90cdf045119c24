package config

import (
	"fmt"
	"strings"
)

// maxLines bounds what Errors prints: a person reads the first few, mends them and asks again.
const maxLines = 6

// Error is one thing wrong with a file, and what would be right.
type Error struct {
	File      string
	Line, Col int    // from 1; 0 if the file as a whole is meant
	Field     string // e.g. pools[0].addresses[1], "" if none
	Msg       string
}

// Error is one line: file:line:col: field: what is wrong; what would be right.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	return b.String() + e.Msg
}

// Errors is everything wrong with a file, in the order of the file. Never empty.
type Errors []*Error

// Error is one line per error, at most maxLines in all.
func (es Errors) Error() string {
	lines := make([]string, 0, maxLines)
	for i, e := range es {
		if i == maxLines-1 && len(es) > maxLines {
			lines = append(lines, fmt.Sprintf("and %d more", len(es)-i))
			break
		}
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first *Error.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}
