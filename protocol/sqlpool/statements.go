package sqlpool

import (
	"database/sql/driver"
	"slices"
)

// statements are the prepared statements of a connection that no session uses, the
// most recently used one last. database/sql closes its statements with the session,
// which is each time: without this, a statement would be prepared and closed on the
// server for each use.
type statements struct {
	most int
	idle []prepared
}

type prepared struct {
	query string
	stmt  driver.Stmt
}

// take returns a statement for the query, which is the caller's then, or nil.
func (s *statements) take(query string) driver.Stmt {
	for i, p := range slices.Backward(s.idle) {
		if p.query == query {
			s.idle = slices.Delete(s.idle, i, i+1)
			return p.stmt
		}
	}
	return nil
}

// put keeps a statement that its user is done with, or closes it, or another one.
func (s *statements) put(query string, stmt driver.Stmt) error {
	same := func(p prepared) bool { return p.query == query }
	if s.most == 0 || slices.ContainsFunc(s.idle, same) {
		return stmt.Close()
	}
	s.idle = append(s.idle, prepared{query, stmt})
	if len(s.idle) <= s.most {
		return nil
	}
	oldest := s.idle[0].stmt
	s.idle = slices.Delete(s.idle, 0, 1)
	return oldest.Close()
}
