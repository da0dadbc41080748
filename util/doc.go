// Package util is the API that this library had at first, over package core, for
// programs that were written against it. New programs use core; MIGRATION.md says
// what each field and call is there.
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
// A connection that is Put twice is not lent to two borrowers: the second Put is an
// error and does nothing, even if the connection has another borrower by then. For
// that, give Put the name that came with the connection, the string itself or a copy
// of the variable: it is by the string's place in memory, not by its text, that the
// Put of one borrower is told from that of the next, up to 255 borrowers later. With
// an equal string of another origin, a second Put is found out only while the
// connection is not lent again.
package util
