package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxSize bounds a file; a full one (64 pools with checks) is some 60 KiB.
const maxSize = 256 << 10

// reader collects what is wrong with one file.
type reader struct {
	file     string
	errs     Errors
	warnings []*Error
}

// value is one node of the file and the way to it.
type value struct {
	r     *reader
	node  ast.Node
	field string
}

// read parses the text into its one document; an invalid value if there is none.
func (r *reader) read(data []byte) value {
	root := value{r: r}
	if len(data) > maxSize {
		root.fail("the file is larger than %d KiB", maxSize>>10)
		return root
	}
	text := strings.TrimPrefix(string(data), "\ufeff") // editors on Windows
	file, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		r.syntax(err)
		return root
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if root.node != nil {
			value{r: r, node: doc.Body}.fail("a second document begins; a file holds one, so remove the line ---")
			break
		}
		root.node = doc.Body
	}
	return root
}

// syntax turns the parser's error, which comes with a drawing, into one line.
func (r *reader) syntax(err error) {
	e := &Error{File: r.file, Msg: "not YAML: " + err.Error()}
	if ye, ok := errors.AsType[yaml.Error](err); ok {
		e.Msg = "not YAML: " + ye.GetMessage()
		switch {
		case strings.Contains(ye.GetMessage(), "already defined"):
			e.Msg = ye.GetMessage() + "; remove one of the two"
		case strings.Contains(ye.GetMessage(), "character '\t'"), strings.Contains(ye.GetMessage(), "tab character"):
			e.Msg = "not YAML: the line is indented with a tab; write spaces instead"
		}
		if tk := ye.GetToken(); tk != nil && tk.Position != nil {
			e.Line, e.Col = tk.Position.Line, tk.Position.Column
		}
	}
	e.Msg = strings.Join(strings.Fields(e.Msg), " ")
	r.errs = append(r.errs, e)
}

func (v value) problem(format string, args ...any) *Error {
	line, col := v.position()
	return &Error{File: v.r.file, Line: line, Col: col, Field: v.field, Msg: fmt.Sprintf(format, args...)}
}

func (v value) fail(format string, args ...any) {
	v.r.errs = append(v.r.errs, v.problem(format, args...))
}

func (v value) warn(format string, args ...any) {
	v.r.warnings = append(v.r.warnings, v.problem(format, args...))
}

// position is where the value begins. The parser's own token of a block
// mapping is its first colon.
func (v value) position() (line, col int) {
	n := v.node
	for n != nil {
		switch m := n.(type) {
		case *ast.MappingNode:
			if !m.IsFlowStyle && len(m.Values) > 0 {
				n = m.Values[0].Key
				continue
			}
		case *ast.MappingValueNode:
			n = m.Key
			continue
		}
		break
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1, 1
	}
	pos := n.GetToken().Position
	return max(pos.Line, 1), max(pos.Column, 1)
}

// empty tells a value that is not there, or is only announced: `checks:` with
// every line below it commented out.
func (v value) empty() bool {
	return v.node == nil || v.node.Type() == ast.NullType
}

// at is the way to a key of this mapping.
func (v value) at(key string) string {
	if v.field == "" {
		return key
	}
	return v.field + "." + key
}

// keys are what a mapping may hold, each with what reads its value.
type keys map[string]func(value)

// mapping hands every entry to its reader, in the order of the file. It
// returns the keys that were there, nil if this is no mapping at all.
func (v value) mapping(known keys) map[string]value {
	seen := map[string]value{}
	if v.empty() {
		return seen
	}
	var entries []*ast.MappingValueNode
	switch n := v.node.(type) {
	case *ast.MappingNode:
		entries = n.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{n}
	default:
		v.fail("is %s; write key: value lines with %s", v.kind(), list(sortedKeys(known)))
		return nil
	}
	for _, entry := range entries {
		name := value{r: v.r, node: entry.Key}.key()
		item := value{r: v.r, node: entry.Value, field: v.at(name)}
		read, ok := known[name]
		if !ok {
			item.node = entry.Key
			words := sortedKeys(known)
			if meant := nearest(name, words); meant != "" {
				seen[meant] = item // not missing too
			}
			item.fail("unknown; %s", suggest(name, words))
			continue
		}
		seen[name] = item
		read(item)
	}
	return seen
}

// need complains about keys that mapping has not seen; each is given as an example.
func (v value) need(seen map[string]value, examples ...string) {
	for _, example := range examples {
		key, _, _ := strings.Cut(example, ":")
		if _, ok := seen[key]; !ok && seen != nil {
			value{r: v.r, node: v.node, field: v.at(key)}.fail("missing; write e.g. %s", example)
		}
	}
}

// entries are the pairs of a mapping whose keys are the user's own names.
func (v value) entries(read func(name string, item value)) {
	if v.empty() {
		return
	}
	m, ok := v.node.(*ast.MappingNode)
	if !ok {
		v.fail("is %s; write name: {…} lines", v.kind())
		return
	}
	for _, entry := range m.Values {
		name := value{r: v.r, node: entry.Key}.key()
		read(name, value{r: v.r, node: entry.Value, field: v.at(name)})
	}
}

