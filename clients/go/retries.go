package webhooks

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	mathrand "math/rand"
	"strings"
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
type RetryPolicy struct {
	InitialBackoff time.Duration // 0: 100 ms
	MaxBackoff     time.Duration // 0: 5 s
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

// serviceConfig is the gRPC service config: quick retries, which gRPC makes by itself, of repeatable methods.
func serviceConfig() string {
	type name struct {
		Service string `json:"service"`
		Method  string `json:"method"`
	}
	names := []name{}
	for path, m := range methods {
		if m.isRepeatable() {
			service, method, _ := strings.Cut(path[1:], "/")
			names = append(names, name{service, method})
		}
	}
	config, err := json.Marshal(map[string]any{
		"methodConfig": []any{map[string]any{
			"name": names,
			"retryPolicy": map[string]any{
				"maxAttempts":          3,
				"initialBackoff":       "0.1s",
				"maxBackoff":           "1s",
				"backoffMultiplier":    2,
				"retryableStatusCodes": []string{"UNAVAILABLE"},
			},
		}},
		// While more than half of the calls fail, none is repeated.
		"retryThrottling": map[string]any{"maxTokens": 100, "tokenRatio": 0.5},
	})
	if err != nil {
		panic(err) // It consists of strings and numbers.
	}
	return string(config)
}

// repeat makes the attempts of one call, until its deadline.
func repeat(ctx context.Context, policy RetryPolicy, isRepeatable bool, attempt func() error) error {
	var last *Error
	for count := 1; ; count++ {
		err := attempt()
		if err == nil {
			return nil
		}
		if e, ok := err.(*Error); ok && e.Code == codes.DeadlineExceeded && last != nil {
			// Why the time was not enough says more than that it was not.
			return last
		}
		e := temporary(err)
		if e == nil || !isRepeatable {
			return err
		}
		last = e
		wait := policy.wait(count, e)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return err
		}
		if sleep(ctx, wait) != nil {
			return err
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
