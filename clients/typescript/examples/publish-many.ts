import { createInterface } from "node:readline";
import { Client } from "@keeptrusts/webhooks";

const client = new Client();
const publisher = client.publisher("default");
const acknowledged = [];
for await (const line of createInterface({ input: process.stdin })) {
  acknowledged.push((await publisher.publish("policy.violation", line)).acknowledged); // a JSON object each
}
const results = await Promise.allSettled(acknowledged);
console.log("published", results.filter((result) => result.status === "fulfilled").length);
await publisher.close();
client.close();
