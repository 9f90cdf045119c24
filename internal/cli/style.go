package cli

import (
	"io"
	"os"
	"strconv"
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

// style knows whether the reader sees colours, and how many characters fit into a line.
type style struct {
	colours bool
	width   int // of tables; 0: as much as they need, as in a pipe
}

func (s style) paint(p paint, text string) string {
	if !s.colours || p == plain {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

// style of standard output: colours on a terminal, unless NO_COLOR
// (no-color.org) is set or the terminal is dumb. Tables are as wide as COLUMNS
// says, else as the terminal is.
func (p *program) style() style {
	s := style{colours: isTerminal(p.Stdout) && p.Getenv("NO_COLOR") == "" && p.Getenv("TERM") != "dumb"}
	if n, err := strconv.Atoi(p.Getenv("COLUMNS")); err == nil && n > 0 {
		s.width = n
	} else if isTerminal(p.Stdout) {
		s.width = terminalWidth(p.Stdout)
	}
	return s
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// terminalWidth is that of a terminal; one that does not know (a serial line) says 0.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return width
}

// paintLines paints every line of a text on its own.
func (s style) paintLines(p paint, text string) string {
	out := ""
	for line := range strings.Lines(text) {
		out += s.paint(p, strings.TrimSuffix(line, "\n")) + "\n"
	}
	return out
}
