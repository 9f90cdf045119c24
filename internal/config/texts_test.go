package config

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// everything is the example with the settings that have no default switched on.
func everything() string {
	return regexp.MustCompile(`(?m)^(\s*)#(\s*(?:\w+:|- ))`).ReplaceAllString(string(Example()), "$1$2")
}

func TestExampleIsTheDefaults(t *testing.T) {
	got, err := Parse("", Example())
	if err != nil {
		t.Fatal(err)
	}
	want := mustParse(t, strings.Replace(minimal, "192.0.2.10", `192.0.2.10, "2001:db8::10"`, 1))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestExampleSwitchedOnParses(t *testing.T) {
	c, err := Parse("", []byte(everything()))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, everything())
	}
	p := c.Pools[0]
	if c.Node.Name != "node-a" || c.ExpectedNodes != 3 || *p.Seed != 7 || !reflect.DeepEqual(p.Checks[0], check("nginx", "http", "http://127.0.0.1/healthz")) {
		t.Errorf("%+v", c)
	}
	if got, want := c.SignsInForce(), mustParse(t, minimal).SignsInForce(); !reflect.DeepEqual(got, want) {
		t.Errorf("the signs of the example are not the defaults:\n%+v\n%+v", got, want)
	}
}

// The example, the schema and the reader know the same keys, at every level.
func TestOneListOfKeys(t *testing.T) {
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	fromSchema := map[string][]string{}
	schemaKeys(s, "", fromSchema)

	var e map[string]any
	if err := yaml.Unmarshal([]byte(everything()), &e); err != nil {
		t.Fatal(err)
	}
	fromExample := map[string][]string{}
	exampleKeys(e, "", fromExample)
	// The kinds of checks stand in a comment.
	fromExample["pools.checks"] = slices.Concat(fromExample["pools.checks"], CheckKinds)
	for _, ks := range fromExample {
		slices.Sort(ks)
	}
	for place := range fromExample {
		fromExample[place] = slices.Compact(fromExample[place])
	}
	if got := slices.Sorted(slices.Values(signNames())); !slices.Equal(got, fromExample["signs"]) {
		t.Errorf("the example has the signs %v, the reader knows %v", fromExample["signs"], got)
	}
	if got := s["properties"].(map[string]any)["signs"].(map[string]any)["propertyNames"].(map[string]any)["enum"]; !slices.EqualFunc(got.([]any), signNames(), func(a any, b string) bool { return a == b }) {
		t.Errorf("the schema has the signs %v, the reader knows %v", got, signNames())
	}

	for place, ks := range fromSchema {
		if place == "signs" {
			continue
		}
		if !slices.Equal(ks, fromExample[place]) {
			t.Errorf("%s: the schema has %v, the example %v", place, ks, fromExample[place])
		}
		got := readerKeys(t, place, "memory_pressure")
		if place == "signs.*" { // the lists are of some signs alone
			for _, sign := range []string{"disk_space", "hosts", "certificates"} {
				got = slices.Concat(got, readerKeys(t, place, sign))
			}
			slices.Sort(got)
			got = slices.Compact(got)
		}
		if !slices.Equal(got, ks) {
			t.Errorf("%s: the schema has %v, the reader knows %v", place, ks, got)
		}
	}
}

// schemaKeys collects the keys of every object of a schema that names them.
func schemaKeys(s map[string]any, place string, out map[string][]string) {
	if items, ok := s["items"].(map[string]any); ok {
		schemaKeys(items, place, out)
	}
	if one, ok := s["additionalProperties"].(map[string]any); ok {
		for _, o := range slices.Concat([]any{one}, anyOf(one)) {
			schemaKeys(o.(map[string]any), place+".*", out)
		}
	}
	props, ok := s["properties"].(map[string]any)
	if !ok {
		return
	}
	out[place] = slices.Sorted(maps.Keys(props))
	for key, prop := range props {
		schemaKeys(prop.(map[string]any), join(place, key), out)
	}
}

func anyOf(s map[string]any) []any {
	list, _ := s["oneOf"].([]any)
	return list
}

func exampleKeys(v any, place string, out map[string][]string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			exampleKeys(item, place, out)
		}
	case map[string]any:
		out[place] = slices.AppendSeq(out[place], maps.Keys(v))
		for key, item := range v {
			if place == "signs" {
				key = "*"
			}
			exampleKeys(item, join(place, key), out)
		}
	}
}

func join(place, key string) string { return strings.TrimPrefix(place+"."+key, ".") }

// readerKeys asks the reader, by a key that it does not know.
func readerKeys(t *testing.T, place, sign string) []string {
	t.Helper()
	text := "{zzzzzzzzzz: 1}"
	parts := strings.Split(place, ".")
	for _, key := range slices.Backward(parts) {
		switch key {
		case "":
		case "*":
			text = "{" + sign + ": " + text + "}"
		case "pools", "checks", "hooks":
			text = "{" + key + ": [" + text + "]}"
		default:
			text = "{" + key + ": " + text + "}"
		}
	}
	_, err := Parse("", []byte(text))
	es, _ := errors.AsType[Errors](err)
	for _, e := range es {
		if words, ok := strings.CutPrefix(e.Msg, "unknown; write "); ok {
			return strings.Split(strings.Replace(words, " or ", ", ", 1), ", ")
		}
	}
	t.Fatalf("%s: %v", text, err)
	return nil
}
