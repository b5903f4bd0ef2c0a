package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keeptrusts/webhooks/clients/go/webhooksv1"
)

// Version is this package's version.
const Version = "0.1.0"

// DefaultTimeout is the deadline of a call whose context has none, all attempts included.
const DefaultTimeout = 30 * time.Second

const (
	addressVariable    = "KEEPTRUSTS_WEBHOOKS_ADDRESS"
	apiKeyVariable     = "KEEPTRUSTS_WEBHOOKS_API_KEY"
	apiKeyFileVariable = "KEEPTRUSTS_WEBHOOKS_API_KEY_FILE"
)

// Options is what a client is made with. What is not given is taken from the environment.
type Options struct {
	// Address is https://HOST[:PORT], or http://… on this machine. KEEPTRUSTS_WEBHOOKS_ADDRESS.
	Address string
	// APIKey is KEEPTRUSTS_WEBHOOKS_API_KEY.
	APIKey string
	// APIKeyFile is a file with the key. KEEPTRUSTS_WEBHOOKS_API_KEY_FILE. It is read again every 5 seconds while
	// calls are made, and when the server refuses the key, so that the key can be replaced.
	APIKeyFile string
	// CAFile has the authorities to trust instead of the system's (PEM).
	CAFile string
	// CertificateFile and PrivateKeyFile are shown to a server that demands them (PEM).
	CertificateFile string
	PrivateKeyFile  string
	// Timeout is the deadline of a call whose context has none. 0: DefaultTimeout.
	Timeout     time.Duration
	RetryPolicy RetryPolicy
}

// String does not show the key.
func (o Options) String() string { return fmt.Sprintf("webhooks.Options{Address: %q}", o.Address) }

// GoString does not show the key.
func (o Options) GoString() string { return o.String() }

// Client is a connection to a server, safe for concurrent use. It connects by itself, and again when it is lost.
//
// Its services have the methods of the API, as generated. Their calls fail with *Error, have a deadline, are safe
// to repeat where the API allows that, and are repeated when the server is not there.
type Client struct {
	Endpoints     webhooksv1.EndpointServiceClient
	Ingest        webhooksv1.IngestServiceClient
	Dispatch      webhooksv1.DispatchServiceClient
	Notifications webhooksv1.NotificationServiceClient
	Access        webhooksv1.AccessServiceClient
	Audit         webhooksv1.AuditServiceClient

	connection  *grpc.ClientConn
	retryPolicy RetryPolicy
}

// New makes a client. It fails if the options are not usable, and does not wait for the server.
func New(options Options) (*Client, error) {
	distrust := &distrust{}
	target, transport, err := options.target(distrust)
	if err != nil {
		return nil, err
	}
	credential, err := newCredential(options)
	if err != nil {
		return nil, err
	}
	calls := calls{
		credential:  credential,
		distrust:    distrust,
		timeout:     options.Timeout,
		retryPolicy: options.RetryPolicy,
		budget:      newBudget(options.RetryPolicy),
	}
	if calls.timeout == 0 {
		calls.timeout = DefaultTimeout
	}
	connection, err := grpc.Dial(target,
		transport,
		grpc.WithUserAgent("keeptrusts-webhooks-go/"+Version),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		// gRPC waits up to two minutes before it connects again, too long after a server's restart.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// The client makes all retries: gRPC's own would multiply them, outside of the budget.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithUnaryInterceptor(calls.unary),
		grpc.WithStreamInterceptor(calls.stream),
	)
	if err != nil {
		return nil, err
	}
	return &Client{
		Endpoints:     webhooksv1.NewEndpointServiceClient(connection),
		Ingest:        webhooksv1.NewIngestServiceClient(connection),
		Dispatch:      webhooksv1.NewDispatchServiceClient(connection),
		Notifications: webhooksv1.NewNotificationServiceClient(connection),
		Access:        webhooksv1.NewAccessServiceClient(connection),
		Audit:         webhooksv1.NewAuditServiceClient(connection),
		connection:    connection,
		retryPolicy:   options.RetryPolicy,
	}, nil
}

// Close ends all calls.
func (c *Client) Close() error { return c.connection.Close() }

// Event is an event to publish.
type Event struct {
	// Type is for example policy.violation.
	Type string
	// Data is a JSON object: any value that encoding/json makes one of, or its text as a json.RawMessage, which
	// receivers get byte for byte.
	Data any
	// Time is when it happened. Zero: now.
	Time time.Time
	// IdempotencyKey makes it safe to publish the event again. Empty: a random one. Give your own if the event may
	// be published again by another call, for example after a crash of your program.
	IdempotencyKey string
}

