package util

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// maxNames is how many names of children an error tells.
const maxNames = 5

// children is what is known of the children of a ZooKeeper node that are no servers,
// for the errors of Get.
type children struct {
	ensemble []string
	node     string
	begun    time.Time

	mu      sync.Mutex
	skipped map[string]error
	more    uint64 // that are not in skipped
}

// skip records a child that is no server.
func (c *children) skip(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.skipped[name]; !known && len(c.skipped) >= maxNames {
		c.more++
		return
	}
	if c.skipped == nil {
		c.skipped = map[string]error{}
	}
	c.skipped[name] = err
}

// count returns how many children were no servers.
func (c *children) count() uint64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return uint64(len(c.skipped)) + c.more
}

// explain adds to an error of Get why there is no server.
func (c *children) explain(err error) error {
	var known *core.Error
	if c == nil || !errors.As(err, &known) || !errors.Is(known.Kind, core.ErrNoEndpoint) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case known.State == core.StatePending && known.LastWatch == nil:
		return fmt.Errorf("util: ZooKeeper at %s has not told the children of %s, %v after Init: %w",
			strings.Join(c.ensemble, ","), c.node, time.Since(c.begun).Round(time.Millisecond), err)
	case known.State == core.StatePending:
		return err // it says why
	case len(c.skipped) == 0 && known.Endpoint == "":
		return fmt.Errorf("util: the node %s of ZooKeeper has no children, or does not exist: %w", c.node, err)
	case len(c.skipped) == 0:
		return err
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.skipped)) {
		names = append(names, fmt.Sprintf("%q (%v)", name, c.skipped[name]))
	}
	if c.more > 0 {
		names = append(names, fmt.Sprintf("and %d more", c.more))
	}
	return fmt.Errorf("util: children of the node %s of ZooKeeper are no servers: %s: %w", c.node, strings.Join(names, ", "), err)
}
