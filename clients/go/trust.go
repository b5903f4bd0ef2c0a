package webhooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// config is TLS as the options say.
func (o Options) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		_, pool, err := readCertificates("CAFile", o.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if (o.CertificateFile == "") != (o.PrivateKeyFile == "") {
		return nil, errors.New("give CertificateFile and PrivateKeyFile, or neither: they belong together")
	}
	if o.CertificateFile != "" {
		chain, _, err := readCertificates("CertificateFile", o.CertificateFile)
		if err != nil {
			return nil, err
		}
		key, err := os.ReadFile(o.PrivateKeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read PrivateKeyFile: %w", err)
		}
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return nil, fmt.Errorf("PrivateKeyFile %s cannot be used with CertificateFile %s: %w", o.PrivateKeyFile, o.CertificateFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func readCertificates(option, file string) ([]byte, *x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read %s: %w", option, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("%s %s has no certificate that can be read (PEM)", option, file)
	}
	return pem, pool, nil
}

// distrust says of a client's connections why the server is not trusted, or does not trust the client. gRPC has
// only UNAVAILABLE for it, as for what passes with time.
type distrust struct {
	mutex sync.Mutex
	why   string
}

// reason is why the last connection failed, or empty.
func (d *distrust) reason() string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.why
}

func (d *distrust) set(why string) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.why = why
}

// distrustOf is what to do about an error of TLS that does not pass with time. Empty: it may pass.
func distrustOf(err error) string {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		name      x509.HostnameError
		roots     x509.SystemRootsError
		remote    *net.OpError
	)
	if errors.As(err, &authority) || errors.As(err, &invalid) || errors.As(err, &name) || errors.As(err, &roots) {
		return fmt.Sprintf("the server's certificate is not trusted: %v. Give the authority that issued it as CAFile, and an address that the certificate names; if it has expired, its server needs another one", err)
	}
	// An alert of the server's (RFC 8446 section 6.2), whose type older versions of crypto/tls do not show.
	if errors.As(err, &remote) && remote.Op == "remote error" &&
		(strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "access denied")) {
		return fmt.Sprintf("the server has refused the client's certificate: %v. Give one that the server accepts as CertificateFile and PrivateKeyFile", err)
	}
	return ""
}

// observedTLS is TLS that remembers distrust.
type observedTLS struct {
	credentials.TransportCredentials
	distrust *distrust
}

func (o observedTLS) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	connection, info, err := o.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		o.distrust.set(distrustOf(err))
		return nil, nil, err
	}
	return &observedConnection{Conn: connection, distrust: o.distrust}, info, nil
}

func (o observedTLS) Clone() credentials.TransportCredentials {
	return observedTLS{o.TransportCredentials.Clone(), o.distrust}
}

// observedConnection waits for the server's first bytes: with TLS 1.3 the client's handshake is over before the
// server has seen the client's certificate.
type observedConnection struct {
	net.Conn
	distrust *distrust
	isOpen   atomic.Bool
}

func (c *observedConnection) Read(buffer []byte) (int, error) {
	count, err := c.Conn.Read(buffer)
	c.observe(count, err)
	return count, err
}

func (c *observedConnection) Write(bytes []byte) (int, error) {
	count, err := c.Conn.Write(bytes)
	if err != nil && !c.isOpen.Load() {
		// The server has closed it. What it sent before says why.
		_ = c.Conn.SetReadDeadline(time.Now().Add(time.Second))
		c.observe(c.Conn.Read(make([]byte, 1)))
	}
	return count, err
}

func (c *observedConnection) observe(count int, err error) {
	switch {
	case c.isOpen.Load():
	case count > 0:
		c.isOpen.Store(true)
		c.distrust.set("")
	case err != nil:
		if why := distrustOf(err); why != "" {
			c.distrust.set(why)
		}
	}
}
