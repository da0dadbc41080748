package discovery

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS is how a registry's URL says whether and how to talk TLS with its
// servers. The zero TLS says not to. Files are PEM.
type TLS struct {
	On bool
	// CA is the file of those who may sign the servers' certificates; empty
	// for those whom the system trusts.
	CA string
	// Cert and Key are the files of the client's own certificate; empty for
	// none.
	Cert, Key string
	// ServerName is what the servers' certificates must be for; empty for the
	// name by which each is reached.
	ServerName string
}

// TLS declares the parameters tls, tls_ca, tls_cert, tls_key and
// tls_server_name. A Backend has [TLS.Validate] look at what they say
// together.
func (p *Params) TLS(v *TLS) {
	p.Bool(&v.On, "tls", false, "whether to talk TLS with the servers")
	p.String(&v.CA, "tls_ca", "", "file (PEM) of those who may sign the servers' certificates; else whom the system trusts")
	p.String(&v.Cert, "tls_cert", "", "file (PEM) of the client's own certificate")
	p.String(&v.Key, "tls_key", "", "file (PEM) of the key that belongs to tls_cert")
	p.String(&v.ServerName, "tls_server_name", "", "what the servers' certificates must be for, if not the name by which they are reached")
}

// Validate reports what does not go together. It reads no file.
func (t TLS) Validate() error {
	var errs []error
	if !t.On && t != (TLS{}) {
		errs = append(errs, errors.New("TLS is set up, but not switched on by tls=true"))
	}
	if (t.Cert == "") != (t.Key == "") {
		errs = append(errs, errors.New("tls_cert and tls_key need each other"))
	}
	return errors.Join(errs...)
}

// Config reads the files and returns what they make, nil without TLS. Called
// again for each session with a registry, it finds certificates that were
// renewed.
func (t TLS) Config() (*tls.Config, error) {
	if !t.On {
		return nil, nil
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