func (e Event) request(organizationID string) (*webhooksv1.PublishEventRequest, error) {
	text, ok := e.Data.(json.RawMessage)
	if !ok {
		var buffer bytes.Buffer
		encoder := json.NewEncoder(&buffer)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(e.Data); err != nil {
			return nil, err
		}
		text = bytes.TrimRight(buffer.Bytes(), "\n")
	}
	// gRPC would end a stream, and with it what waits there.
	if !utf8.Valid(text) || !utf8.ValidString(e.Type) || !utf8.ValidString(e.IdempotencyKey) {
		return nil, errors.New("the event has a text that is not UTF-8")
	}
	request := &webhooksv1.PublishEventRequest{
		OrganizationId: organizationID,
		EventType:      e.Type,
		Payload:        &webhooksv1.PublishEventRequest_DataJson{DataJson: string(text)},
		IdempotencyKey: e.IdempotencyKey,
	}
	if !e.Time.IsZero() {
		request.EventTime = timestamppb.New(e.Time)
	}
	if request.IdempotencyKey == "" {
		request.IdempotencyKey = newKey()
	}
	return request, nil
}

// Publish publishes an event; when it returns without an error, the event is durable, and it counts once.
func (c *Client) Publish(ctx context.Context, organizationID string, event Event) (*webhooksv1.PublishEventResponse, error) {
	request, err := event.request(organizationID)
	if err != nil {
		return nil, err
	}
	return c.Ingest.PublishEvent(ctx, request)
}

// calls adds the key, keys of idempotency and deadlines, repeats calls, and makes our errors.
type calls struct {
	credential  *credential
	distrust    *distrust
	timeout     time.Duration
	retryPolicy RetryPolicy
	budget      *budget
}

func authorize(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
}

// failed makes our error of what a call with this key came to.
func (c calls) failed(err error, key string, metadata ...metadata.MD) error {
	err = callError(err, metadata...)
	e, ok := err.(*Error)
	if !ok {
		return err
	}
	switch e.Code {
	case codes.Unauthenticated:
		e.hasAnotherKey = c.credential.readAgain() != key
	case codes.Unavailable:
		if why := c.distrust.reason(); why != "" && !e.isNotConnected {
			e.isDistrust, e.isNotConnected = true, true
			e.Message = why
			e.status = status.New(e.Code, why)
		}
	}
	return e
}

func (c calls) unary(ctx context.Context, path string, request, response any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	m := methods[path]
	if message, ok := request.(proto.Message); ok {
		request = m.withKeys(message)
	}
	return repeat(ctx, c.retryPolicy, c.budget, m.isRepeatable(), func() error {
		var header, trailer metadata.MD
		options := append(options[:len(options):len(options)], grpc.Header(&header), grpc.Trailer(&trailer))
		key := c.credential.current()
		err := invoke(authorize(ctx, key), path, request, response, connection, options...)
		return c.failed(err, key, header, trailer)
	})
}

func (c calls) stream(ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, path string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	key := c.credential.current()
	stream, err := open(authorize(ctx, key), description, connection, path, options...)
	if err != nil {
		return nil, c.failed(err, key)
	}
	return streamWithErrors{stream, c, key}, nil
}

// streamWithErrors makes our errors of gRPC's.
type streamWithErrors struct {
	grpc.ClientStream
	calls calls
	key   string
}

func (s streamWithErrors) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil {
		return nil
	}
	return s.calls.failed(err, s.key, s.Trailer())
}

func (o Options) target(distrust *distrust) (string, grpc.DialOption, error) {
	address := o.Address
	if address == "" {
		address = os.Getenv(addressVariable)
	}
	if address == "" {
		return "", nil, fmt.Errorf("no address: give Address, or set %s, for example https://webhooks.example.com", addressVariable)
	}
	parsed, err := url.Parse(address)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Hostname() == "" || strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.User != nil {
		return "", nil, errors.New("the address must be https://HOST[:PORT], or http://HOST[:PORT] on this machine")
	}
	port := parsed.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[parsed.Scheme]
	}
	target := net.JoinHostPort(parsed.Hostname(), port)
	if parsed.Scheme == "https" {
		config, err := o.tls()
		if err != nil {
			return "", nil, err
		}
		return target, grpc.WithTransportCredentials(observedTLS{credentials.NewTLS(config), distrust}), nil
	}
	if ip := net.ParseIP(parsed.Hostname()); parsed.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", nil, errors.New("an http address must be of this machine (loopback): the API key would be readable; use https")
	}
	if o.CAFile != "" || o.CertificateFile != "" || o.PrivateKeyFile != "" {
		return "", nil, errors.New("certificates need an https address")
	}
	return target, grpc.WithInsecure(), nil
}
