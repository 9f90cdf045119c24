package cli

import (
	"strings"
	"unicode/utf8"
)

// width is what the terminal of a serial console shows, and good for prose anywhere.
const width = 80

// column of a table.
type column struct {
	title string
	right bool // aligned to the right
	least int  // may be shortened to this many characters to fit; 0: never
}

// cell is a text and how it is painted.
type cell struct {
	text  string
	paint paint
}

// table lays rows out in columns two spaces apart, shortening columns that
// allow it until a row fits into the style's width.
func table(s style, indent string, columns []column, rows [][]cell) string {
	widths := make([]int, len(columns))
	total := len(indent) - 2
	for i, c := range columns {
		widths[i] = len(c.title)
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
		total += widths[i] + 2
	}
	for i, c := range columns {
		if c.least > 0 && s.width > 0 && total > s.width {
			cut := min(total-s.width, max(0, widths[i]-c.least))
			widths[i] -= cut
			total -= cut
		}
	}
	var b strings.Builder
	line := func(row []cell) {
		var l strings.Builder
		l.WriteString(indent)
		for i, c := range row {
			text := shorten(c.text, widths[i])
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if text != "" {
				text = s.paint(c.paint, text)
			}
			if columns[i].right {
				text = pad + text
			} else {
				text += pad
			}
			l.WriteString(text)
			if i < len(row)-1 {
				l.WriteString("  ")
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	var heads []cell
	for _, c := range columns {
		heads = append(heads, cell{c.title, faint})
	}
	line(heads)
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// shorten ends a text that is too long with ~, which every console has.
func shorten(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:max(0, n-1)]) + "~"
}

// visible is how many characters of a painted text the reader sees.
func visible(s string) int {
	n := utf8.RuneCountInString(s)
	for {
		_, after, found := strings.Cut(s, "\x1b[")
		if !found {
			return n
		}
		code, rest, _ := strings.Cut(after, "m")
		n -= len("\x1b[") + len(code) + len("m")
		s = rest
	}
}

// wrap breaks words over lines of at most width, the later ones indented further.
func wrap(first, rest string, words []string) string {
	var b strings.Builder
	line := first
	empty := true
	for _, w := range words {
		if !empty && visible(line)+1+visible(w) > width {
			b.WriteString(line + "\n")
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line += w
		empty = false
	}
	b.WriteString(line + "\n")
	return b.String()
}
