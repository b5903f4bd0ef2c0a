package webhooks_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
	"github.com/keeptrusts/webhooks/clients/go/webhooksv1"
)

var fast = webhooks.RetryPolicy{InitialBackoff: 10 * time.Millisecond, MaxBackoff: 20 * time.Millisecond}

var errRestarting = status.Error(codes.Unavailable, "restarting")

// unavailable always answers UNAVAILABLE, and counts.
func unavailable(count *int64) *scripted {
	return &scripted{call: func(context.Context) (*webhooksv1.PublishEventResponse, error) {
		atomic.AddInt64(count, 1)
		return nil, errRestarting
	}}
}

func TestAllCallsShareABudgetOfRetries(t *testing.T) {
	const calls, atOnce = 30, 5
	policy := fast
	policy.Budget, policy.BudgetPerSecond = atOnce, 1
	var count int64
	client := newClient(t, webhooks.Options{Address: unavailable(&count).start(t), Timeout: time.Second, RetryPolicy: policy})
	var all sync.WaitGroup
	for n := 0; n < calls; n++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if _, err := client.Publish(ctx, "default", violation(struct{}{})); err == nil {
				t.Error("published")
			}
		}()
	}
	all.Wait()
	// The rest is what comes back to the budget meanwhile.
	if count <= calls || count > calls+atOnce+3 {
		t.Error(count)
	}
}

func TestConnectingIsNotInTheBudget(t *testing.T) {
	policy := fast
	policy.Budget, policy.BudgetPerSecond = 1, 0.001
	client := newClient(t, webhooks.Options{Address: "http://127.0.0.1:1", Timeout: time.Second, RetryPolicy: policy})
	_, err := client.Publish(ctx, "default", violation(struct{}{}))
	if failed := failure(t, err); failed.Attempts <= 3 {
		t.Error(failed)
	}
}

func TestAnErrorSaysHowOftenAndHowLongTheCallWasTried(t *testing.T) {
	var count int64
	// The budget ends the call: an attempt that the deadline ends may not have come to the server.
	policy := fast
	policy.Budget, policy.BudgetPerSecond = 2, 0.001
	options := webhooks.Options{Address: unavailable(&count).start(t), RetryPolicy: policy}
	_, err := newClient(t, options).Publish(ctx, "default", violation(struct{}{}))
	failed := failure(t, err)
	if failed.Code != codes.Unavailable || failed.Message != "restarting" || failed.Attempts != 3 || count != 3 {
		t.Error(failed.Attempts, count, failed)
	}
	text := regexp.MustCompile(`^gave up after 3 attempts in \d\.\d s; the last error: Unavailable: restarting$`)
	if !text.MatchString(err.Error()) {
		t.Error(err)
	}
}

func TestTheTimeThatIsOverDoesNotHideWhy(t *testing.T) {
	var count int64
	s := &scripted{call: func(ctx context.Context) (*webhooksv1.PublishEventResponse, error) {
		if atomic.AddInt64(&count, 1) == 1 {
			return nil, errRestarting
		}
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}}
	client := newClient(t, webhooks.Options{Address: s.start(t), Timeout: time.Second, RetryPolicy: fast})
	_, err := client.Publish(ctx, "default", violation(struct{}{}))
	text := regexp.MustCompile(`^gave up after 2 attempts in \d\.\d s; the last error: Unavailable: restarting$`)
	if failure(t, err); !text.MatchString(err.Error()) {
		t.Error(err)
	}
	_, err = client.Publish(ctx, "default", violation(struct{}{}))
	if failed := failure(t, err); failed.Code != codes.DeadlineExceeded || failed.Attempts != 1 {
		t.Error(err)
	}
}

// oneKey takes only one key, which can be replaced.
type oneKey struct {
	mutex    sync.Mutex
	key      string
	refusals int
}

func (o *oneKey) replace(t *testing.T, file, key string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.key = key
}

func (o *oneKey) check(ctx context.Context) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if keyOf(ctx) != o.key {
		o.refusals++
		return status.Error(codes.Unauthenticated, "another key")
	}
	return nil
}

func (o *oneKey) server() *scripted {
	accepted := &webhooksv1.PublishEventResponse{EventId: "evt_1"}
	return &scripted{
		call: func(ctx context.Context) (*webhooksv1.PublishEventResponse, error) {
			return accepted, o.check(ctx)
		},
		watch: func(_ *webhooksv1.WatchDeliveriesRequest, stream webhooksv1.DispatchService_WatchDeliveriesServer) error {
			if err := o.check(stream.Context()); err != nil {
				return err
			}
			return stream.Send(&webhooksv1.WatchDeliveriesResponse{ResumeToken: "1", Delivery: &webhooksv1.Delivery{Id: "dlv_1"}})
		},
		stream: func(stream webhooksv1.IngestService_StreamEventsServer) error {
			if err := o.check(stream.Context()); err != nil {
				return err
			}
			for {
				item, err := stream.Recv()
				if err != nil {
					return nil
				}
				result := &webhooksv1.StreamEventsResponse_Response{Response: accepted}
				if err := stream.Send(&webhooksv1.StreamEventsResponse{SequenceNumber: item.GetSequenceNumber(), Result: result}); err != nil {
					return err
				}
			}
		},
	}
}

