package format

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// object is a JSON object of a program in Java or Python, for which names that differ in
// the case of their letters are different names. Its methods read one field as Jackson
// does: a number or boolean may be a text.
type object map[string]json.RawMessage

func objectOf(value []byte) (object, error) {
	var o object
	return o, unmarshal(value, &o)
}

// string returns the field k; one that is absent or null is empty.
func (o object) string(k string) (string, error) {
	s, _ := text(o[k])
	if raw := o[k]; len(raw) > 0 && (raw[0] == '{' || raw[0] == '[') {
		return "", fmt.Errorf("%s is not a text", k)
	}
	return s, nil
}

// int returns the field k, nil if it is absent or null.
func (o object) int(k string) (*int, error) {
	s, err := o.string(k)
	if err != nil || s == "" {
		return nil, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < math.MinInt32 || n > math.MaxInt32 {
		return nil, fmt.Errorf("%s is not a number: %q", k, brief.Clip(s))
	}
	i := int(n)
	return &i, nil
}

// bool returns the field k, absent if it is absent. As of a boolean of Java, null is
// false.
func (o object) bool(k string, absent bool) (bool, error) {
	raw, ok := o[k]
	if !ok {
		return absent, nil
	}
	s, _ := text(raw)
	switch strings.TrimSpace(s) {
	case "true", "True", "TRUE", "1":
		return true, nil
	case "false", "False", "FALSE", "0", "":
		return false, nil
	default:
		return false, fmt.Errorf("%s is neither true nor false: %q", k, brief.Clip(s))
	}
}
