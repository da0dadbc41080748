//go:build go1.26

package httppool

import (
	"bytes"
	"io"
	"net/http"
	"reflect"
	"strings"
)

// maxMemoryBody is the largest body, in bytes, that net/http gets as it is. A larger
// one is read through a requestBody, since each read shows that the server takes
// something, and its first write is one of many anyway.
const maxMemoryBody = 16 << 10

// inMemory reports whether net/http would send the body of an HTTP/1.1 request in
// one write with its header, which it does where it knows that reading does not
// wait, and whether nothing is lost by letting it: the body has the announced
// length, it can be had again, and closing it does nothing.
func inMemory(req *http.Request, body io.ReadCloser) bool {
	if req.GetBody == nil || req.ContentLength <= 0 || req.ContentLength > maxMemoryBody || req.Header.Get("Expect") != "" {
		return false
	}
	switch reflect.TypeOf(body) {
	case reflect.TypeOf(io.NopCloser(nil)), reflect.TypeOf(io.NopCloser(new(bytes.Buffer))):
	default:
		return false
	}
	var n int
	switch r := reflect.ValueOf(body).Field(0).Interface().(type) {
	case *bytes.Reader:
		n = r.Len()
	case *bytes.Buffer:
		n = r.Len()
	case *strings.Reader:
		n = r.Len()
	default:
		return false
	}
	return int64(n) == req.ContentLength
}
