// Package webhooks is the client of Keeptrusts Webhooks, for programs that publish events, manage endpoints or
// receive deliveries.
//
//	client, err := webhooks.New(webhooks.Options{})
//	…
//	event, err := client.Publish(ctx, "default", webhooks.Event{Type: "policy.violation", Data: data})
//
// The messages are in package webhooksv1. The README of all clients says how calls are repeated.
package webhooks
