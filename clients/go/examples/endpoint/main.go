package main

import (
	"context"
	"fmt"
	"log"
	"os"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
	"github.com/keeptrusts/webhooks/clients/go/webhooksv1"
)

func main() {
	ctx := context.Background()
	client, err := webhooks.New(webhooks.Options{})
	if err != nil {
		log.Fatal(err)
	}
	created, err := client.Endpoints.CreateEndpoint(ctx, &webhooksv1.CreateEndpointRequest{
		OrganizationId: "default",
		Endpoint:       &webhooksv1.Endpoint{DisplayName: "siem", Url: os.Args[1], EventTypes: []string{"policy.violation"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("created", created.GetEndpoint().GetId(), "with the secret", created.GetSecret())
	request := &webhooksv1.ListEndpointsRequest{OrganizationId: "default"}
	endpoints := webhooks.Iterate[*webhooksv1.Endpoint](ctx, client.Endpoints.ListEndpoints, request)
	for endpoints.Next() {
		fmt.Println(endpoints.Item().GetId(), endpoints.Item().GetDisplayName(), endpoints.Item().GetState())
	}
	if endpoints.Err() != nil {
		log.Fatal(endpoints.Err())
	}
}
