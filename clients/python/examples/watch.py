from keeptrusts.webhooks import Client, v1

with Client() as client:
    request = v1.WatchDeliveriesRequest(organization_id="default")
    for change in client.watch(client.dispatch.WatchDeliveries, request):
        print(change.delivery.id, v1.Delivery.State.Name(change.delivery.state), flush=True)