func TestAKeyThatIsReplacedInItsFileIsTaken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	keys := &oneKey{}
	keys.replace(t, file, "kt_0")
	client := newClient(t, webhooks.Options{Address: keys.server().start(t), APIKeyFile: file})
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	uses := []func() error{
		func() error {
			_, err := client.Publish(within, "default", violation(struct{}{}))
			return err
		},
		func() error {
			changes := webhooks.Watch[*webhooksv1.WatchDeliveriesResponse](within, client.Dispatch.WatchDeliveries, &webhooksv1.WatchDeliveriesRequest{})
			changes.Next()
			return changes.Err()
		},
		func() error {
			publisher := client.Publisher("default", webhooks.PublisherOptions{})
			_, err := must(publisher.Publish(within, violation(struct{}{})))(t).Wait(within)
			return err
		},
	}
	for n, use := range uses {
		keys.replace(t, file, fmt.Sprintf("kt_%d", n+1))
		if err := use(); err != nil || keys.refusals != n+1 {
			t.Error(n, keys.refusals, err)
		}
	}
	keys.replace(t, filepath.Join(t.TempDir(), "another file"), "kt_other")
	for n, use := range uses {
		if failed := failure(t, use()); failed.Code != codes.Unauthenticated || keys.refusals != 4+n {
			t.Error("no other key is there", failed, keys.refusals)
		}
	}
}

func TestAPublisherThatIsAbortedGivesUpAtOnceAndSaysWhat(t *testing.T) {
	silent := &scripted{stream: func(stream webhooksv1.IngestService_StreamEventsServer) error {
		<-stream.Context().Done()
		return stream.Context().Err()
	}}
	for _, address := range []string{silent.start(t), "http://127.0.0.1:1"} {
		client := newClient(t, webhooks.Options{Address: address})
		publisher := client.Publisher("default", webhooks.PublisherOptions{})
		var publications []*webhooks.Publication
		for _, key := range []string{"1", "2"} {
			event := violation(struct{}{})
			event.IdempotencyKey = key
			publications = append(publications, must(publisher.Publish(ctx, event))(t))
		}
		publisher.Abort()
		for _, publication := range publications {
			within, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			_, err := publication.Wait(within)
			if failed := failure(t, err); failed.Code != codes.Canceled {
				t.Error(failed)
			}
			if err := publisher.Close(within); err != nil {
				t.Error(err)
			}
		}
		var keys []string
		for _, request := range publisher.Unacknowledged() {
			keys = append(keys, request.GetIdempotencyKey())
		}
		if !reflect.DeepEqual(keys, []string{"1", "2"}) {
			t.Error(keys)
		}
		if _, err := publisher.Publish(ctx, violation(struct{}{})); err != webhooks.ErrClosed {
			t.Error(err)
		}
		publisher.Abort()
	}
}

func TestAWatchRemembersWhereItBeganAndHandsOutChangesOnly(t *testing.T) {
	var asked []string
	s := &scripted{watch: func(request *webhooksv1.WatchDeliveriesRequest, stream webhooksv1.DispatchService_WatchDeliveriesServer) error {
		asked = append(asked, request.GetResumeToken())
		_ = stream.Send(&webhooksv1.WatchDeliveriesResponse{ResumeToken: "begin"})
		if len(asked) == 1 {
			return errRestarting
		}
		return stream.Send(&webhooksv1.WatchDeliveriesResponse{ResumeToken: "1", Delivery: &webhooksv1.Delivery{Id: "dlv_1"}})
	}}
	client := newClient(t, webhooks.Options{Address: s.start(t), RetryPolicy: fast})
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	changes := webhooks.Watch[*webhooksv1.WatchDeliveriesResponse](within, client.Dispatch.WatchDeliveries, &webhooksv1.WatchDeliveriesRequest{})
	for n := 0; n < 2; n++ {
		if !changes.Next() || changes.Change().GetDelivery().GetId() != "dlv_1" {
			t.Fatal(changes.Change(), changes.Err())
		}
	}
	if !reflect.DeepEqual(asked, []string{"", "begin", "1"}) {
		t.Error(asked)
	}
}
