package config

import (
	"path/filepath"
	"strings"
	"time"
)

// Hook is a command that is run when something changes.
type Hook struct {
	On      []string      // of HookEvents; empty: all of them
	Command []string      // a path and arguments
	Timeout time.Duration // MinHookTimeout … MaxHookTimeout
}

// What a hook can be told of.
const (
	HookState     = "state"     // this node's state
	HookOwnership = "ownership" // which buckets it owns
	HookTakeover  = "takeover"  // it has taken buckets of a node that died
	HookPeer      = "peer"      // another node: heard, silent, left, incompatible
	HookDegraded  = "degraded"  // whether something is wrong
	HookHealth    = "health"    // a sign or check changes its level, or what follows from it for a weight
	HookDrift     = "drift"     // somebody changed what rota needs on the host
)

// HookEvents are all of them, the words of on.
var HookEvents = []string{HookState, HookOwnership, HookTakeover, HookPeer, HookDegraded, HookHealth, HookDrift}

func (c *Config) readHooks(v value) {
	items := v.items("- {on: [state], command: [/usr/local/bin/notify]}")
	if len(items) > MaxHooks {
		v.fail("has %d hooks; at most %d", len(items), MaxHooks)
		return
	}
	for _, item := range items {
		h := Hook{Timeout: DefaultHookTimeout}
		seen := item.mapping(keys{
			"on":      func(v value) { h.On = readHookEvents(v) },
			"command": func(v value) { h.Command = readHookCommand(v) },
			"timeout": func(v value) { setTime(&h.Timeout)(v.duration(MinHookTimeout, MaxHookTimeout, "10s")) },
		})
		item.need(seen, "command: [/usr/local/bin/notify]")
		c.Hooks = append(c.Hooks, h)
	}
}

func readHookEvents(v value) []string {
	var on []string
	if v.empty() {
		return nil
	}
	taken := places[string]{}
	for _, item := range v.items("[" + strings.Join(HookEvents, ", ") + "]") {
		if i, ok := item.choice(HookEvents); ok && !taken.taken(HookEvents[i], item) {
			on = append(on, HookEvents[i])
		}
	}
	return on
}

// readHookCommand reads a path, alone or with arguments. There is no shell that would look for it.
func readHookCommand(v value) []string {
	const example = "[/usr/local/bin/notify, --short]"
	words := []value{v}
	if v.kind() == "a list" {
		words = v.items(example)
	}
	var command []string
	for _, w := range words {
		word, ok := w.text("e.g. " + example)
		if !ok {
			return nil
		}
		command = append(command, word)
	}
	switch {
	case len(command) == 0:
		v.fail("is empty; write e.g. %s", example)
	case !filepath.IsAbs(command[0]):
		v.fail("%q is not a path that begins with /; write e.g. %s", clip(command[0]), example)
	case len(words) == 1 && words[0].node == v.node && strings.ContainsAny(command[0], " \t"):
		v.fail("%q has spaces, and no shell divides it; write a list, e.g. %s", clip(command[0]), example)
	}
	return command
}
