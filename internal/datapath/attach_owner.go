package datapath

import (
	"slices"

	"github.com/cilium/ebpf"
)

// Several daemons may serve on several interfaces of one network namespace,
// and each has programs on all of them. The set tells whose a program is: that
// of the interface on which the set's filter stands.

// filters says whether the program is one by which a service is known: the filter or the adopter.
func (s standing) filters() bool { return s.place == atXDP || s.place == atIngress }

// ownedBy picks the programs that serve an interface. The announcer of a
// set without a filter belongs to the interface on which it stands beside
// another set's filter: an Attach that replaced programs was cut short.
func ownedBy(index int, all []standing) []standing {
	owner := owners(all)
	return slices.DeleteFunc(slices.Clone(all), func(s standing) bool {
		at, known := owner[s.set]
		return !known || at != index
	})
}

func owners(all []standing) map[ebpf.MapID]int {
	owner, served := make(map[ebpf.MapID]int), make(map[int]bool)
	for _, s := range all {
		if s.filters() {
			owner[s.set], served[s.index] = s.index, true
		}
	}
	for _, s := range all {
		if _, known := owner[s.set]; !known && s.name == NameAnnounce && served[s.index] {
			owner[s.set] = s.index
		}
	}
	return owner
}

// servesElsewhere says whether another interface has a filter too.
func servesElsewhere(index int, all []standing) bool {
	return slices.ContainsFunc(all, func(s standing) bool { return s.filters() && s.index != index })
}

// on picks the programs that stand on one interface.
func on(index int, all []standing) []standing {
	return slices.DeleteFunc(slices.Clone(all), func(s standing) bool { return s.index != index })
}

// named picks those at a place that have one of the names.
func named(all []standing, at place, names ...string) []standing {
	return slices.DeleteFunc(slices.Clone(all), func(s standing) bool { return s.place != at || !slices.Contains(names, s.name) })
}

// sets gathers the maps of each set of programs.
func sets(all []standing) map[ebpf.MapID][]ebpf.MapID {
	gathered := make(map[ebpf.MapID][]ebpf.MapID)
	for _, s := range all {
		for _, m := range s.maps {
			if !slices.Contains(gathered[s.set], m) {
				gathered[s.set] = append(gathered[s.set], m)
			}
		}
	}
	return gathered
}

// setOf is the configuration that a program of this process shares with its set.
func setOf(p *ebpf.Program) (ebpf.MapID, error) {
	info, err := p.Info()
	if err != nil {
		return 0, err
	}
	ids, _ := info.MapIDs()
	return configurationOf(ids)
}
