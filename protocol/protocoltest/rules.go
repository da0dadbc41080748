package protocoltest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
)

func rules() []rule {
	return []rule{
		{
			name:        "HangsUp",
			description: "it accepts connections and closes or resets them without an answer",
			check:       checkHangsUp,
		},
		{
			name:        "SaysNothing",
			description: "it accepts connections and says nothing",
			check:       checkSaysNothing,
		},
		{
			name:        "Dribbles",
			description: "it sends one byte after the other, without an end",
			check:       checkDribbles,
		},
		{
			name:        "Garbage",
			description: "it sends what is not the protocol",
			check:       checkGarbage,
		},
		{
			name:        "CutAnswer",
			description: "it closes or resets the connection within the answer, at each of its bytes",
			check:       checkCutAnswer,
		},
		{
			name:        "MoreThanAsked",
			description: "it sends more than the answer",
			check:       checkMoreThanAsked,
		},
		{
			name:        "AnotherAnswer",
			description: "it answers a request with the answer to the one before",
			check:       checkAnotherAnswer,
		},
		{
			name:        "EndlessAnswer",
			description: "it answers without an end, as fast as it can",
			check:       checkEndlessAnswer,
		},
	}
}

// lie is one way to be hostile.
type lie struct {
	name  string
	speak speak
}

// sufferAll tries each lie.
func (r *run) sufferAll(ctx context.Context, lies ...lie) error {
	for _, l := range lies {
		if err := r.suffer(ctx, l.name, l.speak); err != nil {
			return err
		}
	}
	return nil
}

// firstByte waits for the beginning of a request. It reports whether there is one.
func firstByte(nc net.Conn) bool {
	_, err := nc.Read(make([]byte, 1))
	return err == nil
}

func checkHangsUp(ctx context.Context, r *run) error {
	lies := []lie{
		{"closes at once", func(net.Conn) {}},
		{"resets at once", abort},
		{"closes at the first byte", func(nc net.Conn) { firstByte(nc) }},
		{"resets at the first byte", func(nc net.Conn) { firstByte(nc); abort(nc) }},
	}
	if r.Read != nil {
		nothing := func(Request) []byte { return nil }
		lies = append(lies, lie{"closes behind the request", r.closing(nothing, false)},
			lie{"resets behind the request", r.closing(nothing, true)})
	}
	return r.sufferAll(ctx, lies...)
}

func checkSaysNothing(ctx context.Context, r *run) error {
	return r.sufferAll(ctx, lie{"reads", silent})
}

func checkDribbles(ctx context.Context, r *run) error {
	lies := []lie{{"zeros", func(nc net.Conn) {
		if firstByte(nc) {
			dribble(nc, nil, []byte{0})
		}
	}}}
	if r.Read != nil {
		for _, flood := range r.Floods {
			lies = append(lies, lie{flood.Name, func(nc net.Conn) {
				if request, err := r.Read(bufio.NewReader(nc)); err == nil {
					dribble(nc, flood.Begin(request), flood.Repeat)
				}
			}})
		}
	}
	return r.sufferAll(ctx, lies...)
}

func checkGarbage(ctx context.Context, r *run) error {
	random := make([]byte, 1000)
	source := rand.NewChaCha8([32]byte{1}) // the same in each run
	_, _ = source.Read(random)
	var lies []lie
	for name, b := range map[string][]byte{
		"zeros":        make([]byte, 100),
		"ones":         bytes.Repeat([]byte{0xff}, 100),
		"random bytes": random,
		"HTTP":         []byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
		"TLS":          {0x15, 3, 3, 0, 2, 2, 40},
		"a line":       []byte("-ERR too many clients\r\n"),
	} {
		lies = append(lies, lie{name, func(nc net.Conn) {
			if firstByte(nc) {
				_, _ = nc.Write(b)
				silent(nc)
			}
		}})
	}
	return r.sufferAll(ctx, lies...)
}

// checkCutAnswer has a server for each byte of the first answer. Each has a client
// of its own, which would give up a server that it knew.
func checkCutAnswer(ctx context.Context, r *run) error {
	if r.Read == nil {
		return missing("Read")
	}
	for _, reset := range []bool{false, true} {
		length := 0
		for at := 0; ; at++ {
			whole := make(chan int, 100)
			hostile := r.closing(func(q Request) []byte {
				select {
				case whole <- len(q.Answer):
				default:
				}
				return q.Answer[:min(at, len(q.Answer))]
			}, reset)
			if err := r.cutAt(ctx, hostile); err != nil {
				return fmt.Errorf("cut after %d bytes, reset %v: %w", at, reset, err)
			}
			select {
			case length = <-whole:
			default:
				return fmt.Errorf("cut after %d bytes, reset %v: no request came", at, reset)
			}
			if at+1 >= length {
				break
			}
		}
		r.logf("reset %v: cut at each of %d bytes", reset, length)
	}
	return nil
}

// cutAt makes two calls to a server that cuts its answers.
func (r *run) cutAt(ctx context.Context, hostile speak) error {
	s, err := listen(hostile)
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }()
	return r.with(ctx, s, []string{s.addr()}, func(c *Client) error {
		for range 2 {
			if answered, err := r.call(ctx, c); err != nil {
				return err
			} else if answered {
				return errors.New("a call succeeded with an answer that has no end")
			}
		}
		return nil
	})
}

func checkMoreThanAsked(ctx context.Context, r *run) error {
	if r.Read == nil {
		return missing("Read")
	}
	return r.sufferAll(ctx,
		lie{"one byte", r.answering(func(q Request) []byte { return append(slices.Clip(q.Answer), '\n') })},
		lie{"the answer twice", r.answering(func(q Request) []byte { return slices.Concat(q.Answer, q.Answer) })},
		lie{"the answer a thousand times", r.answering(func(q Request) []byte { return bytes.Repeat(q.Answer, 1000) })},
	)
}

func checkAnotherAnswer(ctx context.Context, r *run) error {
	switch {
	case r.Read == nil:
		return missing("Read")
	case !r.Numbered:
		return missing("Numbered")
	}
	return r.suffer(ctx, "one behind", func(nc net.Conn) {
		var before []byte
		r.answering(func(q Request) []byte {
			answer := q.Answer
			if before != nil {
				answer = before
			}
			before = q.Answer
			return answer
		})(nc)
	})
}

func checkEndlessAnswer(ctx context.Context, r *run) error {
	switch {
	case r.Read == nil:
		return missing("Read")
	case len(r.Floods) == 0:
		return missing("Floods")
	}
	var lies []lie
	for _, flood := range r.Floods {
		lies = append(lies, lie{flood.Name, func(nc net.Conn) {
			request, err := r.Read(bufio.NewReader(nc))
			if err != nil {
				return
			}
			if _, err := nc.Write(flood.Begin(request)); err == nil {
				repeat(nc, flood.Repeat)
			}
		}})
	}
	return r.sufferAll(ctx, lies...)
}
