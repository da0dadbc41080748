package static

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// TestNameOfSeveralAddressesInAURLIsReportedAndOffersDNS has the event of a pool.
func TestNameOfSeveralAddressesInAURLIsReportedAndOffersDNS(t *testing.T) {
	var mux discovery.Mux
	mux.Handle("static", Opener)
	opened, err := mux.Open("static://10.0.0.1:80,many:80,pair:80,two:80,unknown:80,hung:80,unix:%2Frun%2Fx")
	if err != nil {
		t.Fatal(err)
	}
	w := opened.(*Fixed)
	if w.lookUp == nil {
		t.Fatal("names are not looked up")
	}
	w.lookUp = func(ctx context.Context, host string) ([]netip.Addr, error) {
		v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
		switch host {
		case "many":
			return []netip.Addr{v4, v4.Next(), v4.Next().Next(), v6}, nil
		case "pair":
			return []netip.Addr{v4, v4.Next()}, nil
		case "two":
			return []netip.Addr{v4, v6}, nil // of one server
		case "hung":
			<-ctx.Done()
			return nil, ctx.Err()
		default:
			return nil, errors.New("not found: " + host)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var got []string
		pool, err := core.New(w, core.DialFunc[none](func(context.Context, discovery.Endpoint) (none, error) { return none{}, nil }),
			core.WithObserver(func(e core.Event) {
				if e.Kind == core.EventWatchWarning {
					got = append(got, e.Err.Error())
				}
			}))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := pool.Close(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		many := "static: many:80 is a name of 3 addresses and counts as one server; to have a server for each, use dns:///many:80"
		pair := "static: pair:80 is a name of 2 addresses and counts as one server; to have a server for each, use dns:///pair:80"
		if want := []string{many, many + "\n" + pair}; !slices.Equal(got, want) {
			t.Errorf("events %q", got)
		}
	})
}

// none is a connection.
type none struct{}

func (none) Close() error { return nil }
