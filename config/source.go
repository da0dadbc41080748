package config

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Source is where the parameters of a pool come from: a file, and then the
// environment, which has the last word.
type Source struct {
	// File is the path of the file. Empty means none.
	File string
	// Prefix is that of the environment variables, such as "ECHO_"; see
	// [Config.ReadEnv]. Empty means that the environment is not read.
	Prefix string
	// Unmarshal reads the file. It is a function of the program's own library, such as
	// yaml.Unmarshal; see [Parse]. The default, nil, is JSON.
	Unmarshal func(data []byte, v any) error
}

// NewPool makes a pool of the registry and the parameters that a source names; m
// opens the registry. Options of the program hold where the source does not say
// otherwise. The errors are those of [Load], [Config.Watcher] and [core.New];
// nothing is dialed yet.
func NewPool[C io.Closer](s Source, m *discovery.Mux, d core.Dialer[C], opts ...core.Option) (*core.Pool[C], error) {
	c, err := Load(s)
	if err != nil {
		return nil, err
	}
	if !c.Registry.IsSet() {
		return nil, s.noRegistry()
	}
	watcher, err := c.Watcher(m)
	if err != nil {
		return nil, err
	}
	options, err := c.Options()
	if err != nil {
		return nil, err
	}
	return core.New(watcher, d, append(slices.Clip(opts), options...)...)
}

// Load reads the Config of a source: the file, see [Parse], and then the
// environment, see [Config.ReadEnv].
func Load(s Source) (Config, error) {
	var c Config
	if s.File != "" {
		data, err := os.ReadFile(s.File)
		if err != nil {
			return Config{}, fmt.Errorf("config: %w", err)
		}
		if c, err = Parse(data, s.Unmarshal); err != nil {
			return Config{}, fmt.Errorf("%s: %w", s.File, err)
		}
	}
	if s.Prefix != "" {
		if err := c.ReadEnv(s.Prefix); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// noRegistry says where a registry can be given.
func (s Source) noRegistry() error {
	var places []string
	if s.File != "" {
		places = append(places, `"registry" in `+s.File)
	}
	if s.Prefix != "" {
		places = append(places, "the environment variable "+s.Prefix+"REGISTRY")
	}
	if places == nil {
		return fmt.Errorf("%w: the Source has neither a File nor a Prefix", errNoRegistry)
	}
	err := fmt.Errorf(`%w: set %s to a URL such as "zk://h1:2181/services/echo"`, errNoRegistry, strings.Join(places, " or "))
	if unmatched := UnmatchedEnv(s.Prefix); len(unmatched) > 0 {
		err = fmt.Errorf("%w; of no parameter are %s", err, strings.Join(unmatched, ", "))
	}
	return err
}
