package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// parse returns the set that is in a file. One mistake is an error of the whole.
func parse(data []byte) ([]discovery.Endpoint, error) {
	text := bytes.TrimSpace(data)
	if len(text) == 0 {
		return nil, errors.New("it is empty; a set without servers is [] or a comment")
	}
	if isJSON(text) {
		return parseJSON(data)
	}
	return parseLines(data)
}

// isJSON tells JSON from lines, whose first may begin with the bracket of an IPv6
// address. An object is another program's.
func isJSON(text []byte) bool {
	if text[0] != '[' {
		return text[0] == '{'
	}
	rest := bytes.TrimSpace(text[1:])
	return len(rest) == 0 || bytes.IndexByte([]byte(`{]["`), rest[0]) >= 0
}

func parseJSON(data []byte) ([]discovery.Endpoint, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields() // of another program's file
	set := []discovery.Endpoint{}
	err := d.Decode(&set)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more behind the array")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: it is not a JSON array of servers: %w", 1+bytes.Count(data[:offset(d, data, err)], []byte("\n")), err)
	}
	seen := make(map[string]int, len(set))
	for i, e := range set {
		if err := check(e, i+1, seen); err != nil {
			return nil, fmt.Errorf("entry %d of %d: %w", i+1, len(set), err)
		}
	}
	return set, nil
}

// offset returns where in data the decoder has failed.
func offset(d *json.Decoder, data []byte, err error) int64 {
	at := d.InputOffset()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		at = int64(len(data))
	} else if s := (*json.SyntaxError)(nil); errors.As(err, &s) {
		at = s.Offset
	} else if u := (*json.UnmarshalTypeError)(nil); errors.As(err, &u) {
		at = u.Offset
	}
	return min(at, int64(len(data)))
}

func parseLines(data []byte) ([]discovery.Endpoint, error) {
	if data[len(data)-1] != '\n' {
		return nil, errors.New("its last line does not end, so it may be half written")
	}
	set := []discovery.Endpoint{}
	seen := make(map[string]int)
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseLine(line)
		if err == nil {
			err = check(e, n, seen)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		set = append(set, e)
	}
	return set, nil
}

func parseLine(line string) (e discovery.Endpoint, err error) {
	fields := strings.Fields(line)
	e.Addr = fields[0]
	if len(fields) > 1 {
		if e.Weight, err = strconv.ParseFloat(fields[1], 64); err != nil || !(e.Weight > 0) {
			return e, fmt.Errorf("the weight %.32q is not a number above 0; a line is host:port [weight] [zone]", fields[1])
		}
	}
	if len(fields) > 2 {
		e.Zone = fields[2]
	}
	if len(fields) > 3 {
		return e, errors.New("it has more than three fields; a line is host:port [weight] [zone]")
	}
	return e, nil
}

// check returns why e, at a place in the file, cannot be a server. seen has the
// places of the addresses before it.
func check(e discovery.Endpoint, at int, seen map[string]int) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if first, ok := seen[e.Addr]; ok {
		return fmt.Errorf("%s is listed already, at %d", e.Addr, first)
	}
	seen[e.Addr] = at
	return nil
}
