import { Client } from "@keeptrusts/webhooks";
import { Endpoint_State } from "@keeptrusts/webhooks/v1";

const client = new Client();
const endpoint = { displayName: "siem", url: process.argv[2], eventTypes: ["policy.violation"] };
const created = await client.endpoints.createEndpoint({ organizationId: "default", endpoint });
console.log("created", created.endpoint?.id, "with the secret", created.secret);
for await (const each of client.iterate(client.endpoints.listEndpoints, { organizationId: "default" })) {
  console.log(each.id, each.displayName, Endpoint_State[each.state]);
}
client.close();
