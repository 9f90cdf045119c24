package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/rota-cluster/rota/internal/config"
)

const (
	// maxBody is how much of an answer is looked at for a pattern.
	maxBody = 64 << 10
	// maxInterim is how many answers may come before the final one.
	maxInterim = 16
	// maxSizeLine is how long the line before a chunk may be, as Go's own client has it.
	maxSizeLine = 4096
)

// webAnswer reads an answer of HTTP/1.1 as it comes, and goes on where it was: a target that
// dribbles costs no more than one that does not.
type webAnswer struct {
	web
	begins  int // where in the answer the head begins that is awaited,
	looked  int // and up to where its end has been looked for
	interim int
	head    *http.Response // of the final answer, once it is whole
	body    int            // where that one's body begins
	chunks  chunks         // if the body has them
}

// judge makes a judge of one answer.
func (w web) judge() judge { return (&webAnswer{web: w}).judge }

func (a *webAnswer) judge(answer []byte, end error) (Outcome, bool) {
	for a.head == nil {
		size, whole := a.headEnd(answer)
		switch {
		case whole || errors.Is(end, io.EOF):
		case end != nil:
			return failure("answer of "+a.address, end), true
		default:
			return Outcome{}, false
		}
		resp, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(answer[a.begins:size]), 512), nil)
		if err != nil {
			return failure("answer of "+a.address, err), true
		}
		if a.begins, a.looked = size, size; !isInterim(resp.StatusCode) {
			a.head, a.body, a.chunks.at = resp, size, size
		} else if a.interim++; a.interim > maxInterim {
			return failed("answer of %s: more than %d times only that there will be one", a.address, maxInterim), true
		}
	}
	text := fmt.Sprintf("status %d", a.head.StatusCode)
	fits := slices.ContainsFunc(a.config.Status, func(s config.StatusRange) bool {
		return s.First <= a.head.StatusCode && a.head.StatusCode <= s.Last
	})
	switch {
	case !fits:
		return failed("%s", text), true
	case a.config.Body == nil:
		return passed(text), true
	}
	return a.judgeBody(answer, end, text)
}

// isInterim: the final answer comes after it. RFC 9110 §15.2; after 101 another protocol does.
func isInterim(status int) bool { return status < 200 && status != http.StatusSwitchingProtocols }

// headEnd is behind the empty line after a head, or all that there is if that has not come.
func (a *webAnswer) headEnd(answer []byte) (end int, whole bool) {
	from := max(a.begins, a.looked-len("\n\r"))
	a.looked = len(answer)
	for rest := answer[from:]; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return len(answer), false
		}
		rest = rest[i+1:]
		if after, empty := bytes.CutPrefix(bytes.TrimPrefix(rest, []byte("\r")), []byte("\n")); empty {
			return len(answer) - len(after), true
		}
	}
}

// judgeBody looks for the pattern when all of the body has come, or as much as is looked at.
func (a *webAnswer) judgeBody(answer []byte, end error, text string) (Outcome, bool) {
	body, whole, err := a.bodyOf(answer, end)
	switch {
	case !whole && err == nil && end == nil:
		return Outcome{}, false
	case a.config.Body.Match(body):
		return passed(text), true
	case err != nil:
		return failure("answer of "+a.address, err), true
	case !whole && errors.Is(end, io.EOF):
		return failure("answer of "+a.address, io.ErrUnexpectedEOF), true
	case !whole:
		return failure("answer of "+a.address, end), true
	}
	return failed("%s, but the answer has no %q in it: %s", text, a.config.Body, oneLine(string(body))), true
}

// bodyOf is what has come of the body, at most maxBody, and whether that is all of it.
func (a *webAnswer) bodyOf(answer []byte, end error) (body []byte, whole bool, err error) {
	length := min(a.head.ContentLength, maxBody) // below 0: until the connection ends
	if len(a.head.TransferEncoding) > 0 {
		err = a.chunks.read(answer)
		return a.chunks.body, a.chunks.ended || len(a.chunks.body) == maxBody, err
	}
	body = answer[a.body:min(len(answer), a.body+maxBody)]
	if length >= 0 {
		body = body[:min(len(body), int(length))]
		return body, len(body) == int(length), nil
	}
	return body, len(body) == maxBody || errors.Is(end, io.EOF), nil
}

// chunks are put together as they come, RFC 9112 §7.1.
type chunks struct {
	at    int // where in the answer to go on
	left  int // what is to come of a chunk
	body  []byte
	ended bool
}

// read takes what has come of an answer, at most maxBody.
func (c *chunks) read(answer []byte) error {
	for !c.ended && len(c.body) < maxBody {
		if c.left > 0 {
			piece := answer[c.at:min(len(answer), c.at+c.left)]
			if len(piece) == 0 {
				return nil
			}
			c.body = append(c.body, piece[:min(len(piece), maxBody-len(c.body))]...)
			c.at, c.left = c.at+len(piece), c.left-len(piece)
			continue
		}
		line, _, whole := bytes.Cut(answer[c.at:min(len(answer), c.at+maxSizeLine)], []byte("\n"))
		switch {
		case !whole && len(line) == maxSizeLine:
			return errors.New("the line before a chunk is too long")
		case !whole:
			return nil
		}
		c.at += len(line) + 1
		size, _, _ := bytes.Cut(line, []byte(";"))
		if size = bytes.TrimSpace(size); len(size) == 0 && len(c.body) > 0 {
			continue // behind the chunk before
		}
		n, err := strconv.ParseUint(string(size), 16, 31)
		if err != nil {
			return fmt.Errorf("%q is no size of a chunk", oneLine(string(size)))
		}
		c.left, c.ended = int(n), n == 0
	}
	return nil
}
