package webhooks_test

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
)

// patience is how long anything may take.
const patience = 30 * time.Second

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

var keyFlags = []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"}

func openssl(t *testing.T, folder string, first []string, words ...string) {
	t.Helper()
	command := exec.Command("openssl", append(append([]string{}, first...), words...)...)
	command.Dir = folder
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// makeCertificate makes server.pem and key.pem, self-signed; of localhost: for 127.0.0.1 too. -1 days: expired.
func makeCertificate(t *testing.T, folder, name string, days int) {
	t.Helper()
	names := "DNS:" + name
	if name == "localhost" {
		names += ",IP:127.0.0.1"
	}
	extensions := "subjectAltName=" + names + "\nbasicConstraints=CA:TRUE\n"
	if err := os.WriteFile(filepath.Join(folder, "server.ext"), []byte(extensions), 0o600); err != nil {
		t.Fatal(err)
	}
	openssl(t, folder, append([]string{"req", "-subj", "/CN=" + name}, keyFlags...),
		"-keyout", "key.pem", "-out", "server.csr")
	openssl(t, folder, []string{"x509", "-req", "-in", "server.csr", "-signkey", "key.pem", "-extfile", "server.ext"},
		"-days", fmt.Sprint(days), "-out", "server.pem")
}

// makeClientCertificate makes client.pem and client-key.pem, by the authority client-ca.pem.
func makeClientCertificate(t *testing.T, folder string) {
	t.Helper()
	openssl(t, folder, append([]string{"req", "-x509", "-days", "2", "-subj", "/CN=authority"}, keyFlags...),
		"-keyout", "client-ca-key.pem", "-out", "client-ca.pem")
	openssl(t, folder, append([]string{"req", "-subj", "/CN=client"}, keyFlags...),
		"-keyout", "client-key.pem", "-out", "client.csr")
	// An extension makes it a certificate of version 3; others are refused.
	if err := os.WriteFile(filepath.Join(folder, "client.ext"), []byte("extendedKeyUsage=clientAuth\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	openssl(t, folder, []string{"x509", "-req", "-days", "2", "-in", "client.csr", "-extfile", "client.ext"},
		"-CA", "client-ca.pem", "-CAkey", "client-ca-key.pem", "-CAcreateserial", "-out", "client.pem")
}

// server is a real server, on SQLite in a folder of its own: the binary that KEEPTRUSTS_WEBHOOKS_BINARY names. It
// keeps its port and its key when it is started again.
type server struct {
	folder  string
	key     string
	port    int
	flags   []string
	process *exec.Cmd
}

func newServer(t *testing.T, flags ...string) *server {
	t.Helper()
	random := make([]byte, 32)
	_ = must(rand.Read(random))(t)
	s := &server{folder: t.TempDir(), key: "kt_" + hex.EncodeToString(random), port: freePort(t), flags: flags}
	makeCertificate(t, s.folder, "localhost", 2)
	if err := os.Mkdir(filepath.Join(s.folder, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

func (s *server) start(t *testing.T) *server {
	t.Helper()
	log := must(os.OpenFile(filepath.Join(s.folder, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600))(t)
	defer log.Close()
	flags := append([]string{"serve", "--no-console", "--listen", fmt.Sprintf("127.0.0.1:%d", s.port), "--data-dir", "data",
		"--allow-network", "127.0.0.0/8", "--trust-ca", "server.pem"}, s.flags...)
	s.process = exec.Command(os.Getenv("KEEPTRUSTS_WEBHOOKS_BINARY"), flags...)
	s.process.Dir = s.folder
	s.process.Env = append(os.Environ(), "KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY="+s.key)
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server listens", func() bool {
		connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			connection.Close()
		}
		return err == nil
	})
	return s
}

// kill is as a power cut: no time to say goodbye.
func (s *server) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}

func (s *server) address() string { return fmt.Sprintf("http://127.0.0.1:%d", s.port) }

func (s *server) client(t *testing.T, options webhooks.Options) *webhooks.Client {
	t.Helper()
	if options.Address == "" {
		options.Address = s.address()
	}
	if options.APIKey == "" {
		options.APIKey = s.key
	}
	client := must(webhooks.New(options))(t)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

type delivery struct {
	header http.Header
	body   []byte
}

// receiver is an HTTPS server that keeps what it gets and answers 204.
type receiver struct {
	*httptest.Server
	mutex      sync.Mutex
	deliveries []delivery
}

func newReceiver(t *testing.T, s *server) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.deliveries = append(r.deliveries, delivery{request.Header, body})
		response.WriteHeader(http.StatusNoContent)
	}))
	pair := must(tls.LoadX509KeyPair(filepath.Join(s.folder, "server.pem"), filepath.Join(s.folder, "key.pem")))(t)
	r.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) received() []delivery {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return append([]delivery{}, r.deliveries...)
}
