package health

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// story feeds a watch one reading a second and writes down the levels: one
// letter per reading.
func story(rule Rule, readings ...Reading) string {
	var w Watch
	var b strings.Builder
	for i, r := range readings {
		b.WriteByte("owl"[w.Read(time.Duration(i)*time.Second, rule, r).Level])
	}
	return b.String()
}

func values(vs ...float64) (rs []Reading) {
	for _, v := range vs {
		rs = append(rs, Reading{Value: v})
	}
	return rs
}

func partly(v float64) Reading { return Reading{Answer: Broken, Unread: 1, Value: v} }

func TestWatch(t *testing.T) {
	for _, row := range []struct {
		name     string
		rule     Rule
		readings []Reading
		want     string
	}{
		{"without limits nothing is too much", Rule{}, values(0, 1e9), "oo"},
		{"at the limit is past it", Rule{Warn: At(10)}, values(9, 10, 11, 9), "owwo"},
		{"too little, where little is bad", Rule{Low: true, Warn: At(10), Leave: At(3)}, values(11, 10, 3, 4, 11), "owlwo"},
		{"from well to leaving at once", Rule{Warn: At(10), Leave: At(40)}, values(0, 50), "ol"},
		{"leaving without a warning", Rule{Leave: At(1)}, values(0, 1, 0), "olo"},
		{"for: a short peak does not count", Rule{Leave: At(10), For: 3 * time.Second}, values(10, 10, 0, 10, 10, 10, 10), "ooooool"},
		{"for: each limit has its own time", Rule{Warn: At(5), Leave: At(10), For: 2 * time.Second}, values(5, 5, 10, 10, 10), "oowwl"},
		{"slack: good again only well below the limit", Rule{Warn: At(10), Slack: 0.2}, values(10, 9, 8.1, 8, 7.9), "wwwwo"},
		{"slack: well above, where little is bad", Rule{Low: true, Warn: At(10), Slack: 0.2}, values(10, 11, 12, 12.1), "wwwo"},
		{"slack does not make ill", Rule{Warn: At(10), Slack: 0.5}, values(9, 9, 9), "ooo"},
		{"stay: it must have been good for so long", Rule{Warn: At(10), Stay: 3 * time.Second}, values(10, 0, 0, 0, 0), "wwwwo"},
		{"stay begins anew with each bad reading", Rule{Warn: At(10), Stay: 2 * time.Second}, values(10, 0, 0, 10, 0, 0, 0), "wwwwwwo"},
		{"from leaving to warning", Rule{Warn: At(5), Leave: At(10), Stay: time.Second}, values(10, 6, 6, 0, 0), "llwwo"},
		{"no value makes nobody ill", Rule{Low: true, Warn: At(10)},
			[]Reading{{Answer: CannotTell}, {Answer: SwitchedOff}, {Answer: Broken}}, "ooo"},
		{"no value is no evidence that it lasts", Rule{Warn: At(10), Stay: time.Second},
			[]Reading{{Value: 10}, {Answer: CannotTell}, {Answer: CannotTell}}, "wwo"},
		{"what cannot be read is not good again, nor does stay go on", Rule{Warn: At(10), Stay: 2 * time.Second},
			[]Reading{{Value: 10}, {}, {Answer: Broken}, {Answer: Broken}, {Answer: Broken}, {}, {}}, "wwwwwwo"},
		{"nor does for, nor does it begin anew: a host that stalls answers late", Rule{Leave: At(10), For: 3 * time.Second},
			[]Reading{{Value: 10}, {Answer: Broken}, {Value: 10}, {Answer: Broken}, {Value: 10}, {Value: 10}}, "oooool"},
		{"what could be read only partly makes ill by what could", Rule{Warn: At(5), Leave: At(10)},
			[]Reading{{Value: 1}, partly(1), partly(5), partly(10)}, "oowl"},
		{"from the beginning", Rule{Low: true, Warn: At(5)}, []Reading{partly(9), partly(5)}, "ow"},
		{"with for, which does not begin anew", Rule{Leave: At(10), For: 2 * time.Second},
			[]Reading{{Value: 10}, partly(1), {Value: 10}, partly(10)}, "oool"},
		{"nor does that of another limit", Rule{Warn: At(5), Leave: At(10), For: 2 * time.Second},
			[]Reading{{Value: 10}, {Value: 10}, partly(5), {Value: 10}}, "oowl"},
		{"keeps as ill", Rule{Warn: At(5), Stay: 2 * time.Second}, []Reading{{Value: 5}, {}, partly(5), {}, {}, {}}, "wwwwwo"},
		{"and never better: what could not be read may be worse", Rule{Warn: At(5), Leave: At(10), Stay: time.Second},
			[]Reading{{Value: 10}, partly(5), partly(1), partly(5), partly(5), {Value: 5}, {Value: 5}}, "llllllw"},
		{"but what could not be read then either was not it", Rule{Warn: At(5), Leave: At(10), Stay: time.Second},
			[]Reading{partly(10), partly(1), {Answer: Broken}, partly(1), partly(1)}, "llloo"},
		{"nor what is past a lower limit only", Rule{Warn: At(5), Leave: At(10), Stay: time.Second}, []Reading{partly(10), partly(6), partly(6)}, "llw"},
		{"it is if it could be read when it was ill last", Rule{Leave: At(10)}, []Reading{partly(10), {Value: 10}, partly(1)}, "lll"},
		{"or if more cannot be read", Rule{Leave: At(10)}, []Reading{partly(10), {Answer: Broken, Unread: 2, Value: 1}, partly(1)}, "llo"},
		{"each limit for itself", Rule{Warn: At(5), Leave: At(10)}, []Reading{partly(10), {Value: 5}, partly(1), {Value: 1}}, "lwwo"},
		{"for begins anew with what could be read", Rule{Leave: At(10), For: 2 * time.Second},
			[]Reading{partly(10), partly(1), partly(10), partly(1), partly(10)}, "ooooo"},
		{"slack keeps too", Rule{Leave: At(10), Slack: 0.2}, []Reading{{Value: 10}, partly(10), partly(9), partly(1)}, "lllo"},
		{"what never could be read is well", Rule{Warn: At(10)}, []Reading{{Answer: Broken}, {Answer: Broken}}, "oo"},
		{"a second fall is kept five seconds", Rule{Warn: At(10)}, values(10, 0, 10, 0, 0, 0, 0, 0, 0), "wowwwwwwo"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := story(row.rule, row.readings...); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestStateTellsWhy(t *testing.T) {
	rule := Rule{Warn: At(10), Leave: At(40), For: time.Second, Stay: 30 * time.Second}
	var w Watch
	w.Read(0, rule, Reading{Value: 50})
	if s := w.Read(time.Second/2, rule, Reading{Value: 50}); s.Level != OK || s.Seen != Leave {
		t.Errorf("%+v: not long enough, but seen", s)
	}
	s := w.Read(time.Second, rule, Reading{Value: 51, Text: "stalled"})
	if at, set := s.Limit.Value(); s.Level != Leave || s.Since != time.Second || at != 40 || !set || s.Reading.Value != 51 {
		t.Errorf("%+v", s)
	}
	s = w.Read(11*time.Second, rule, Reading{Value: 1})
	s = w.Read(21*time.Second, rule, Reading{Value: 1})
	if s.Level != Leave || s.Held != 20*time.Second || s.Seen != OK {
		t.Errorf("%+v: it stays 20s more", s)
	}
	s = w.Read(25*time.Second, rule, Reading{Answer: Broken})
	if s.Level != Leave || s.Held != 20*time.Second {
		t.Errorf("%+v: it stays 20s more, from when it can be read again", s)
	}
	w.Read(26*time.Second, rule, Reading{Value: 50})
	if s = w.Read(27*time.Second, rule, Reading{Answer: Broken}); s.Level != Leave || s.Held != 0 {
		t.Errorf("%+v: it was not good again", s)
	}
}

// What cannot be read does not keep a level for which there is no limit any more: it goes down after stay, to
// one that it was past too and that still has a limit.
func TestALimitThatIsTakenAway(t *testing.T) {
	const stay = 2 * time.Second
	for _, row := range []struct {
		name string
		warn Limit // before
		now  Rule
		want string
	}{
		{"none is left", At(5), Rule{Stay: stay}, "llloo"},
		{"the lower one is", At(5), Rule{Warn: At(5), Stay: stay}, "lllww"},
		{"one that it never was past is", At(50), Rule{Warn: At(50), Stay: stay}, "llloo"},
		{"both are", At(5), Rule{Warn: At(5), Leave: At(10), Stay: stay}, "lllll"},
	} {
		var w Watch
		got := ""
		for i, r := range []Reading{{Value: 10}, {Answer: Broken}, {Answer: Broken}, {Answer: Broken}, {Answer: Broken}} {
			rule := row.now
			if i == 0 {
				rule = Rule{Warn: row.warn, Leave: At(10), Stay: stay}
			}
			got += string("owl"[w.Read(time.Duration(i)*time.Second, rule, r).Level])
		}
		if got != row.want {
			t.Errorf("%s: got %s, want %s", row.name, got, row.want)
		}
	}
}

// What is ill by what could be read is told as that; what is not, as broken.
func TestAPartThatCounts(t *testing.T) {
	rule := Rule{Warn: At(10), Leave: At(40)}
	var w Watch
	for i, row := range []struct {
		reading Reading
		want    Answer
		level   Level
	}{
		{partly(1), Broken, OK}, {partly(10), Measured, Warn}, {partly(1), Broken, OK},
		{Reading{Value: 40}, Measured, Leave}, {partly(10), Broken, Leave}, {partly(1), Broken, Leave},
		{partly(40), Measured, Leave}, {partly(10), Measured, Warn}, {partly(1), Broken, OK},
	} {
		s := w.Read(Time(i)*Forget, rule, row.reading)
		if s.Reading.Answer != row.want || s.Level != row.level {
			t.Errorf("%+v: %v, %v, want %v, %v", row.reading, s.Reading.Answer, s.Level, row.want, row.level)
		}
	}
}

// What flaps as fast as it is looked at makes a bounded number of changes.
func TestFlapping(t *testing.T) {
	type reader func(now Time, bad bool) State
	var w Watch
	var tally Tally
	readers := map[string]reader{
		"sign": func(now Time, bad bool) State {
			r := Reading{}
			if bad {
				r.Value = 10
			}
			return w.Read(now, Rule{Leave: At(10)}, r)
		},
		"check": func(now Time, bad bool) State {
			r := Result{}
			if bad {
				r.Level = Leave
			}
			return tally.Result(now, 1, 1, r)
		},
	}
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			var minutes [60]int
			var last Level
			for now := Time(0); now < time.Hour; now += 50 * time.Millisecond {
				// Ten times a second, and good for a while now and then, so that it comes back.
				bad := now/(50*time.Millisecond)%2 == 0 && now/time.Minute%7 < 5 || random.IntN(1000) == 0
				if s := read(now, bad); s.Level != last {
					minutes[now/time.Minute]++
					last = s.Level
				}
			}
			for i, n := range minutes {
				if n > 10 {
					t.Errorf("minute %d has %d changes", i, n)
				}
			}
			if slices.Max(minutes[5:]) == 0 {
				t.Errorf("it never came back: %v", minutes)
			}
		})
	}
}

