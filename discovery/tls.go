package discovery

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS is whether and how a plugin connects to the servers of its registry with
// TLS. The zero TLS means plain connections. All files are PEM.
//
// A URL sets all fields but Config, by the parameters that [Params.TLS]
// declares. A program that has a [tls.Config] sets Enabled and Config.
type TLS struct {
	// Enabled switches TLS on.
	Enabled bool
	// CA is the file of the authorities that may sign the servers'
	// certificates. Empty means the system's.
	CA string
	// Cert and Key are the files of the client's own certificate. Empty means
	// none.
	Cert, Key string
	// ServerName is the name that the servers' certificates must be valid for.
	// Empty means the name or address by which each server is listed.
	ServerName string
	// Config replaces all other fields but Enabled. It must not be modified
	// afterwards. Watchers and registrars share connections only if they have
	// the same Config.
	Config *tls.Config
}

// TLS declares the parameters tls, tls_ca, tls_cert, tls_key and
// tls_server_name.
func (p *Params) TLS(v *TLS) {
	v.Config = nil
	p.Bool(&v.Enabled, "tls", false, "whether connections use TLS")
	p.String(&v.CA, "tls_ca", "", "file (PEM) of the authorities that may sign the servers' certificates; empty means the system's")
	p.String(&v.Cert, "tls_cert", "", "file (PEM) of the client's own certificate")
	p.String(&v.Key, "tls_key", "", "file (PEM) of the key of tls_cert")
	p.String(&v.ServerName, "tls_server_name", "", "name in the servers' certificates, if it is not the listed one")
	p.check("tls", func() error {
		err := v.Validate()
		if err == nil {
			_, err = v.Load()
		}
		return err
	})
}

// Validate reports fields that contradict each other. It reads no file.
func (t TLS) Validate() error {
	var errs []error
	if !t.Enabled && t != (TLS{}) {
		errs = append(errs, errors.New("TLS is configured and not switched on by tls=true"))
	}
	if (t.Cert == "") != (t.Key == "") {
		errs = append(errs, errors.New("tls_cert and tls_key must be set together"))
	}
	if t.Config != nil && t != (TLS{Enabled: t.Enabled, Config: t.Config}) {
		errs = append(errs, errors.New("a tls.Config replaces the files and the server name"))
	}
	return errors.Join(errs...)
}

// Load reads the files and returns a configuration that the caller may modify,
// nil if TLS is not enabled. A plugin calls it for each new connection or
// client, and so uses renewed certificates.
func (t TLS) Load() (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	if t.Config != nil {
		return t.Config.Clone(), nil
	}
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("discovery: tls_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("discovery: tls_ca: %s has no certificate", t.CA)
		}
	}
	if t.Cert != "" {
		cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("discovery: tls_cert and tls_key: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}
