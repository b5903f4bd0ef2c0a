import { createInterface } from "node:readline";
import { Client } from "@keeptrusts/webhooks";

const client = new Client();
const acknowledged = await client.withPublisher("default", async (publisher) => {
  const promises = [];
  for await (const line of createInterface({ input: process.stdin })) {
    promises.push((await publisher.publish("policy.violation", line)).acknowledged); // a JSON object each
  }
  return Promise.allSettled(promises);
});
console.log("published", acknowledged.filter((result) => result.status === "fulfilled").length);
client.close();
