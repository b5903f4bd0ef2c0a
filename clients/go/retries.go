package webhooks

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	mathrand "math/rand"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// RetryPolicy says how long to wait between the attempts of a call. The first wait is InitialBackoff; each
// further one is twice as long, up to MaxBackoff. A random part of up to a half is taken off. A wait that the
// server asks for (RetryInfo) is kept at least.
//
// All calls of a client share a budget of retries, so that a server in trouble does not get its load several times:
// Budget retries at once, and BudgetPerSecond more each second. A retry beyond it waits. Calls that could not even
// connect do not count, because they cost the server nothing.
type RetryPolicy struct {
	InitialBackoff  time.Duration // 0: 100 ms
	MaxBackoff      time.Duration // 0: 5 s
	Budget          int           // 0: 100
	BudgetPerSecond float64       // 0: 10
}

// wait is how long to wait after the attempt of this number, counted from 1.
func (p RetryPolicy) wait(attempt int, err *Error) time.Duration {
	initial, longest := p.InitialBackoff, p.MaxBackoff
	if initial == 0 {
		initial = 100 * time.Millisecond
	}
	if longest == 0 {
		longest = 5 * time.Second
	}
	backoff := math.Min(float64(longest), float64(initial)*math.Pow(2, float64(attempt-1)))
	wait := time.Duration(backoff * (0.5 + mathrand.Float64()/2))
	if err != nil && err.RetryDelay != nil {
		asked := time.Duration(float64(*err.RetryDelay) * (1 + mathrand.Float64()/5))
		if asked > wait {
			return asked
		}
	}
	return wait
}

// method is what the contract says of repeating a method.
type method struct {
	isIdempotent bool
	keyField     protoreflect.FieldDescriptor // of its request: request_id or idempotency_key
	batchField   protoreflect.FieldDescriptor // its request's list of requests with such a field
}

func (m method) isRepeatable() bool {
	return m.isIdempotent || m.keyField != nil || m.batchField != nil
}

// methods has them by path, for example /keeptrusts.webhooks.v1.IngestService/PublishEvent.
var methods = func() map[string]method {
	found := map[string]method{}
	protoregistry.GlobalFiles.RangeFilesByPackage("keeptrusts.webhooks.v1", func(file protoreflect.FileDescriptor) bool {
		for i := 0; i < file.Services().Len(); i++ {
			service := file.Services().Get(i)
			for j := 0; j < service.Methods().Len(); j++ {
				descriptor := service.Methods().Get(j)
				found[fmt.Sprintf("/%s/%s", service.FullName(), descriptor.Name())] = methodOf(descriptor)
			}
		}
		return true
	})
	return found
}()

func methodOf(descriptor protoreflect.MethodDescriptor) method {
	options, _ := descriptor.Options().(*descriptorpb.MethodOptions)
	m := method{
		isIdempotent: options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN,
		keyField:     keyField(descriptor.Input()),
	}
	fields := descriptor.Input().Fields()
	for i := 0; i < fields.Len(); i++ {
		if field := fields.Get(i); field.IsList() && field.Message() != nil && keyField(field.Message()) != nil {
			m.batchField = field
		}
	}
	return m
}

func keyField(message protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	if field := message.Fields().ByName("request_id"); field != nil {
		return field
	}
	return message.Fields().ByName("idempotency_key")
}

// withKeys returns the request with random keys where it has none. The caller's request is not changed.
func (m method) withKeys(request proto.Message) proto.Message {
	if m.keyField == nil && m.batchField == nil {
		return request
	}
	filled := proto.Clone(request)
	if m.keyField != nil {
		fillKey(filled.ProtoReflect(), m.keyField)
	}
	if m.batchField != nil {
		items := filled.ProtoReflect().Mutable(m.batchField).List()
		for i := 0; i < items.Len(); i++ {
			fillKey(items.Get(i).Message(), keyField(m.batchField.Message()))
		}
	}
	return filled
}

func fillKey(message protoreflect.Message, key protoreflect.FieldDescriptor) {
	if !message.Has(key) {
		message.Set(key, protoreflect.ValueOfString(newKey()))
	}
}

// newKey is a random UUID (RFC 9562, version 4).
func newKey() string {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		panic(err) // The system has no randomness.
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// budget is a token bucket: a retry takes a token, or waits for one.
type budget struct {
	capacity  float64
	perSecond float64

	mutex  sync.Mutex
	tokens float64 // below 0: that many retries wait
	at     time.Time
}

func newBudget(policy RetryPolicy) *budget {
	b := &budget{capacity: 100, perSecond: 10}
	if policy.Budget > 0 {
		b.capacity = float64(policy.Budget)
	}
	if policy.BudgetPerSecond > 0 {
		b.perSecond = policy.BudgetPerSecond
	}
	b.tokens = b.capacity
	return b
}

// wait takes a token, and says how long to wait for it. False: longer than this, and none is taken.
func (b *budget) wait(now time.Time, longest time.Duration) (time.Duration, bool) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if !b.at.IsZero() {
		b.tokens = math.Min(b.capacity, b.tokens+now.Sub(b.at).Seconds()*b.perSecond)
	}
	b.at = now
	wait := time.Duration(math.Max(0, (1-b.tokens)/b.perSecond) * float64(time.Second))
	if wait >= longest {
		return 0, false
	}
	b.tokens--
	return wait, true
}

// repeat makes the attempts of one call, until its deadline.
func repeat(ctx context.Context, policy RetryPolicy, budget *budget, isRepeatable bool, attempt func() error) error {
	began := time.Now()
	deadline, hasDeadline := ctx.Deadline()
	var last *Error
	var refusals keyRefusals
	for count := 1; ; count++ {
		err := attempt()
		e, ok := err.(*Error)
		if !ok {
			return err // None, or none of ours.
		}
		if refusals.goesOn(e) {
			continue
		}
		now := time.Now()
		if e.Code == codes.DeadlineExceeded && last != nil {
			// Why the time was not enough says more than that it was not.
			return last.after(count, now.Sub(began))
		}
		last = e
		if !isRepeatable || !e.IsTemporary() {
			return e.after(count, now.Sub(began))
		}
		wait := policy.wait(count, e)
		remaining := time.Duration(math.MaxInt64)
		if hasDeadline {
			remaining = deadline.Sub(now)
		}
		isInTime := wait < remaining
		if isInTime && !e.isNotConnected {
			var forToken time.Duration
			forToken, isInTime = budget.wait(now, remaining)
			if wait < forToken {
				wait = forToken
			}
		}
		if !isInTime || sleep(ctx, wait) != nil {
			return e.after(count, time.Since(began))
		}
	}
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
