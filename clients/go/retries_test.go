package webhooks

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keeptrusts/webhooks/clients/go/webhooksv1"
)

func TestWaitsGrowHaveJitterAndKeepToWhatTheServerAsks(t *testing.T) {
	policy := RetryPolicy{InitialBackoff: time.Second, MaxBackoff: 4 * time.Second}
	for attempt, longest := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 9_999: 4 * time.Second} {
		waits := map[time.Duration]bool{}
		for i := 0; i < 50; i++ {
			wait := policy.wait(attempt, nil)
			waits[wait] = true
			if wait < longest/2 || wait > longest {
				t.Errorf("attempt %d: %s", attempt, wait)
			}
		}
		if len(waits) < 2 {
			t.Errorf("attempt %d: no jitter", attempt)
		}
	}
	asked := 10 * time.Second
	for i := 0; i < 50; i++ {
		if wait := policy.wait(1, &Error{RetryDelay: &asked}); wait < asked || wait > 12*time.Second {
			t.Error(wait)
		}
	}
}

func TestARetryBeyondTheBudgetWaitsAndTakesNothingIfThatIsTooLong(t *testing.T) {
	b := newBudget(RetryPolicy{Budget: 2, BudgetPerSecond: 4})
	now := time.Now()
	for _, want := range []time.Duration{0, 0, time.Second / 4, time.Second / 2} {
		if wait, ok := b.wait(now, 10*time.Second); !ok || wait != want {
			t.Error(wait, want)
		}
	}
	for n := 0; n < 1_000; n++ {
		if _, ok := b.wait(now, 700*time.Millisecond); ok {
			t.Fatal("it is not in time")
		}
	}
	if wait, ok := b.wait(now, 800*time.Millisecond); !ok || wait != 750*time.Millisecond {
		t.Error("those that did not wait owe nothing", wait)
	}
	if wait, ok := b.wait(now.Add(time.Minute), time.Second); !ok || wait != 0 {
		t.Error(wait)
	}
}

func TestAKeyIsReadAgainAfterAWhile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(key string) {
		if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("kt_1")
	c, err := newCredential(Options{APIKeyFile: file})
	if err != nil {
		t.Fatal(err)
	}
	write("kt_2")
	if key := c.current(); key != "kt_1" {
		t.Error("not read for every call", key)
	}
	c.readAt = c.readAt.Add(-keyIsFresh)
	if key := c.current(); key != "kt_2" {
		t.Error(key)
	}
	c.readAt = c.readAt.Add(-keyIsFresh)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if key := c.current(); key != "kt_2" {
		t.Error("it is being replaced", key)
	}
}

func TestWhatMayBeRepeatedIsReadFromTheContracts(t *testing.T) {
	for name, want := range map[string]bool{
		"IngestService/PublishEvent":       true, // idempotency_key
		"IngestService/BatchPublishEvents": true, // idempotency_key of each
		"IngestService/GetEvent":           true, // NO_SIDE_EFFECTS
		"EndpointService/CreateEndpoint":   true, // request_id
		"EndpointService/DeleteEndpoint":   true, // IDEMPOTENT
		"EndpointService/RevealSecret":     false,
		"IngestService/StreamEvents":       false,
	} {
		m, ok := methods["/keeptrusts.webhooks.v1."+name]
		if !ok || m.isRepeatable() != want {
			t.Errorf("%s: %v", name, m.isRepeatable())
		}
	}
}

func TestRequestsGetKeysAndTheCallersAreNotChanged(t *testing.T) {
	create := &webhooksv1.CreateEndpointRequest{}
	m := methods["/keeptrusts.webhooks.v1.EndpointService/CreateEndpoint"]
	filled := m.withKeys(create).(*webhooksv1.CreateEndpointRequest)
	again := m.withKeys(filled).(*webhooksv1.CreateEndpointRequest)
	if filled.GetRequestId() == "" || create.GetRequestId() != "" || again.GetRequestId() != filled.GetRequestId() {
		t.Error(create, filled, again)
	}
	batch := &webhooksv1.BatchPublishEventsRequest{
		Requests: []*webhooksv1.PublishEventRequest{{IdempotencyKey: "mine"}, {}},
	}
	m = methods["/keeptrusts.webhooks.v1.IngestService/BatchPublishEvents"]
	items := m.withKeys(batch).(*webhooksv1.BatchPublishEventsRequest).GetRequests()
	if items[0].GetIdempotencyKey() != "mine" || items[1].GetIdempotencyKey() == "" || batch.GetRequests()[1].GetIdempotencyKey() != "" {
		t.Error(items)
	}
}
