package etcd

import (
	"context"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// certificates are TLS credentials that read their files for each connection: a
// client lives as long as its program, and certificates are renewed meanwhile.
type certificates struct{ tls discovery.TLS }

// ClientHandshake implements [credentials.TransportCredentials].
func (c certificates) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, err := c.tls.Load()
	if err != nil {
		return nil, nil, err
	}
	secure, info, err := credentials.NewTLS(config).ClientHandshake(ctx, authority, conn)
	if err != nil {
		return nil, nil, err
	}
	return alertConn{secure}, info, nil
}

// ServerHandshake implements [credentials.TransportCredentials].
func (certificates) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.ErrUnsupported
}

// Info implements [credentials.TransportCredentials].
func (certificates) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements [credentials.TransportCredentials].
func (c certificates) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements [credentials.TransportCredentials].
func (certificates) OverrideServerName(string) error { return errors.ErrUnsupported }

// alertConn is a TLS connection whose failed write returns the server's reason
// if the server has sent one. In TLS 1.3 a server refuses the client's
// certificate after the client's handshake, and the client may find a closed
// connection before it has read why.
type alertConn struct{ net.Conn }

// alertPatience is how long a server's reason may take to be read after a write
// has failed: it came before the close that failed the write.
const alertPatience = 100 * time.Millisecond

// Write implements [net.Conn].
func (c alertConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil {
		return n, nil
	}
	// The connection is lost, so its answers and its deadline do not matter.
	_ = c.SetReadDeadline(time.Now().Add(alertPatience))
	for discard := make([]byte, 1024); ; {
		_, readErr := c.Read(discard)
		if alert := new(net.OpError); errors.As(readErr, &alert) && alert.Op == "remote error" {
			return n, readErr
		}
		if readErr != nil {
			return n, err
		}
	}
}
