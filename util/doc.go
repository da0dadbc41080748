// Package util is the API of this library's first version, over package core. It is
// for programs that were written for that version; new programs use core. MIGRATION.md
// names what succeeds each field and call.
//
//	pool := &util.MultiPool{
//		SingleMaxActiveCount: 10,
//		SingleMaxIdleCount:   2,
//		IdleTimeOut:          5 * time.Second,
//		SingleFactory:        newFactory, // func(server string, timeout time.Duration, tryCount int) util.Factory
//		Servers:              []string{"10.0.0.1:9090", "10.0.0.2:9090"},
//	}
//	if err := pool.InitFromServerList(); err != nil { ... }
//	defer pool.Close()
//
//	conn, server, err := pool.Get()
//	if err != nil { ... }
//	err = conn.(*client).Call()
//	pool.Put(conn, server, err != nil)
//
// # Second Puts
//
// A second Put of a lease returns an error and leaves the connection to the lease that
// it serves by then. Pass Put the string that Get returned, or a copy of the variable:
// by this string Put knows which lease ends.
//
// The API leaves nothing better. Programs assert their own type on the connection, so
// Get cannot return a wrapper for each lease, and every lease of a connection returns
// the same value. But the string can differ: each lease returns its own copy of the
// server's name, and Put compares the memory that the name occupies, not its text.
//
// Put also accepts any other string, since programs may pass a server name of
// their own after GetServerConn. With such a string Put knows the connection and not
// the lease: it refuses a second Put while the connection is idle, and ends the
// current lease if the connection is leased again. The copies of a connection repeat
// after 256 leases. Leases of package core have neither gap.
//
// Deprecated: Use package [github.com/minicaptain/multi_connection_pool/core].
package util