// After a time without relapse everything is forgotten.
func TestForgiven(t *testing.T) {
	var w Watch
	rule := Rule{Leave: At(1)}
	read := func(now Time, v float64) Level { return w.Read(now, rule, Reading{Value: v}).Level }
	for i := range Time(4) {
		read(i*time.Minute, 1)
		read(i*time.Minute+time.Second, 0)
		read(i*time.Minute+50*time.Second, 0)
	}
	late := 4*time.Minute + Forget
	read(late, 1)
	if got := read(late+time.Second, 0); got != OK {
		t.Errorf("%v: the first fall after a long time is not held against it", got)
	}
}

func TestTally(t *testing.T) {
	letters := map[rune]Result{'p': {}, 'w': {Level: Warn}, 'f': {Level: Leave}}
	for _, row := range []struct {
		name       string
		rise, fall int
		results    string
		want       string
	}{
		{"the first pass is a verdict", 3, 3, "p", "o"},
		{"the first failure is a verdict", 3, 3, "f", "l"},
		{"fall failures in a row", 1, 3, "pffpfff", "ooooool"},
		{"rise passes in a row", 3, 1, "pfppfppp", "ollllllo"},
		{"a warning passes", 1, 1, "pwp", "owo"},
		{"a warning stays through a failure that does not count", 1, 2, "wfw", "www"},
		{"a warning counts as a pass for rise", 2, 1, "fww", "llw"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var tally Tally
			var b strings.Builder
			for i, r := range row.results {
				// So far apart that nothing waits out a relapse.
				b.WriteByte("owl"[tally.Result(Time(i)*Forget, row.rise, row.fall, letters[r]).Level])
			}
			if b.String() != row.want {
				t.Errorf("got  %s\nwant %s", b.String(), row.want)
			}
		})
	}
}
