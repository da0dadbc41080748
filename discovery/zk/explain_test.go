package zk_test

import (
	"fmt"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// TestWrongFormatIsNamed has the most likely mistake: the default format, which reads no
// data.
func TestWrongFormatIsNamed(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	create(t, conn, root, "")
	for i := range 3 {
		create(t, conn, fmt.Sprintf("%s/id-%d", root, i), fmt.Sprintf(`{"name":"plain","id":"id-%d","address":"10.0.0.1","port":%d,"sslPort":null,"payload":null,`+
			`"registrationTimeUTC":1795820034037,"serviceType":"DYNAMIC","uriSpec":null}`, i, i+1))
	}
	plugintest.AwaitWarning(t, zk.Watcher(list, root), "below "+root+": 0 of 3 entries are servers in format name; 3 look like curator")
}

func TestWrongLevelOfThePathIsNamed(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	create(t, conn, root, "")
	create(t, conn, root+"/consumers", "")
	create(t, conn, root+"/providers", "")
	create(t, conn, root+"/providers/tri%3A%2F%2F127.0.0.1%3A20882%2Fcom.example.Greet%3Fweight%3D0", "")
	dubbo := zk.WithFormat(format.Dubbo(""))
	plugintest.AwaitWarning(t, zk.Watcher(list, root, dubbo),
		"0 of 2 entries are servers in format dubbo; one level down, below providers: 1 of 1 entries are servers in format dubbo")
	plugintest.AwaitWarning(t, zk.Watcher(list, root+"/providers/none", dubbo),
		"nothing is below "+root+"/providers/none; one level up, below "+root+"/providers: 1 of 1 entries")
}
