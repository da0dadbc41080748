package thriftpool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// threadPool is a server with a thread per connection, and a fixed number of threads.
type threadPool struct {
	name  string
	start func(t *testing.T, threads int) (addr string)
	waits bool // a connection beyond the threads waits for one; else it is closed
}

// threadPools are the two kinds of raw bytes, and Apache's servers where Debian's
// packages are installed.
func threadPools() []threadPool {
	return []threadPool{
		{"raw bytes, waiting", func(t *testing.T, threads int) string { return rawThreads(t, threads, true) }, true},
		{"raw bytes, closing", func(t *testing.T, threads int) string { return rawThreads(t, threads, false) }, false},
		{"TThreadPoolServer of Python", pythonThreads, true},
		{"TThreadPoolServer of Java", javaThreads, false},
	}
}

// rawThreads does with connections what Apache's servers do.
func rawThreads(t *testing.T, threads int, waits bool) string {
	t.Helper()
	free := make(chan struct{}, threads)
	gone := make(chan struct{})
	t.Cleanup(func() { close(gone) })
	return prototest.Listen(t, func(nc net.Conn) {
		if waits {
			select {
			case free <- struct{}{}:
			case <-gone:
				return
			}
		} else {
			select {
			case free <- struct{}{}:
			default:
				return
			}
		}
		defer func() { <-free }()
		for {
			r, ok := next(nc)
			if !ok || !answer(nc, frame(reply(t, r.method, thrift.REPLY, r.seq, said("s")))) {
				return
			}
		}
	})
}

func pythonThreads(t *testing.T, threads int) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import thrift").Run() == nil {
			return program(t, python, "testdata/threadpool/server.py", fmt.Sprint(threads))
		}
	}
	t.Skip("no Python with Apache Thrift: it is Debian's package python3-thrift")
	return ""
}

func javaThreads(t *testing.T, threads int) string {
	t.Helper()
	jars := []string{"/usr/share/java/thrift.jar", "/usr/share/java/slf4j-api.jar"}
	for _, need := range append([]string{"javac"}, jars...) {
		if _, err := exec.LookPath(need); err == nil {
			continue
		}
		if _, err := os.Stat(need); err != nil {
			t.Skipf("no %s: it is in Debian's packages libthrift-java and default-jdk-headless", need)
		}
	}
	return program(t, "java", "-cp", strings.Join(jars, ":"), "testdata/threadpool/Server.java", fmt.Sprint(threads))
}

// program runs a server that prints its port and ends with its input.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), name, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, lines) // Wait closes the pipe, which must be read first
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	port, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return net.JoinHostPort("127.0.0.1", strings.TrimSpace(port))
}

// As the package's documentation says: two client programs of two connections each,
// on a server with four threads.
func TestMaxActiveKeepsCallsWithinTheThreadsOfAServer(t *testing.T) {
	for _, k := range threadPools() {
		t.Run(k.name, func(t *testing.T) {
			const threads, clients, callers, calls = 4, 2, 8, 50
			addr := k.start(t, threads)
			var wg sync.WaitGroup
			for range clients {
				shared := Client(newPool(t, Config{Timeout: -1}, []string{addr}, core.MaxActive(threads/clients)), Attempts(1))
				for range callers {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), 3*prototest.Patience)
						defer cancel()
						for range calls {
							if got, err := echo.NewEchoClient(shared).Echo(ctx, "s"); err != nil || got != "s" {
								t.Errorf("got %q, %v", got, err)
								return
							}
						}
					})
				}
			}
			wg.Wait()
		})
	}
}

// What the documentation warns of.
func TestAConnectionBeyondTheThreadsOfAServerWaitsOrIsClosed(t *testing.T) {
	for _, k := range threadPools() {
		t.Run(k.name, func(t *testing.T) {
			const threads = 2
			addr := k.start(t, threads)
			pool := newPool(t, Config{Timeout: -1}, []string{addr}, core.MaxActive(threads+1))
			lease := func() core.Lease[*Conn] {
				l, err := pool.Get(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
			call := func(l core.Lease[*Conn], within time.Duration) error {
				ctx, cancel := context.WithTimeout(t.Context(), within)
				defer cancel()
				_, err := echo.NewEchoClient(l.Conn()).Echo(ctx, "s")
				return err
			}
			var held []core.Lease[*Conn]
			for range threads {
				l := lease()
				if err := call(l, prototest.Patience); err != nil {
					t.Fatal(err)
				}
				held = append(held, l)
			}
			l := lease()
			patience := prototest.Patience
			if k.waits {
				patience = 100 * time.Millisecond
			}
			err := call(l, patience)
			if late := errors.Is(err, context.DeadlineExceeded); err == nil || late != k.waits {
				t.Errorf("beyond the threads: %v", err)
			}
			_ = l.Discard(err)
			for _, h := range held {
				if err := call(h, prototest.Patience); err != nil {
					t.Errorf("within the threads: %v", err)
				}
				_ = h.Discard(nil)
			}
			prototest.Until(t, "a thread is free again", func() bool {
				l := lease()
				err := call(l, prototest.Patience)
				_ = l.Discard(err)
				return err == nil
			})
		})
	}
}
