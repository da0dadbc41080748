package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// TestHelloFindsItsServersInKubernetes runs the programs of examples/hello with one URL, as
// their documentation says. An EndpointSlice cannot have a loopback address, so the server
// listens at the gateway of a network of containers that the test makes.
func TestHelloFindsItsServersInKubernetes(t *testing.T) {
	theCluster(t)
	k, err := theKubernetes()
	if err != nil {
		t.Skipf("no Kubernetes to test with: %v", err) // else theCluster has failed
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	output(t, ctx, "go", "-C", "../examples", "build", "-tags=registries", "-o", dir, "./hello/server", "./hello/front")

	server := child(t, filepath.Join(dir, "server"), "-addr", gateway(t, ctx)+":0", "-registry", "")
	path := newPath()
	if err := (rawKubernetes{k}).put(ctx, path, core.Endpoint{Addr: server}); err != nil {
		t.Fatal(err)
	}
	front := child(t, filepath.Join(dir, "front"), "-http", "127.0.0.1:0", "-registry", kubernetesURL(k)("", []string{k.Addr()}, path, ""))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+front+"/ada", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s, %q, %v", resp.Status, body, err)
	}
}

// gateway returns this machine's address in a new network of containers.
func gateway(t *testing.T, ctx context.Context) string { //nolint:revive // t first, as everywhere here
	t.Helper()
	name := fmt.Sprintf("multipool-hello-%d", os.Getpid())
	output(t, ctx, "docker", "network", "create", name)
	t.Cleanup(func() { output(t, context.WithoutCancel(ctx), "docker", "network", "rm", name) })
	return output(t, ctx, "docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", name)
}

func output(t *testing.T, ctx context.Context, command string, args ...string) string { //nolint:revive // see gateway
	t.Helper()
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return strings.TrimSpace(string(out))
}

// child starts a hello program, which ends with the test, and returns the address at which
// it says that it is ready.
func child(t *testing.T, command string, args ...string) string {
	t.Helper()
	cmd := exec.Command(command, append(args, "-child")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, lines)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", cmd, err)
		}
	})
	line, err := lines.ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ok {
		t.Fatalf("%s: %q, %v", cmd, line, err)
	}
	return addr
}
