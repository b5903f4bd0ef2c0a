// Reads every body as the CloudEvents SDK does, which checks it by the specification's schema.
const { readFileSync } = require("node:fs");
const { HTTP } = require("cloudevents");

const bodies = JSON.parse(readFileSync(process.env.BODIES, "utf8"));
const headers = { "content-type": process.env.CONTENT_TYPE };
if (bodies.length === 0) throw new Error("there is nothing to check");
for (const body of bodies) {
  const event = HTTP.toEvent({ headers, body });
  event.validate();
  if (event.specversion !== "1.0" || typeof event.data !== "object") throw new Error(body);
}
// It can say no.
let refused = false;
try {
  HTTP.toEvent({ headers, body: bodies[0].replace('"source"', '"sauce"') }).validate();
} catch {
  refused = true;
}
if (!refused) throw new Error("an event without a source is refused");
