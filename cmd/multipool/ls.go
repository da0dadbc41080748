package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func lsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls URL",
		Short: "List the servers that a registry has now",
		Long: `ls prints the servers that a registry has now. Entries that are skipped, and other
warnings, go to stderr.

The exit code is 0 if there are servers, 1 if the registry cannot be used, 2 if the URL is
wrong, and 3 if the registry answers and has no server.

The JSON is an array that file:// reads: multipool ls -o json URL > servers.json is a
snapshot to fall back to.`,
		Example: `  multipool ls zk://10.0.0.1,10.0.0.2/services/echo
  multipool ls -o json 'etcd://10.0.0.1/services/echo/?format=kratos&where=zone:eu' | jq -r '.[].addr'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeURL(1),
	}
	out := outputFlag(cmd)
	timeout := cmd.Flags().Duration("timeout", 10*time.Second, "how long to wait for the registry")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w, err := openWatcher(args[0])
		if err != nil {
			return err
		}
		l := list(cmd.Context(), w, *timeout)
		if l.err != nil {
			return exit(exitFailed, fmt.Errorf("%w\n(multipool doctor URL looks for the cause)", l.err))
		}
		if l.warning != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", printableLines(l.warning.Error()))
		}
		if *out == asJSON {
			err = printJSON(cmd.OutOrStdout(), toServers(l.set))
		} else if len(l.set) > 0 {
			for _, line := range table(l.set) {
				if _, err = fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
					break
				}
			}
		}
		if err != nil {
			return exit(exitFailed, err)
		}
		if len(l.set) == 0 {
			return exit(exitNoServers, errors.New("the registry has no server there"))
		}
		return nil
	}
	return cmd
}

// listing is what a registry had.
type listing struct {
	set     []discovery.Endpoint // by address
	took    time.Duration        // until the set was there
	warning error                // of what the registry has
	err     error                // why there is no set
}

const (
	// settle is how long list waits for a warning when it has the set. A plugin warns
	// right behind its report.
	settle = 200 * time.Millisecond
	// settleEmpty is for an empty set, the reason for which a plugin asks the registry.
	settleEmpty = time.Second
)

// list returns what the registry has now. It ends at the first failure that a plugin
// would not outlast by itself, and with the last one after the timeout.
func list(ctx context.Context, w discovery.Watcher, timeout time.Duration) (l listing) {
	begun := time.Now()
	limit, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the registry has not answered in %v", timeout))
	defer cancel()
	known := false
	var retried, rejected error
	defer func() { l.warning = errors.Join(l.warning, rejected) }()
	discovery.Follow(limit, w, discovery.Follower{
		MaxEndpoints: discovery.DefaultMaxEndpoints,
		Changed: func(c discovery.Change) {
			l.set = slices.SortedFunc(slices.Values(c.Set), byAddr)
			if known {
				return
			}
			known, l.took = true, time.Since(begun)
			pause := settle
			if len(c.Set) == 0 {
				pause = settleEmpty
			}
			time.AfterFunc(pause, cancel)
		},
		Rejected: func(_ discovery.Endpoint, err error) { rejected = errors.Join(rejected, err) },
		Warned: func(err error) {
			// nil may be of the condition where alone, and the plugin's own comes behind it.
			if l.warning = err; known && err != nil {
				cancel()
			}
		},
		Retrying: func(err error) { retried = err },
		Lost: func(err error, _ time.Duration) {
			if retried = err; !known {
				cancel()
			}
		},
	})
	if known {
		return l
	}
	switch l.took = time.Since(begun); {
	case ctx.Err() != nil:
		l.err = ctx.Err()
	case retried != nil:
		l.err = retried
	default:
		l.err = context.Cause(limit)
	}
	return l
}
