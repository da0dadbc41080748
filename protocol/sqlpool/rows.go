package sqlpool

import (
	"bytes"
	"context"
	"database/sql/driver"
	"io"
	"reflect"
)

// rows are those of the driver. A failure while they are read ends the connection,
// also if the driver does not say so.
type rows struct {
	s    *session
	ctx  context.Context //nolint:containedctx // of the query, whose part the rows are
	raw  driver.Rows
	stop func()

	ahead []fetched // what database/sql has not asked for yet
}

// fetched is the result of one Next.
type fetched struct {
	row []driver.Value
	err error
}

// fetch gets the first two rows ahead of time, or fewer and the end, or the error of
// the query. With one row alone, a result of one row could still break off.
func (r *rows) fetch() error {
	for len(r.ahead) < 2 {
		f, err := r.read()
		if err != nil {
			_ = r.raw.Close()
			return err
		}
		r.ahead = append(r.ahead, f)
		if f.err != nil || !own(f.row) {
			break // at the end, or nothing more can be fetched ahead
		}
	}
	return nil //nolint:nilerr // the end is ahead, too
}

// read reads the next row, or the end, from the driver.
func (r *rows) read() (f fetched, err error) {
	f.row = make([]driver.Value, len(r.raw.Columns()))
	if f.err = r.raw.Next(f.row); f.err != nil && f.err != io.EOF { //nolint:errorlint // as database/sql compares it
		return fetched{}, f.err
	}
	return f, nil
}

// own copies what of a row belongs to the driver until the next one. It returns false
// if the row has a value that cannot be copied.
func own(row []driver.Value) bool {
	for i, v := range row {
		switch v := v.(type) {
		case []byte:
			row[i] = bytes.Clone(v)
		case driver.Rows: // a cursor
			return false
		}
	}
	return true
}

func (r *rows) Columns() []string { return r.raw.Columns() }

func (r *rows) Next(dest []driver.Value) error {
	if len(r.ahead) > 0 {
		f := r.ahead[0]
		r.ahead = r.ahead[1:]
		copy(dest, f.row)
		return f.err
	}
	return r.judge(func() error { return r.raw.Next(dest) })
}

func (r *rows) Close() error {
	defer r.stop()
	return r.judge(r.raw.Close)
}

// judge lets the driver work, and returns its error as database/sql is to see it.
func (r *rows) judge(f func() error) error {
	late := r.ctx.Err() != nil
	err := r.s.guarded(f)
	if err == nil || err == io.EOF { //nolint:errorlint // as database/sql compares it
		return err
	}
	_, err = r.s.ended(r.ctx, 0, err, late)
	return err
}

// The rest passes on what the driver has. database/sql takes the zero results for a
// driver that has it not.

func (r *rows) HasNextResultSet() bool {
	n, ok := r.raw.(driver.RowsNextResultSet)
	return ok && n.HasNextResultSet()
}

func (r *rows) NextResultSet() error {
	n, ok := r.raw.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	r.ahead = nil
	return r.judge(n.NextResultSet)
}

func (r *rows) ColumnTypeScanType(index int) reflect.Type {
	if t, ok := r.raw.(driver.RowsColumnTypeScanType); ok {
		return t.ColumnTypeScanType(index)
	}
	return reflect.TypeFor[any]()
}

func (r *rows) ColumnTypeDatabaseTypeName(index int) string {
	if t, ok := r.raw.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return t.ColumnTypeDatabaseTypeName(index)
	}
	return ""
}

func (r *rows) ColumnTypeLength(index int) (length int64, ok bool) {
	if t, has := r.raw.(driver.RowsColumnTypeLength); has {
		return t.ColumnTypeLength(index)
	}
	return 0, false
}

func (r *rows) ColumnTypeNullable(index int) (nullable, ok bool) {
	if t, has := r.raw.(driver.RowsColumnTypeNullable); has {
		return t.ColumnTypeNullable(index)
	}
	return false, false
}

func (r *rows) ColumnTypePrecisionScale(index int) (precision, scale int64, ok bool) {
	if t, has := r.raw.(driver.RowsColumnTypePrecisionScale); has {
		return t.ColumnTypePrecisionScale(index)
	}
	return 0, 0, false
}
