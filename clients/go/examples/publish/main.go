package main

import (
	"context"
	"fmt"
	"log"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
)

func main() {
	client, err := webhooks.New(webhooks.Options{}) // KEEPTRUSTS_WEBHOOKS_ADDRESS and KEEPTRUSTS_WEBHOOKS_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	data := map[string]string{"policy": "no-customer-data"}
	event, err := client.Publish(context.Background(), "default", webhooks.Event{Type: "policy.violation", Data: data})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("published", event.GetEventId())
}
