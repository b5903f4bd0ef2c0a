package main

import (
	"context"
	"fmt"
	"log"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
	"github.com/keeptrusts/webhooks/clients/go/webhooksv1"
)

func main() {
	client, err := webhooks.New(webhooks.Options{})
	if err != nil {
		log.Fatal(err)
	}
	request := &webhooksv1.WatchDeliveriesRequest{OrganizationId: "default"}
	changes := webhooks.Watch[*webhooksv1.WatchDeliveriesResponse](context.Background(), client.Dispatch.WatchDeliveries, request)
	for changes.Next() {
		fmt.Println(changes.Change().GetDelivery().GetId(), changes.Change().GetDelivery().GetState())
	}
	log.Fatal(changes.Err())
}
