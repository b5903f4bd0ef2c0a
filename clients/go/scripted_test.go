package webhooks_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
	"github.com/keeptrusts/webhooks/clients/go/webhooksv1"
)

// scripted is a gRPC server whose answers a test decides: to PublishEvent, WatchDeliveries and StreamEvents.
type scripted struct {
	webhooksv1.UnimplementedIngestServiceServer
	webhooksv1.UnimplementedDispatchServiceServer
	call   func(context.Context) (*webhooksv1.PublishEventResponse, error)
	watch  func(*webhooksv1.WatchDeliveriesRequest, webhooksv1.DispatchService_WatchDeliveriesServer) error
	stream func(webhooksv1.IngestService_StreamEventsServer) error
}

func (s *scripted) PublishEvent(ctx context.Context, _ *webhooksv1.PublishEventRequest) (*webhooksv1.PublishEventResponse, error) {
	return s.call(ctx)
}

func (s *scripted) WatchDeliveries(request *webhooksv1.WatchDeliveriesRequest, stream webhooksv1.DispatchService_WatchDeliveriesServer) error {
	return s.watch(request, stream)
}

func (s *scripted) StreamEvents(stream webhooksv1.IngestService_StreamEventsServer) error {
	return s.stream(stream)
}

// start returns the address.
func (s *scripted) start(t *testing.T) string {
	t.Helper()
	server := grpc.NewServer()
	webhooksv1.RegisterIngestServiceServer(server, s)
	webhooksv1.RegisterDispatchServiceServer(server, s)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return "http://" + listener.Addr().String()
}

// keyOf is the key that a call carries.
func keyOf(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	return strings.TrimPrefix(md.Get("authorization")[0], "Bearer ")
}

func newClient(t *testing.T, options webhooks.Options) *webhooks.Client {
	t.Helper()
	if options.APIKey == "" && options.APIKeyFile == "" {
		options.APIKey = "kt"
	}
	client := must(webhooks.New(options))(t)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
