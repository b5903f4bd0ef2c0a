package webhooks_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
	"github.com/keeptrusts/webhooks/clients/go/webhooksv1"
)

func TestACertificateThatIsNotTrustedFailsAtOnce(t *testing.T) {
	const notTrusted, refused = "certificate is not trusted.*CAFile", "refused the client's certificate.*CertificateFile and PrivateKeyFile"
	mutual := []string{"--tls-client-ca", "client-ca.pem"}
	own := webhooks.Options{CAFile: "server.pem"}
	for name, test := range map[string]struct {
		certificate string
		days        int
		flags       []string
		options     webhooks.Options
		text        string
	}{
		"unknown authority":     {"localhost", 2, nil, webhooks.Options{}, notTrusted},
		"expired":               {"localhost", -1, nil, own, notTrusted},
		"another name":          {"other.example", 2, nil, own, notTrusted},
		"no client certificate": {"localhost", 2, mutual, own, refused},
		"another client certificate": {
			"localhost", 2, mutual,
			webhooks.Options{CAFile: "server.pem", CertificateFile: "server.pem", PrivateKeyFile: "key.pem"}, refused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, append([]string{"--tls-cert", "server.pem", "--tls-key", "key.pem"}, test.flags...)...)
			makeClientCertificate(t, s.folder)
			makeCertificate(t, s.folder, test.certificate, test.days)
			s.start(t)
			options := test.options
			for _, file := range []*string{&options.CAFile, &options.CertificateFile, &options.PrivateKeyFile} {
				if *file != "" {
					*file = filepath.Join(s.folder, *file)
				}
			}
			options.Address = strings.Replace(s.address(), "http:", "https:", 1)
			options.Timeout = 3 * patience
			client := s.client(t, options)
			check := func(err error) {
				t.Helper()
				failed := failure(t, err)
				if failed.Code != codes.Unavailable || failed.IsTemporary() || !regexp.MustCompile(test.text).MatchString(failed.Error()) {
					t.Error(failed)
				}
			}

			began := time.Now()
			_, err := client.Publish(ctx, "default", violation(struct{}{}))
			check(err)
			request := &webhooksv1.WatchDeliveriesRequest{OrganizationId: "default"}
			within, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			changes := webhooks.Watch[*webhooksv1.WatchDeliveriesResponse](within, client.Dispatch.WatchDeliveries, request)
			if changes.Next() {
				t.Error("a change")
			}
			check(changes.Err())
			publisher := client.Publisher("default", webhooks.PublisherOptions{})
			_, err = must(publisher.Publish(ctx, violation(struct{}{})))(t).Wait(within)
			check(err)
			if took := time.Since(began); took > patience {
				t.Error(took)
			}
		})
	}
}

func TestFilesThatCannotBeUsedAreNamedWhenAClientIsMade(t *testing.T) {
	folder := t.TempDir()
	makeCertificate(t, folder, "localhost", 2)
	makeClientCertificate(t, folder)
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("empty.pem", "")
	write("garbage.pem", "-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n")
	write("words", "two words")
	for _, test := range []struct{ ca, certificate, key, apiKey, text string }{
		{"missing.pem", "", "", "", "cannot read CAFile: .*missing.pem"},
		{"empty.pem", "", "", "", "CAFile .*empty.pem has no certificate"},
		{"key.pem", "", "", "", "CAFile .*key.pem has no certificate"},
		{"garbage.pem", "", "", "", "CAFile .*garbage.pem has no certificate"},
		{"", "client.pem", "", "", "PrivateKeyFile, or neither"},
		{"", "", "client-key.pem", "", "PrivateKeyFile, or neither"},
		{"", "missing.pem", "key.pem", "", "cannot read CertificateFile: .*missing.pem"},
		{"", "client.pem", "missing.pem", "", "cannot read PrivateKeyFile: .*missing.pem"},
		{"", "key.pem", "key.pem", "", "CertificateFile .*key.pem has no certificate"},
		{"", "client.pem", "client.pem", "", "PrivateKeyFile .*client.pem cannot be used"},
		{"", "client.pem", "key.pem", "", "PrivateKeyFile .*key.pem cannot be used with CertificateFile .*client.pem: .*match"},
		{"", "", "", "missing", "cannot read APIKeyFile: .*missing"},
		{"", "", "", "empty.pem", "APIKeyFile .*empty.pem: the API key is empty"},
		{"", "", "", "words", "APIKeyFile .*words: the API key has characters"},
	} {
		path := func(name string) string {
			if name == "" {
				return ""
			}
			return filepath.Join(folder, name)
		}
		options := webhooks.Options{
			Address: "https://localhost", CAFile: path(test.ca), CertificateFile: path(test.certificate),
			PrivateKeyFile: path(test.key), APIKeyFile: path(test.apiKey),
		}
		if test.apiKey == "" {
			options.APIKey = "kt_key"
		}
		if _, err := webhooks.New(options); err == nil || !regexp.MustCompile(test.text).MatchString(err.Error()) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}
