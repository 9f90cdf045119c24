package cli

import (
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// paint is what a piece of text wants to say by its colour.
type paint string

// Select Graphic Rendition, ECMA-48 8.3.117.
const (
	plain paint = ""
	good  paint = "32"
	warn  paint = "33"
	bad   paint = "1;31"
	bold  paint = "1"
	faint paint = "2"
)

// style knows whether the reader sees colours.
type style struct{ colours bool }

func (s style) paint(p paint, text string) string {
	if !s.colours || p == plain {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

// style of standard output: colours on a terminal, unless NO_COLOR
// (no-color.org) is set or the terminal is dumb.
func (p *program) style() style {
	return style{isTerminal(p.Stdout) && p.Getenv("NO_COLOR") == "" && p.Getenv("TERM") != "dumb"}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// paintLines paints every line of a text on its own.
func (s style) paintLines(p paint, text string) string {
	out := ""
	for line := range strings.Lines(text) {
		out += s.paint(p, strings.TrimSuffix(line, "\n")) + "\n"
	}
	return out
}
