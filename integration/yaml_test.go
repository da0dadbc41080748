package integration

import (
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/minicaptain/multi_connection_pool/config"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestConfigIsReadFromYAML(t *testing.T) {
	c, err := config.Parse([]byte("# of the echo service\nregistry: zk://h1:2181/services/echo\nmax_active: 64\nidle_timeout: 1m30s\nmax_total:\n"), yaml.Unmarshal)
	want := config.Config{Registry: discovery.NewSecret("zk://h1:2181/services/echo"), MaxActive: 64, IdleTimeout: "1m30s"}
	if !reflect.DeepEqual(c, want) || err != nil {
		t.Errorf("got %v, error %v", c, err)
	}
	for text, want := range map[string]string{
		"max_active: '64'":   `max_active is the text "64": write the number without quotes`,
		"max_active: 6.4":    "max_active is the number 6.4: write a whole number",
		"idle_timeout: 90":   "idle_timeout is the number 90: write a duration",
		"idle_timeot: 1m":    "did you mean idle_timeout?",
		"max_active: [1, 2]": "max_active is a list or an object",
		"max_active: {":      "yaml: ",
		"just text":          "yaml: ",
	} {
		if _, err := config.Parse([]byte(text), yaml.Unmarshal); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}
