package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

// calls are how many each caller makes to a mixed fleet.
const calls = 10_000

// mixed is a fleet of two servers of theirs and two of ours, and what part of the calls
// of each side's callers they get, in percent.
type mixed struct {
	weights, theirs, ours string
}

// mix starts the fleet, with ports that begin as given, and has it called by both sides.
// e.picks must be set.
func (e *ecosystem) mix(ctx context.Context, url, port string, command []string, their, our func(addr, weight, zone string) []string) (m mixed, err error) {
	fleet := newView()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := watchOurs(ctx, url, fleet); err != nil {
		return m, err
	}
	addrs := make([]string, 4)
	weights, zone := []string{"10", "20", "30", "40"}, "eu"
	unit := 1.0 // of their weights, in ours
	for i := range addrs {
		addrs[i] = port + "00" + strconv.Itoa(i+1)
		if e.plain {
			weights[i], zone = "0", ""
		}
		register := their
		if i >= 2 {
			register = our
			served, err := start(ctx, append(append([]string{}, command...), "serve", e.registry+"://", e.service, addrs[i])...)
			if err != nil {
				return m, err
			}
			defer served.kill()
		}
		weight, _ := strconv.ParseFloat(weights[i], 64)
		if i >= 2 {
			weight *= unit
		}
		p, err := start(ctx, register(addrs[i], strconv.FormatFloat(weight, 'g', -1, 64), zone)...)
		if err != nil {
			return m, err
		}
		defer func() { _ = p.exit() }()
		if _, ok := fleet.await(ctx, addrs[i], true, soon); !ok {
			return m, fmt.Errorf("%s is not found", addrs[i])
		}
		if s, _ := fleet.find(addrs[0]); i == 0 && !e.plain {
			unit = s.Weight / weight
		}
	}
	// Servers of before may be there until their leases end.
	if _, ok := fleet.until(ctx, forgets, func(set []peer.Server) bool { return len(set) == len(addrs) }); !ok {
		return m, errors.New("there are others than the four")
	}
	m.weights = strings.Join(weights, " ")
	if e.plain {
		m.weights = "none"
	}
	if m.ours, err = callOurs(ctx, url, addrs); err != nil {
		return m, err
	}
	m.theirs, err = callTheirs(ctx, addrs, append(append([]string{}, command...), "pick", e.registry+"://"+registryOf(url), e.service, strconv.Itoa(calls))...)
	return m, err
}

// registryOf returns the address in a URL of ours.
func registryOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return rest[:strings.IndexAny(rest, "/?")]
}

// callTheirs returns the parts that the project's own balancer gives to the servers.
func callTheirs(ctx context.Context, addrs []string, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the programs of this folder
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, last(string(exit.Stderr)))
		}
		return "", err
	}
	var picked map[string]int
	if err := json.Unmarshal([]byte(last(string(out))), &picked); err != nil {
		return "", err
	}
	return shares(addrs, picked), nil
}

// callOurs returns the parts that a pool of ours gives to the servers.
func callOurs(ctx context.Context, url string, addrs []string) (string, error) {
	w, err := newMux().Open(url)
	if err != nil {
		return "", err
	}
	dial := core.DialFunc[io.Closer](func(ctx context.Context, e core.Endpoint) (io.Closer, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", e.Addr)
	})
	pool, err := core.New(w, dial, core.WithBalancer(balance.WeightedRoundRobin()))
	if err != nil {
		return "", err
	}
	defer func() { _ = pool.Close(ctx) }()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	picked := map[string]int{}
	for range calls {
		lease, err := pool.Get(ctx)
		if err != nil {
			return "", err
		}
		picked[lease.Endpoint().Addr]++
		lease.Release()
	}
	return shares(addrs, picked), nil
}

// shares writes how many percent each server got.
func shares(addrs []string, picked map[string]int) string {
	total := 0
	for _, n := range picked {
		total += n
	}
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = fmt.Sprintf("%.1f", 100*float64(picked[a])/float64(total))
		delete(picked, a)
	}
	if len(picked) > 0 {
		words = append(words, fmt.Sprintf("and %d others", len(picked)))
	}
	return strings.Join(words, " ")
}
