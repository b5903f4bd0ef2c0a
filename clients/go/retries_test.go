package webhooks

import (
	"encoding/json"
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
	if !json.Valid([]byte(serviceConfig())) {
		t.Error(serviceConfig())
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
