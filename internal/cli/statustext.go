package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/api"
)

// statusText is a status for a person who was woken: what is wrong first to be
// seen, then who is there, then who owns what.
func statusText(st *api.Status, s style) string {
	var b strings.Builder
	b.WriteString(headText(st, s))
	for _, t := range troubles(st) {
		b.WriteString(s.paintLines(t.paint, wrap("! ", "  ", strings.Fields(t.text))))
	}
	b.WriteString("\n" + nodesText(st, s))
	b.WriteString(ailmentsText(st, s))
	for i := range st.Pools {
		b.WriteString("\n" + poolText(st, &st.Pools[i], s))
	}
	return b.String()
}

func headText(st *api.Status, s style) string {
	words := []string{s.paint(bold, st.Node), "of", "cluster", st.Cluster + ":", s.paint(statePaint(st.State), string(st.State))}
	if !st.Since.IsZero() {
		words = append(words, strings.Fields(fmt.Sprintf("since %s (%s)", clock(st.Since, st.Now), ago(st.Now.Sub(st.Since))))...)
	}
	if st.OwnsNothing() {
		words = append(words, s.paint(warn, "- owns nothing"))
	}
	if st.Degraded {
		words = append(words, s.paint(warn, "- degraded"))
	}
	view := "no view yet"
	if st.View.ID != "" {
		agreed := "not agreed yet"
		if st.View.Agreed {
			agreed = "agreed"
		}
		view = fmt.Sprintf("view %d of %s, %s", st.View.Number, plural(len(st.View.Members), "node"), agreed)
	}
	lease := "lease over"
	if st.LeaseMS > 0 {
		lease = "lease good for " + millis(st.LeaseMS)
	}
	return wrap("", "  ", words) + view + "; " + lease + "\n" + tally("beats dropped: ", "  ", st.Heartbeat.Dropped)
}

// clock is the time of day, with the date if that was not today.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04")
}

// trouble is a line about what is wrong.
type trouble struct {
	paint paint
	text  string
}

// troubles are what the daemon warns of and what the numbers tell, worst first.
func troubles(st *api.Status) []trouble {
	var out []trouble
	say := func(p paint, format string, args ...any) {
		out = append(out, trouble{p, fmt.Sprintf(format, args...)})
	}
	for _, w := range st.Warnings {
		if w.Code == api.WarnNoCarrier {
			say(bad, "%s", w.Text)
		}
	}
	if st.ServesOn() {
		say(bad, "this node drains, but nobody else can take over: it goes on serving")
	} else if st.State == api.Draining {
		say(warn, "%s", drainMeaning(st))
	} else if what, ok := stateMeaning[st.State]; ok {
		say(statePaint(st.State), "%s%s", what, whyNot(st))
	}
	for _, p := range st.Pools {
		if n := nobodys(p); n > 0 && st.State != api.Joining && st.State != api.Standby {
			say(bad, "pool %s: %d of %s have no owner that this node hears of", p.Name, n, plural(int(p.Buckets), "bucket"))
		}
	}
	for _, n := range st.Nodes {
		if n.Self {
			continue
		}
		switch n.State {
		case api.Silent:
			since := st.Now.Add(-time.Duration(n.HeardMS) * time.Millisecond)
			say(bad, "%s is silent since %s (%s)", n.Name, clock(since, st.Now), millis(n.HeardMS))
		case api.Left:
			if n.HeardMS < leftTold.Milliseconds() {
				say(warn, "%s left %s ago", n.Name, millis(n.HeardMS))
			}
		case api.Serving:
		default:
			say(statePaint(n.State), "%s is %s%s", n.Name, n.State, peerMeaning[n.State])
		}
	}
	for _, n := range st.Nodes {
		for _, h := range n.Health {
			say(warn, "%s: %s", n.Name, h)
		}
	}
	if st.State == api.Serving && !st.View.Agreed && len(out) == 0 {
		say(warn, "the nodes have not agreed on view %d yet", st.View.Number)
	}
	for _, p := range st.Heartbeat.Paths {
		if p.Path == "unicast" && p.Trouble != "" {
			say(plain, "no beats by unicast: %s", p.Trouble)
		}
	}
	for _, w := range st.Warnings {
		if !slices.Contains(toldAlready, w.Code) {
			say(warn, "%s", w.Text)
		}
	}
	slices.SortStableFunc(out, func(a, b trouble) int { return cmp.Compare(severity(a.paint), severity(b.paint)) })
	return out
}

// leftTold is how long it is told that a node said goodbye; after that the table of nodes alone has it.
const leftTold = 10 * time.Minute

func severity(p paint) int { return slices.Index([]paint{bad, warn, good, plain}, p) }

