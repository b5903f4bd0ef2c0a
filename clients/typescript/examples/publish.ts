import { Client } from "@keeptrusts/webhooks";

const client = new Client(); // KEEPTRUSTS_WEBHOOKS_ADDRESS and KEEPTRUSTS_WEBHOOKS_API_KEY
const event = await client.publish("default", "policy.violation", { policy: "no-customer-data" });
console.log("published", event.eventId);
client.close();
