package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
)

func main() {
	ctx := context.Background()
	client, err := webhooks.New(webhooks.Options{})
	if err != nil {
		log.Fatal(err)
	}
	publisher := client.Publisher("default", webhooks.PublisherOptions{})
	var publications []*webhooks.Publication
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); { // a JSON object each
		event := webhooks.Event{Type: "policy.violation", Data: json.RawMessage(lines.Text())}
		publication, err := publisher.Publish(ctx, event)
		if err != nil {
			log.Fatal(err)
		}
		publications = append(publications, publication)
	}
	count := 0
	for _, publication := range publications {
		if _, err := publication.Wait(ctx); err == nil {
			count++
		}
	}
	fmt.Println("published", count)
	if err := publisher.Close(ctx); err != nil {
		log.Fatal(err)
	}
}