// toldAlready are the warnings that say what the numbers tell, and what comes first.
var toldAlready = []string{api.WarnNotServing, api.WarnPeerSilent, api.WarnPeerIncompatible, api.WarnOneWay, api.WarnServesOn, api.WarnNoCarrier, api.WarnOwnsNothing}

// whyNot is the daemon's reason for not serving.
func whyNot(st *api.Status) string {
	for _, w := range st.Warnings {
		if w.Code == api.WarnNotServing {
			return ": " + w.Text
		}
	}
	return ""
}

// What a state means for the node that is asked, and for a peer.
var (
	stateMeaning = map[api.State]string{
		api.Joining:      "this node joins and owns nothing yet",
		api.Standby:      "this node stands by and owns nothing",
		api.Fenced:       "this node is fenced: it may not own anything",
		api.Deaf:         "this node is deaf and owns nothing",
		api.Incompatible: "this node shares with nobody",
	}
	peerMeaning = map[api.State]string{
		api.Fenced:       ": its lease ran out, it owns nothing",
		api.Standby:      ": it owns nothing for the moment",
		api.Deaf:         ": it receives nothing, or the service's network leaves it out; it owns nothing",
		api.Incompatible: ": its pools or quorum differ, nothing is shared with it",
	}
)

// drainMeaning says what ends a drain: an order only what an order began.
func drainMeaning(st *api.Status) string {
	switch d := st.Drain; {
	case d.Stop != "":
		return "this node drains, as " + d.Stop + ": it takes no new connections"
	case d.Host != "" && d.Order != "":
		return "this node drains by order (rota resume ends that), and would hand over without" + whyNot(st)
	case d.Host != "":
		return "this node takes no new connections until its host can serve again" + whyNot(st)
	}
	return "this node drains: it takes no new connections (rota resume ends it)" + whyNot(st)
}

func statePaint(st api.State) paint {
	switch st {
	case api.Serving:
		return good
	case api.Joining, api.Draining, api.Standby, api.Left:
		return warn
	}
	return bad
}

func nodesText(st *api.Status, s style) string {
	columns := []column{{title: "NODE", least: 12}, {title: "STATE"}, {title: "WEIGHT", right: true}, {title: "HEARD", right: true}, {title: "ADDRESS", least: 15}}
	var rows [][]cell
	for _, n := range st.Nodes {
		heard := cell{text: millis(n.HeardMS) + " ago"}
		if n.Path != "" && n.Path != "service" {
			heard = cell{text: heard.text + " by " + n.Path, paint: warn}
		}
		name := n.Name
		if n.Self {
			heard.text = "-"
			name += " *"
		} else if n.State == api.Silent {
			heard.paint = bad
		}
		rows = append(rows, []cell{
			{text: name}, {string(n.State), statePaint(n.State)}, {text: fmt.Sprint(n.Weight)}, heard, {text: cmp.Or(n.Address, "-")},
		})
	}
	return table(s, "", columns, rows)
}

// manyOwners is from where on the owners of a pool stand in lines, not in rows.
const manyOwners = 16

func poolText(st *api.Status, p *api.Pool, s style) string {
	var b strings.Builder
	b.WriteString(wrap("", "     ", append([]string{"POOL", s.paint(bold, p.Name) + ":"}, p.Addresses...)))
	b.WriteString(wrap("  ", "  ", strings.Fields(fmt.Sprintf("%d buckets by %s; MAC %s", p.Buckets, p.Hash, p.MAC))))
	attach := "datapath " + p.Datapath
	if p.Reason != "" {
		attach += ": " + p.Reason
	}
	b.WriteString(wrap("  ", "    ", strings.Fields(attach)))
	b.WriteString(activeText(p))
	b.WriteString(ownersText(st, p, s))
	b.WriteString(hereText(p))
	b.WriteString(pinsText(st, p))
	b.WriteString(packetsText(p))
	return b.String()
}

// activeText says which node has a single pool, why, and who would be next.
func activeText(p *api.Pool) string {
	if p.Spread != "single" {
		return ""
	}
	active := "nobody is active"
	if p.Active != "" {
		active = fmt.Sprintf("active is %s: %s", p.Active, p.Because)
	}
	var claims []string
	for _, name := range slices.Sorted(maps.Keys(p.Priorities)) {
		claims = append(claims, fmt.Sprintf("%s %d", name, p.Priorities[name]))
	}
	preempt := "off"
	if p.Preempt {
		preempt = "on"
	}
	text := fmt.Sprintf("single: %s; preempt is %s", active, preempt)
	if len(claims) > 0 {
		text += "; priorities: " + strings.Join(claims, ", ")
	}
	return wrap("  ", "    ", strings.Fields(text))
}

