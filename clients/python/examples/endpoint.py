import sys

from keeptrusts.webhooks import Client, v1

with Client() as client:
    endpoint = v1.Endpoint(display_name="siem", url=sys.argv[1], event_types=["policy.violation"])
    created = client.endpoints.CreateEndpoint(v1.CreateEndpointRequest(organization_id="default", endpoint=endpoint))
    print("created", created.endpoint.id, "with the secret", created.secret)
    request = v1.ListEndpointsRequest(organization_id="default")
    for endpoint in client.iterate(v1.Endpoint, client.endpoints.ListEndpoints, request):
        print(endpoint.id, endpoint.display_name, v1.Endpoint.State.Name(endpoint.state))
