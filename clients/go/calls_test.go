package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
	"github.com/keeptrusts/webhooks/clients/go/webhooksv1"
)

var ctx = context.Background()

func violation(data any) webhooks.Event { return webhooks.Event{Type: "policy.violation", Data: data} }

func createEndpoint(t *testing.T, client *webhooks.Client, organization, url string) *webhooksv1.CreateEndpointResponse {
	t.Helper()
	endpoint := &webhooksv1.Endpoint{DisplayName: "tests", Url: url, EventTypes: []string{"policy.violation"}}
	request := &webhooksv1.CreateEndpointRequest{OrganizationId: organization, Endpoint: endpoint}
	response := must(client.Endpoints.CreateEndpoint(ctx, request))(t)
	if request.GetRequestId() != "" {
		t.Error("the caller's request is changed")
	}
	return response
}

func failure(t *testing.T, err error) *webhooks.Error {
	t.Helper()
	var failed *webhooks.Error
	if !errors.As(err, &failed) || status.Code(err) != failed.Code {
		t.Fatalf("%v is no *webhooks.Error", err)
	}
	return failed
}

func stored(t *testing.T, client *webhooks.Client, organization string, pageSize int32) []string {
	t.Helper()
	request := &webhooksv1.ListEventsRequest{OrganizationId: organization, PageSize: pageSize}
	events := webhooks.Iterate[*webhooksv1.Event](ctx, client.Ingest.ListEvents, request)
	var ids []string
	for events.Next() {
		ids = append(ids, events.Item().GetId())
	}
	if events.Err() != nil || request.GetPageToken() != "" {
		t.Fatal(events.Err(), request)
	}
	return ids
}

// sameOnce fails unless both have the same ids, each once.
func sameOnce(t *testing.T, stored, published []string) {
	t.Helper()
	sort.Strings(stored)
	sort.Strings(published)
	if !reflect.DeepEqual(stored, published) {
		t.Fatalf("%d are stored and %d were published", len(stored), len(published))
	}
	for i := 1; i < len(published); i++ {
		if published[i] == published[i-1] {
			t.Fatalf("%s was published twice", published[i])
		}
	}
}

