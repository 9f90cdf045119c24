package ownership

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// derived are the fields of Node and peer that a Snapshot rightly lacks.
var derived = map[string]string{
	"Node.cfg":        "the configuration of the next start, but for what Snapshot.fits compares",
	"Node.stood":      "set by every step",
	"Node.retires":    "a node that is to end for good is not held",
	"Node.stopped":    "a node that has stopped has no next start to carry it on",
	"Node.table":      "of the view",
	"Node.want":       "of the view",
	"Node.gained":     "what is held is active",
	"Node.out":        "empty between steps",
	"Node.after":      "empty between steps",
	"peer.place":      "of the view",
	"peer.includes":   "of its beat",
	"peer.mine":       "of its beat",
	"pinBoard.pinSet": "of its parts",
	"pinSet.words":    "of the orders",
	"pinSet.digest":   "of the orders",
	"peer.pools":      "of its beat",
	"desk.sent":       "who waits for the answers goes with the daemon",
	"desk.ask":        "refused in the answers",
}

// Whoever adds a field to what a node is, decides here and in Snapshot whether it
// outlives a restart of the daemon.
func TestNothingIsMissingInASnapshot(t *testing.T) {
	seen := map[string]bool{}
	for _, pair := range []struct{ own, kept reflect.Type }{
		{reflect.TypeFor[Node](), reflect.TypeFor[Snapshot]()},
		{reflect.TypeFor[peer](), reflect.TypeFor[PeerSnapshot]()},
		{reflect.TypeFor[hold](), reflect.TypeFor[HoldSnapshot]()},
		{reflect.TypeFor[ways](), reflect.TypeFor[WaysSnapshot]()},
		{reflect.TypeFor[estate](), reflect.TypeFor[EstateSnapshot]()},
		{reflect.TypeFor[stamp](), reflect.TypeFor[StampSnapshot]()},
		{reflect.TypeFor[pinBoard](), reflect.TypeFor[PinSnapshot]()},
		{reflect.TypeFor[pinSet](), reflect.TypeFor[PinSnapshot]()},
		{reflect.TypeFor[desk](), reflect.TypeFor[DeskSnapshot]()},
		{reflect.TypeFor[formerView](), reflect.TypeFor[FormerSnapshot]()},
	} {
		for i := range pair.own.NumField() {
			f := pair.own.Field(i)
			name := pair.own.Name() + "." + f.Name
			_, kept := pair.kept.FieldByName(strings.ToUpper(f.Name[:1]) + f.Name[1:])
			if kept == (derived[name] != "") {
				t.Errorf("%s: in %s: %v, derived: %q; want one of the two", name, pair.kept, kept, derived[name])
			}
			seen[name] = true
		}
	}
	for name := range derived {
		if !seen[name] {
			t.Errorf("%s is no field any more", name)
		}
	}
}

// What a snapshot tells is taken up, all of it: filled with made-up values, it comes
// back as it was from the node that carries it on.
func TestASnapshotIsTakenUpAsAWhole(t *testing.T) {
	w := newNet(t)
	w.start(testConfig("a", 1))
	w.start(testConfig("b", 2))
	w.run(3*time.Second, nil)
	s := w.nodes["a"].n.Snapshot()
	fill(reflect.ValueOf(s).Elem(), "")
	s.LeaseUntil = s.Now + time.Second
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	back := new(Snapshot)
	if err := json.Unmarshal(raw, back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, back) {
		t.Fatalf("written and read, it differs:\n%s", raw)
	}
	n, err := CarryOn(testConfig("a", 9), back, s.Now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(n.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, again) {
		t.Errorf("carried on, it differs:\nbefore %s\nafter  %s", raw, again)
	}
}

// fill gives every field that is zero another value, but where only a consistent one will do.
func fill(v reflect.Value, name string) {
	switch name {
	case "View", "Beat", "Pools", "Self", "Host", "Quorum", "Expected", "Stamps", "Weights", "Owned", "Lingers", "States", "Orders":
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			fill(v.Index(i), "")
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), "")
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		if v.String() == "" {
			v.SetString("x" + name)
		}
	case reflect.Uint8, reflect.Uint64:
		if v.IsZero() {
			v.SetUint(1)
		}
	case reflect.Int64:
		if v.IsZero() {
			v.SetInt(7)
		}
	}
}
