from keeptrusts.webhooks import Client

with Client() as client:  # KEEPTRUSTS_WEBHOOKS_ADDRESS and KEEPTRUSTS_WEBHOOKS_API_KEY
    event = client.publish("default", "policy.violation", {"policy": "no-customer-data"})
    print("published", event.event_id)
