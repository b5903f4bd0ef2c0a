import { Client } from "@keeptrusts/webhooks";
import { Delivery_State } from "@keeptrusts/webhooks/v1";

const client = new Client();
for await (const change of client.watch(client.dispatch.watchDeliveries, { organizationId: "default" })) {
  console.log(change.delivery?.id, change.delivery && Delivery_State[change.delivery.state]);
}
