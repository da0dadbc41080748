package dns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// client asks servers, over one connection at a time. It is not safe for
// concurrent use.
type client struct {
	timeout time.Duration
	udp     bool

	servers []string
	good    int // the index of the server that answered last

	conn   net.Conn // over TCP, or nil
	server string   // of conn
}

// use sets the servers to ask.
func (c *client) use(servers []string) {
	if !slices.Equal(servers, c.servers) {
		c.servers, c.good = servers, 0
	}
}

// close ends the connection. The client can be used again.
func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// failure is why no server has given an answer that counts.
type failure struct {
	error
	name string // that was asked for
	// answered: a server says that it cannot answer this question. refused: all say
	// that they will not.
	answered, refused bool
}

func (f *failure) Unwrap() error { return f.error }

// ask returns the first answer of a server that has, or knows that there are not,
// such records. Otherwise the error is a failure.
func (c *client) ask(ctx context.Context, name string, kind dnsmessage.Type) (answer, error) {
	f := &failure{name: name}
	var errs []error
	refused := 0
	for i := range c.servers {
		at := (c.good + i) % len(c.servers)
		server := c.servers[at]
		a, err := c.askServer(ctx, server, name, kind)
		switch {
		case ctx.Err() != nil:
			return a, ctx.Err()
		case err != nil:
		case a.cut: // another server would have to cut it too
			return a, discovery.Permanent(fmt.Errorf("%s: the answer for %s %s is cut, even over TCP: there are more records than fit into one answer of 64 KiB; "+
				"divide them over several names", server, kindName(kind), name))
		case a.lame:
			f.answered = true
			err = errors.New("referred to other servers: it neither has the zone nor looks elsewhere")
		case a.code == dnsmessage.RCodeSuccess, a.code == dnsmessage.RCodeNameError:
			c.good = at
			return a, nil
		default:
			f.answered = true
			if a.code == dnsmessage.RCodeRefused {
				refused++
			}
			err = fmt.Errorf("answered %s", codeName(a.code))
		}
		errs = append(errs, fmt.Errorf("%s: %w", server, err))
	}
	f.error = fmt.Errorf("%s %s: %w", kindName(kind), name, errors.Join(errs...))
	f.refused = refused == len(c.servers)
	return answer{}, f
}

func (c *client) askServer(ctx context.Context, server, name string, kind dnsmessage.Type) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	q, err := newQuestion(name, kind, c.udp)
	if err != nil {
		return answer{}, err
	}
	if c.udp {
		if a, err := c.datagram(ctx, server, q); err != nil || !a.cut {
			return a, err
		}
	}
	if c.conn != nil && c.server == server {
		// The server may have closed the connection since the last question.
		if a, err := c.stream(ctx, q); err == nil || ctx.Err() != nil {
			return a, err
		}
	}
	c.close()
	var dialer net.Dialer
	if c.conn, err = dialer.DialContext(ctx, "tcp", server); err != nil {
		c.conn = nil
		if !c.udp {
			err = fmt.Errorf("%w; if the server answers over UDP only, see the parameter transport", err)
		}
		return answer{}, err
	}
	c.server = server
	return c.stream(ctx, q)
}

// stream asks over the connection, and closes it when that fails.
func (c *client) stream(ctx context.Context, q question) (answer, error) {
	stop := bound(ctx, c.conn)
	defer stop()
	a, err := func() (answer, error) {
		if _, err := c.conn.Write(q.msg); err != nil {
			return answer{}, err
		}
		var size [2]byte
		if _, err := io.ReadFull(c.conn, size[:]); err != nil {
			return answer{}, err
		}
		msg := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := io.ReadFull(c.conn, msg); err != nil {
			return answer{}, err
		}
		return q.parse(msg)
	}()
	if err != nil {
		c.close()
	}
	return a, err
}

// datagram asks over UDP, twice, since either way may lose a datagram.
func (c *client) datagram(ctx context.Context, server string, q question) (answer, error) {
	const tries = 2
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", server)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	buf := make([]byte, 1<<16)
	for range tries {
		var a answer
		if a, err = c.datagramOnce(ctx, conn, q, buf); err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return a, err
		}
	}
	return answer{}, err
}

func (c *client) datagramOnce(ctx context.Context, conn net.Conn, q question, buf []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout/2)
	defer cancel()
	stop := bound(ctx, conn)
	defer stop()
	if _, err := conn.Write(q.msg[2:]); err != nil {
		return answer{}, err
	}
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return answer{}, err
		}
		// Whatever does not answer the question may be late, or forged.
		if a, err := q.parse(buf[:n]); !errors.Is(err, errForeign) {
			return a, err
		}
	}
}

// bound makes I/O of conn fail when ctx ends, until stop.
func bound(ctx context.Context, conn net.Conn) (stop func() bool) {
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// codeName returns the name of a code as other programs write it.
func codeName(code dnsmessage.RCode) string {
	switch code {
	case dnsmessage.RCodeFormatError:
		return "FORMERR"
	case dnsmessage.RCodeServerFailure:
		return "SERVFAIL"
	case dnsmessage.RCodeNameError:
		return "NXDOMAIN"
	case dnsmessage.RCodeNotImplemented:
		return "NOTIMP"
	case dnsmessage.RCodeRefused:
		return "REFUSED"
	default:
		return strings.TrimPrefix(code.String(), "RCode")
	}
}