// items are the elements of a list.
func (v value) items(example string) []value {
	if v.empty() {
		return nil
	}
	seq, ok := v.node.(*ast.SequenceNode)
	if !ok {
		v.fail("is %s; write a list: %s", v.kind(), example)
		return nil
	}
	out := make([]value, len(seq.Values))
	for i, n := range seq.Values {
		out[i] = value{r: v.r, node: n, field: fmt.Sprintf("%s[%d]", v.field, i)}
	}
	return out
}

func (v value) key() string {
	if v.node == nil || v.node.GetToken() == nil {
		return ""
	}
	name := clip(v.node.GetToken().Value)
	if strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(name)
	}
	return name
}

// text is a scalar as it is written. hint is a right value, for the message.
func (v value) text(hint string) (string, bool) {
	switch n := v.node.(type) {
	case *ast.StringNode:
		if n.Value != "" {
			return n.Value, true
		}
	case *ast.LiteralNode:
		v.fail("is a block of text; write one line: %s", hint)
		return "", false
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	}
	if v.empty() || v.node.Type() == ast.StringType {
		v.fail("is empty; write %s", hint)
	} else {
		v.fail("is %s; write %s", v.kind(), hint)
	}
	return "", false
}

// number is an integer of least … most, decimal or 0x…
func (v value) number(least, most uint64) (uint64, bool) {
	hint := fmt.Sprintf("write a whole number from %d to %d", least, most)
	if v.empty() {
		v.fail("is empty; %s", hint)
		return 0, false
	}
	if n, ok := v.node.(*ast.StringNode); ok {
		if _, err := strconv.ParseUint(n.Value, 10, 64); err == nil {
			hint = "write " + n.Value + " without quotes"
		}
		v.fail("is %s; %s", v.kind(), hint)
		return 0, false
	}
	if _, ok := v.node.(*ast.IntegerNode); !ok {
		v.fail("is %s; %s", v.kind(), hint)
		return 0, false
	}
	word := v.node.GetToken().Value
	base := 10
	if digits, ok := strings.CutPrefix(word, "0x"); ok {
		word, base = digits, 16
	} else if len(word) > 1 && word[0] == '0' {
		v.fail("%s may be octal; write it without the leading 0", word)
		return 0, false
	}
	n, err := strconv.ParseUint(word, base, 64)
	if err != nil || n < least || n > most {
		v.fail("%s is out of range; %s", v.node.GetToken().Value, hint)
		return 0, false
	}
	return n, true
}

// percent is a whole number of hundredths, with or without its sign.
func (v value) percent(least, most uint64) (uint64, bool) {
	hint := fmt.Sprintf(`%d%% to %d%%, e.g. "50%%"`, least, most)
	word, ok := v.text(hint)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(word, "%"), 10, 64)
	if err != nil || n < least || n > most {
		v.fail("%q is not a percentage that fits; write %s", clip(word), hint)
		return 0, false
	}
	return n, true
}

// duration is a time with a unit, of least … most.
func (v value) duration(least, most time.Duration, hint string) (time.Duration, bool) {
	word, ok := v.text("e.g. " + hint)
	if !ok {
		return 0, false
	}
	d, err := ParseDuration(word, least, most, hint)
	if err != nil {
		v.fail("%v", err)
	}
	return d, err == nil
}

// ParseDuration reads a time with a unit, of least … most; hint is an example of one.
func ParseDuration(word string, least, most time.Duration, hint string) (time.Duration, error) {
	d, err := time.ParseDuration(word)
	_, plain := strconv.ParseFloat(word, 64)
	switch {
	case err == nil && !strings.ContainsAny(word, "+-"):
	case plain == nil && !strings.ContainsAny(word, "+-"):
		return 0, fmt.Errorf("%s has no unit; write e.g. %sms or %ss", word, word, word)
	default:
		return 0, fmt.Errorf("%q is not a duration; write e.g. %s", word, hint)
	}
	if d < least || d > most {
		return 0, fmt.Errorf("%s is out of range; write %s to %s", word, short(least), short(most))
	}
	return d, nil
}

// short is a duration without the zeros that Duration.String adds to 5m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// truth is true or false.
func (v value) truth(to *bool) {
	if n, ok := v.node.(*ast.BoolNode); ok {
		*to = n.Value
		return
	}
	v.fail("is %s; write true or false", v.kind())
}

// choice is one of the words.
func (v value) choice(words []string) (uint8, bool) {
	word, ok := v.text(list(words))
	if !ok {
		return 0, false
	}
	i := slices.Index(words, word)
	if i < 0 {
		v.fail("%q is unknown; %s", word, suggest(word, words))
		return 0, false
	}
	return uint8(i), true
}

// kind says what a value is, for the message that says what it should be.
func (v value) kind() string {
	switch n := v.node.(type) {
	case nil, *ast.NullNode:
		return "empty"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return strconv.Quote(clip(n.Value))
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias, which are not read here"
	case *ast.TagNode:
		return "tagged, and tags are not read here"
	}
	return clip(v.node.GetToken().Value)
}

// clip keeps a message on one line of a terminal.
func clip(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

func sortedKeys(known keys) []string { return slices.Sorted(maps.Keys(known)) }

// list joins words the way a sentence does: a, b or c.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
