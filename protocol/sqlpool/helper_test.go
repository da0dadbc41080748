package sqlpool_test

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/sqlpool"
)

// TestMain fails when the tests leave a goroutine.
func TestMain(m *testing.M) { os.Exit(prototest.Run(m)) }

// server is a database that keeps what it was asked.
type server struct {
	addr string
	mu   sync.Mutex
	log  []string
}

// serve starts a server. answer returns the answer to a line, with its newline, or
// nothing for the usual one; "hang up" closes the connection.
func serve(tb testing.TB, answer func(line string) string) *server {
	tb.Helper()
	s := new(server)
	s.addr = prototest.Listen(tb, s.speak(answer))
	return s
}

const hangUp = "hang up"

func (s *server) speak(answer func(line string) string) func(net.Conn) {
	return func(nc net.Conn) {
		for r := bufio.NewReader(nc); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSpace(line)
			s.mu.Lock()
			s.log = append(s.log, line)
			s.mu.Unlock()
			reply := ""
			if answer != nil {
				reply = answer(line)
			}
			switch {
			case reply == "":
				reply = usual(line)
			case strings.HasSuffix(reply, hangUp):
				_, _ = nc.Write([]byte(strings.TrimSuffix(reply, hangUp)))
				return
			}
			if _, err := nc.Write([]byte(reply)); err != nil {
				return
			}
		}
	}
}

func usual(line string) string {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case strings.HasPrefix(rest, "wrong"):
		return "err 42601 it is wrong\n"
	case word == "query":
		return "row " + rest + "\nend\n"
	default:
		return "ok\n"
	}
}

// asked returns what the server was asked that begins so.
func (s *server) asked(prefix string) (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.log {
		if strings.HasPrefix(l, prefix) {
			lines = append(lines, l)
		}
	}
	return lines
}

func config(shape func(*wire) driver.Conn) sqlpool.Config {
	return sqlpool.Config{Connector: sqlpool.DSN(lines{shape}, func(addr string) string { return addr })}
}

// newPool returns a pool that the test closes.
func newPool(tb testing.TB, conf sqlpool.Config, w core.Watcher, opts ...core.Option) *core.Pool[*sqlpool.Conn] {
	tb.Helper()
	pool, err := core.New(w, sqlpool.Dial(conf), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), prototest.Patience)
		defer cancel()
		if err := pool.Close(ctx); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return pool
}

// newDB returns a database over a pool of the servers.
func newDB(tb testing.TB, servers []*server, opts ...sqlpool.Option) (*sql.DB, *core.Pool[*sqlpool.Conn]) {
	tb.Helper()
	pool := newPool(tb, config(nil), watcher(servers...))
	return openDB(tb, pool, opts...), pool
}

func openDB(tb testing.TB, pool *core.Pool[*sqlpool.Conn], opts ...sqlpool.Option) *sql.DB {
	tb.Helper()
	db := sqlpool.OpenDB(pool, opts...)
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func watcher(servers ...*server) core.Watcher {
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.addr)
	}
	return static.Watcher(addrs...)
}

// ask makes a query of one row.
func ask(ctx context.Context, db *sql.DB, query string) (answer string, err error) {
	err = db.QueryRowContext(ctx, query).Scan(&answer)
	return answer, err
}

// idle requires that no lease is left.
func idle(tb testing.TB, pool *core.Pool[*sqlpool.Conn]) {
	tb.Helper()
	for _, e := range pool.Stats().Endpoints {
		if e.InUse != 0 {
			tb.Errorf("%s: %d connections are in use", e.Endpoint.Addr, e.InUse)
		}
	}
}

// dials returns how often each server was dialed, sorted.
func dials(pool *core.Pool[*sqlpool.Conn]) (counts []uint64) {
	for _, e := range pool.Stats().Endpoints {
		counts = append(counts, e.Dials)
	}
	slices.Sort(counts)
	return counts
}