func ownersText(st *api.Status, p *api.Pool, s style) string {
	names := slices.Sorted(maps.Keys(p.Owners))
	if len(names) > manyOwners {
		words := make([]string, len(names))
		for i, name := range names {
			words[i] = fmt.Sprintf("%s:%d", name, p.Owners[name])
		}
		return wrap("  owners ", "    ", words)
	}
	columns := []column{{title: "OWNER", least: 12}, {title: "BUCKETS", right: true}, {title: "SHARE", right: true}, {title: "WEIGHT", right: true}, {title: ""}}
	var rows [][]cell
	for _, name := range names {
		weight := "-"
		if w, ok := p.Weights[name]; ok {
			weight = fmt.Sprint(w)
		}
		rows = append(rows, []cell{
			{text: mark(name, st.Node)}, {text: fmt.Sprint(p.Owners[name])}, {text: percent(p.Owners[name], int(p.Buckets))},
			{text: weight}, {bar(p.Owners[name], int(p.Buckets)), good},
		})
	}
	if n := nobodys(*p); n > 0 {
		rows = append(rows, []cell{
			{"nobody", bad}, {fmt.Sprint(n), bad}, {percent(n, int(p.Buckets)), bad}, {text: "-"}, {bar(n, int(p.Buckets)), bad},
		})
	}
	return table(s, "  ", columns, rows)
}

func mark(name, self string) string {
	if name == self {
		return name + " *"
	}
	return name
}

// bar is a share of the whole in thirty characters, at least one if any.
func bar(part, whole int) string {
	if part <= 0 || whole <= 0 {
		return ""
	}
	return strings.Repeat("#", min(30, max(1, (part*30+whole/2)/whole)))
}

// nobodys are the buckets that no node claims.
func nobodys(p api.Pool) int {
	sum := 0
	for _, n := range p.Owners {
		sum += n
	}
	return max(0, int(p.Buckets)-sum)
}

// hereText is about handovers in progress, and silent when there are none.
func hereText(p *api.Pool) string {
	var parts []string
	if p.Lingering != "" {
		connections := "connections"
		if p.LingeringConnections > 0 {
			connections = plural(p.LingeringConnections, "connection")
		}
		parts = append(parts, ranges("still serves "+connections+" of", p.Lingering)+atMost(p.LingeringMS))
	}
	if p.Contested != "" {
		parts = append(parts, ranges("shares with their old owners", p.Contested))
	}
	if len(parts) == 0 {
		return ""
	}
	return wrap("  ", "    ", strings.Fields("this node "+strings.Join(parts, "; ")))
}

// atMost is when the drain timeout is over.
func atMost(ms int64) string {
	if ms <= 0 {
		return ""
	}
	return " (for " + millis(ms) + " at most)"
}

// pinsText is what operators have pinned to whom, and silent when there is nothing.
func pinsText(st *api.Status, p *api.Pool) string {
	var parts []string
	for _, node := range slices.Sorted(maps.Keys(p.Pins)) {
		without := "" // effect, and why
		weight, member := p.Weights[node]
		if i := slices.IndexFunc(st.Nodes, func(n api.Node) bool { return n.Name == node }); i < 0 {
			without = " (not heard, so without effect)"
		} else if s := st.Nodes[i].State; s != api.Serving {
			without = " (" + string(s) + ", so without effect)"
		} else if member && weight == 0 {
			without = " (weight 0, so without effect)"
		}
		parts = append(parts, ranges("to "+node+without, p.Pins[node]))
	}
	if len(parts) == 0 {
		return ""
	}
	return wrap("  ", "    ", strings.Fields("pinned: "+strings.Join(parts, "; ")))
}

// ranges names the buckets if they fit into a line.
func ranges(what, list string) string {
	n, err := api.Count(list)
	if err != nil {
		return what + " buckets " + list
	}
	if len(list) > 40 {
		return what + " " + plural(n, "bucket")
	}
	return fmt.Sprintf("%s %s: %s", what, plural(n, "bucket"), list)
}

// packetsText is what became of the service's packets. Beats pass the same
// programs, and a beat that the daemon has got is dropped: of no interest here.
func packetsText(p *api.Pool) string {
	packets := maps.Clone(p.Verdicts)
	maps.DeleteFunc(packets, func(name string, _ uint64) bool { return strings.HasSuffix(name, "-beat") })
	return tally("  packets: ", "    ", packets)
}

// tally lists counters, the largest first, and is silent when all are 0.
func tally(first, rest string, counters map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(counters), func(a, b string) int {
		return cmp.Or(cmp.Compare(counters[b], counters[a]), cmp.Compare(a, b))
	})
	var words []string
	for _, name := range names {
		if n := counters[name]; n > 0 {
			words = append(words, name+" "+count(n)+",")
		}
	}
	if len(words) == 0 {
		return ""
	}
	last := len(words) - 1
	words[last] = strings.TrimSuffix(words[last], ",")
	return wrap(first, rest, words)
}
