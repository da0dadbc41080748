// Package printing checks, in tests, that what is printed has no secrets.
package printing

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

// CheckHides fails the test if a way to print a value shows the secret that it has:
// the verbs of fmt, also where the value is a field that fmt calls no methods of,
// JSON, XML, gob, and the handlers of slog.
func CheckHides(t *testing.T, secret string, values ...any) {
	t.Helper()
	for _, v := range values {
		pointer := reflect.New(reflect.TypeOf(v))
		pointer.Elem().Set(reflect.ValueOf(v))
		for what, printed := range map[string]string{
			"itself": everyWay(v), "a pointer to it": everyWay(pointer.Interface()), "a field": everyWay(struct{ v any }{v}),
			"an exported field": everyWay(struct{ V any }{v}), "a list": everyWay([]any{v}), "a map": everyWay(map[string]any{"v": v}),
		} {
			for how, hidden := range map[string]string{
				"as it is": secret, "in hexadecimal": hex.EncodeToString([]byte(secret)), "in base64": base64.StdEncoding.EncodeToString([]byte(secret)),
			} {
				if i := strings.Index(strings.ToLower(printed), strings.ToLower(hidden)); i >= 0 {
					t.Errorf("%T, %s, shows its secret %s: ...%s", v, what, how, printed[max(0, i-100):i])
				}
			}
		}
	}
}

// everyWay prints v in every way. Those that refuse it say why.
func everyWay(v any) string {
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	text, err := json.Marshal(v)
	fmt.Fprintf(&b, "%s %v\n", text, err)
	text, err = xml.Marshal(v)
	fmt.Fprintf(&b, "%s %v\n", text, err)
	fmt.Fprintf(&b, "%v\n", gob.NewEncoder(&b).Encode(v))
	slog.New(slog.NewTextHandler(&b, nil)).Info("it", "value", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("it", "value", v)
	return b.String()
}
