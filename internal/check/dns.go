package check

import (
	"context"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/rota-cluster/rota/internal/config"
)

// dns asks a server for a record. It does not use the host's resolver, which
// answers from files and caches too.
type dns struct {
	server   string
	question dnsmessage.Question
	kind     string
	random   func() float64
}

var dnsTypes = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME, "MX": dnsmessage.TypeMX,
	"NS": dnsmessage.TypeNS, "PTR": dnsmessage.TypePTR, "SOA": dnsmessage.TypeSOA, "SRV": dnsmessage.TypeSRV, "TXT": dnsmessage.TypeTXT,
}

func newDNS(c config.Check, random func() float64) (prober, error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(c.Target[0], ".") + ".")
	if err != nil {
		return nil, err
	}
	question := dnsmessage.Question{Name: name, Type: dnsTypes[c.Type], Class: dnsmessage.ClassINET}
	return &dns{server: c.Server, question: question, kind: c.Type, random: random}, nil
}

func (p *dns) probe(ctx context.Context) Outcome {
	id := uint16(p.random() * (1 << 16))
	query, err := (&dnsmessage.Message{
		Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{p.question},
	}).Pack()
	if err != nil {
		return failedBy(ctx, "ask", err)
	}
	conn, err := dial(ctx, "udp", p.server)
	if err != nil {
		return failedBy(ctx, "ask "+p.server, err)
	}
	defer conn.Close()
	if _, err := conn.Write(query); err != nil {
		return failedBy(ctx, "ask "+p.server, err)
	}
	answer := make([]byte, 4096)
	for {
		n, err := conn.Read(answer)
		if err != nil {
			return failedBy(ctx, "answer of "+p.server, err)
		}
		if out, ours := p.judge(id, answer[:n]); ours {
			return out
		}
	}
}

// judge reads an answer; one to another question is not ours.
func (p *dns) judge(id uint16, answer []byte) (out Outcome, ours bool) {
	var parser dnsmessage.Parser
	header, err := parser.Start(answer)
	if err != nil || header.ID != id || !header.Response {
		return Outcome{}, false
	}
	questions, err := parser.AllQuestions()
	if err != nil || len(questions) != 1 || questions[0].Type != p.question.Type ||
		!strings.EqualFold(questions[0].Name.String(), p.question.Name.String()) {
		return Outcome{}, false
	}
	if header.RCode != dnsmessage.RCodeSuccess {
		return failed("%s answers %s", p.server, strings.TrimPrefix(header.RCode.String(), "RCode")), true
	}
	for {
		h, err := parser.AnswerHeader()
		if err != nil {
			return failed("%s answers without a record of type %s", p.server, p.kind), true
		}
		if h.Type == p.question.Type {
			return passed("answers"), true
		}
		if err := parser.SkipAnswer(); err != nil {
			return failed("%s answers nonsense: %s", p.server, oneLine(err.Error())), true
		}
	}
}