func TestAgainstAServer(t *testing.T) {
	s := newServer(t).start(t)
	r := newReceiver(t, s)
	client := s.client(t, webhooks.Options{})

	t.Run("an event is delivered and its signatures are valid", func(t *testing.T) {
		secret := createEndpoint(t, client, "delivered", r.URL).GetSecret()
		event := must(client.Publish(ctx, "delivered", violation(map[string]string{"policy": "Grüße <&>"})))(t)
		eventually(t, "the delivery has come", func() bool { return len(r.received()) > 0 })
		got := r.received()[0]
		if id := must(webhooks.Verify(got.header, got.body, secret))(t); id != event.GetEventId() {
			t.Error(id)
		}
		if err := webhooks.VerifyBody(got.header, got.body, secret); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(got.body), `{"policy":"Grüße <&>"}`) {
			t.Error(string(got.body))
		}
	})

	t.Run("the same key publishes once", func(t *testing.T) {
		event := webhooks.Event{Type: "policy.violation", Data: map[string]int{"a": 1}, IdempotencyKey: "key"}
		first := must(client.Publish(ctx, "once", event))(t)
		again := must(client.Publish(ctx, "once", event))(t)
		if again.GetEventId() != first.GetEventId() || first.GetDuplicate() || !again.GetDuplicate() {
			t.Error(first, again)
		}
		event.Data = map[string]int{"a": 2}
		_, err := client.Publish(ctx, "once", event)
		if failed := failure(t, err); failed.Code != codes.AlreadyExists || failed.Reason != "IDEMPOTENCY_KEY_REUSED" {
			t.Error(failed)
		}
	})

	t.Run("errors say which fields are wrong and which request it was", func(t *testing.T) {
		_, err := client.Publish(ctx, "errors", webhooks.Event{Type: "no.such.type", Data: struct{}{}})
		failed := failure(t, err)
		if failed.Code != codes.InvalidArgument || failed.Reason != "INVALID_FIELD" || failed.RetryDelay != nil {
			t.Error(failed)
		}
		if len(failed.FieldViolations) != 1 || failed.FieldViolations[0].Field != "event_type" {
			t.Error(failed.FieldViolations)
		}
		if failed.RequestID == "" || !strings.Contains(failed.Error(), failed.RequestID) {
			t.Error(failed)
		}
	})

	t.Run("pages are read one after the other", func(t *testing.T) {
		var published []string
		for n := 0; n < 7; n++ {
			published = append(published, must(client.Publish(ctx, "pages", violation(map[string]int{"n": n})))(t).GetEventId())
		}
		sameOnce(t, stored(t, client, "pages", 2), published)
		wrong := webhooks.Iterate[*webhooksv1.Endpoint](ctx, client.Ingest.ListEvents, &webhooksv1.ListEventsRequest{OrganizationId: "pages"})
		if wrong.Next() || wrong.Err() == nil {
			t.Error("events are no endpoints")
		}
	})

	t.Run("a call has a deadline, its retries end with it, and what may not be repeated is called once", func(t *testing.T) {
		nobody := s.client(t, webhooks.Options{Address: "http://127.0.0.1:1", Timeout: time.Second})
		began := time.Now()
		_, err := nobody.Publish(ctx, "default", violation(struct{}{}))
		if failed := failure(t, err); failed.Code != codes.Unavailable {
			t.Error(failed)
		}
		if took := time.Since(began); took < 300*time.Millisecond || took > 3*time.Second {
			t.Error(took)
		}
		began = time.Now()
		_, err = nobody.Endpoints.RevealSecret(ctx, &webhooksv1.RevealSecretRequest{OrganizationId: "default"})
		if failure(t, err); time.Since(began) > 3*time.Second {
			t.Error(time.Since(began))
		}
	})

	t.Run("the key is taken from a file, refused if it is wrong, and not shown", func(t *testing.T) {
		file := filepath.Join(s.folder, "key")
		if err := os.WriteFile(file, []byte(s.key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("KEEPTRUSTS_WEBHOOKS_ADDRESS", s.address())
		t.Setenv("KEEPTRUSTS_WEBHOOKS_API_KEY_FILE", file)
		client := must(webhooks.New(webhooks.Options{}))(t)
		defer client.Close()
		if caller := must(client.Access.WhoAmI(ctx, &webhooksv1.WhoAmIRequest{}))(t); caller.GetRole() != webhooksv1.Role_ROLE_ADMIN {
			t.Error(caller)
		}
		options := webhooks.Options{APIKey: s.key}
		if text := fmt.Sprintf("%v %+v %#v %v %+v", options, options, options, client, *client); strings.Contains(text, s.key) {
			t.Error("the key is shown")
		}
		_, err := s.client(t, webhooks.Options{APIKey: "kt_wrong"}).Access.WhoAmI(ctx, &webhooksv1.WhoAmIRequest{})
		if failed := failure(t, err); failed.Code != codes.Unauthenticated || strings.Contains(failed.Error(), "kt_wrong") {
			t.Error(failed)
		}
	})
}

func TestTheConfigurationIsChecked(t *testing.T) {
	for _, address := range []string{"", "http://webhooks.example.com", "webhooks.example.com", "ftp://localhost", "https://"} {
		if _, err := webhooks.New(webhooks.Options{Address: address, APIKey: "kt_key"}); err == nil || strings.Contains(err.Error(), "kt_key") {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := webhooks.New(webhooks.Options{Address: "https://localhost"}); err == nil || !strings.Contains(err.Error(), "KEEPTRUSTS_WEBHOOKS_API_KEY") {
		t.Error(err)
	}
}

func TestTLSWithAnAuthorityOfItsOwnAndAClientCertificate(t *testing.T) {
	s := newServer(t, "--tls-cert", "server.pem", "--tls-key", "key.pem", "--tls-client-ca", "client-ca.pem")
	makeClientCertificate(t, s.folder)
	s.start(t)
	complete := webhooks.Options{
		Address:         strings.Replace(s.address(), "http:", "https:", 1),
		CAFile:          filepath.Join(s.folder, "server.pem"),
		CertificateFile: filepath.Join(s.folder, "client.pem"),
		PrivateKeyFile:  filepath.Join(s.folder, "client-key.pem"),
	}
	_ = must(s.client(t, complete).Access.WhoAmI(ctx, &webhooksv1.WhoAmIRequest{}))(t)
}

func TestAWatchGoesOnWhereItWasWhenTheServerCrashes(t *testing.T) {
	s := newServer(t).start(t)
	r := newReceiver(t, s)
	client := s.client(t, webhooks.Options{})
	createEndpoint(t, client, "watch", r.URL)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	// What was published before the watch began is not seen, so it goes on until there is a change.
	began, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := client.Publish(ctx, "watch", violation(struct{}{})); err != nil {
				t.Error(err)
			}
			select {
			case <-began:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	request := &webhooksv1.WatchDeliveriesRequest{OrganizationId: "watch"}
	changes := webhooks.Watch[*webhooksv1.WatchDeliveriesResponse](ctx, client.Dispatch.WatchDeliveries, request)
	if !changes.Next() {
		t.Fatal(changes.Err())
	}
	close(began)
	<-done

	s.kill()
	s.start(t)
	event := must(client.Publish(ctx, "watch", violation(struct{}{})))(t).GetEventId()
	eventually(t, "it is delivered, while nobody watches", func() bool {
		for _, got := range r.received() {
			if got.header.Get("webhook-id") == event {
				return true
			}
		}
		return false
	})
	for changes.Next() {
		if changes.Change().GetDelivery().GetEventId() == event {
			return
		}
	}
	t.Fatal(changes.Err())
}

func TestPublishingGoesOnAfterCrashesAndNothingIsLostOrDoubled(t *testing.T) {
	s := newServer(t).start(t)
	client := s.client(t, webhooks.Options{})
	const count = 150
	published := make(chan string, count)
	go func() {
		defer close(published)
		for n := 0; n < count; n++ {
			event, err := client.Publish(ctx, "crash", violation(map[string]int{"n": n}))
			if err != nil {
				t.Error(err)
				return
			}
			published <- event.GetEventId()
		}
	}()
	for _, some := range []int{20, 60, 100} {
		eventually(t, "some are published", func() bool { return len(published) > some })
		s.kill()
		s.start(t)
	}
	var ids []string
	for id := range published {
		ids = append(ids, id)
	}
	if len(ids) != count {
		t.Fatal(len(ids))
	}
	sameOnce(t, stored(t, client, "crash", 1_000), ids)
}
