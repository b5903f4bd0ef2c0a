package webhooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
)

func acknowledged(t *testing.T, publications []*webhooks.Publication) []string {
	t.Helper()
	var ids []string
	for _, publication := range publications {
		ids = append(ids, must(publication.Wait(ctx))(t).GetEventId())
	}
	return ids
}

func TestEachEventIsAcknowledgedOrRefusedAlone(t *testing.T) {
	client := newServer(t).start(t).client(t, webhooks.Options{})
	publisher := client.Publisher("stream", webhooks.PublisherOptions{})
	var good []*webhooks.Publication
	for n := 0; n < 20; n++ {
		good = append(good, must(publisher.Publish(ctx, violation(map[string]int{"n": n})))(t))
	}
	bad := must(publisher.Publish(ctx, webhooks.Event{Type: "no.such.type", Data: struct{}{}}))(t)
	for _, wrong := range []json.RawMessage{json.RawMessage("{\"text\": \"\xff\"}"), make(json.RawMessage, 5<<20)} {
		if _, err := publisher.Publish(ctx, violation(wrong)); err == nil {
			t.Errorf("%d bytes are taken", len(wrong))
		}
	}
	if err := publisher.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := bad.Wait(ctx)
	if failed := failure(t, err); len(failed.FieldViolations) == 0 {
		t.Error(failed)
	}
	sameOnce(t, stored(t, client, "stream", 0), acknowledged(t, good))
	if err := publisher.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := publisher.Publish(ctx, violation(struct{}{})); !errors.Is(err, webhooks.ErrClosed) {
		t.Error(err)
	}
}

func TestNothingIsLostOrDoubledWhenTheServerCrashes(t *testing.T) {
	const count = 2_000
	s := newServer(t).start(t)
	client := s.client(t, webhooks.Options{})
	publisher := client.Publisher("crash", webhooks.PublisherOptions{MaxPending: 100})
	var publications []*webhooks.Publication
	for n := 0; n < count; n++ {
		publications = append(publications, must(publisher.Publish(ctx, violation(map[string]int{"n": n})))(t))
		if n == 300 || n == 900 || n == 1_500 {
			s.kill()
			s.start(t)
		}
	}
	if err := publisher.Close(ctx); err != nil {
		t.Fatal(err)
	}
	published := acknowledged(t, publications)
	if len(published) != count {
		t.Fatal(len(published))
	}
	sameOnce(t, stored(t, client, "crash", 1_000), published)
}

func TestPublishingWaitsForRoom(t *testing.T) {
	s := newServer(t).start(t)
	publisher := s.client(t, webhooks.Options{}).Publisher("room", webhooks.PublisherOptions{MaxPending: 3})
	taken := []*webhooks.Publication{must(publisher.Publish(ctx, violation(struct{}{})))(t)}
	acknowledged(t, taken)
	s.kill()
	for n := 0; n < 3; n++ {
		taken = append(taken, must(publisher.Publish(ctx, violation(map[string]int{"n": n})))(t))
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := publisher.Publish(short, violation(struct{}{})); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := publisher.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	s.start(t)
	if err := publisher.Close(ctx); err != nil {
		t.Fatal(err)
	}
	acknowledged(t, taken)
}

func TestItGivesUpAfterAWhileWithoutAServerAndAtOnceWithAWrongKey(t *testing.T) {
	s := newServer(t).start(t)
	for _, test := range []struct {
		options webhooks.Options
		code    codes.Code
	}{
		{webhooks.Options{Address: "http://127.0.0.1:1"}, codes.Unavailable},
		{webhooks.Options{APIKey: "kt_wrong"}, codes.Unauthenticated},
	} {
		publisher := s.client(t, test.options).Publisher("none", webhooks.PublisherOptions{RetryFor: 500 * time.Millisecond})
		publication := must(publisher.Publish(ctx, violation(struct{}{})))(t)
		_, err := publication.Wait(ctx)
		if failed := failure(t, err); failed.Code != test.code {
			t.Error(failed)
		}
		if err := publisher.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}
