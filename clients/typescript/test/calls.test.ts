// Calls of a real server: keys, errors, pages, watches, retries.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { inspect } from "node:util";
import { create } from "@bufbuild/protobuf";
import { VERSION } from "#dist/connection.js";
import { backoff, isRepeatable, withKeys } from "#dist/retries.js";
import { Client, Code, verify, verifyBody, WebhooksError } from "@keeptrusts/webhooks";
import {
  BatchPublishEventsRequestSchema,
  CreateEndpointRequestSchema,
  EndpointService,
  IngestService,
  Role,
} from "@keeptrusts/webhooks/v1";
import { eventually, makeClientCertificate, Receiver, Server } from "./server.js";

const server = new Server();
const receiver = new Receiver(server.folder);
let client: Client;

before(async () => {
  await server.start();
  await receiver.start();
  client = server.client();
});
after(async () => {
  client.close();
  receiver.stop();
  await server.stop();
});

function createEndpoint(client: Client, url: string, organizationId: string) {
  const endpoint = { displayName: "tests", url, eventTypes: ["policy.violation"] };
  return client.endpoints.createEndpoint({ organizationId, endpoint });
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected = [];
  for await (const item of items) {
    collected.push(item);
  }
  return collected;
}

async function failure(call: Promise<unknown>): Promise<WebhooksError> {
  const error: unknown = await call.then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof WebhooksError, inspect(error));
  return error;
}

test("an event is delivered, and its signatures are valid", async () => {
  const { secret } = await createEndpoint(client, receiver.url, "delivered");
  const event = await client.publish("delivered", "policy.violation", { policy: "Grüße" });
  await eventually("the delivery has come", () => receiver.requests.length > 0);
  const [delivery] = receiver.requests;
  assert.ok(delivery);
  assert.equal(verify(delivery.headers, delivery.body, secret), event.eventId);
  verifyBody(delivery.headers, delivery.body, secret);
  assert.match(delivery.body.toString(), /Grüße/);
});

test("the same key publishes once", async () => {
  const options = { idempotencyKey: "key" };
  const first = await client.publish("once", "policy.violation", { a: 1 }, options);
  const again = await client.publish("once", "policy.violation", { a: 1 }, options);
  assert.deepEqual([again.eventId, first.duplicate, again.duplicate], [first.eventId, false, true]);
  const error = await failure(client.publish("once", "policy.violation", { a: 2 }, options));
  assert.deepEqual([error.code, error.reason], [Code.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED"]);
});

test("errors say which fields are wrong and which request it was", async () => {
  const error = await failure(client.publish("errors", "no.such.type", {}));
  assert.deepEqual([error.code, error.reason], [Code.INVALID_ARGUMENT, "INVALID_FIELD"]);
  assert.deepEqual(
    error.fieldViolations.map(({ field, reason }) => [field, reason]),
    [["event_type", "UNKNOWN_VALUE"]],
  );
  assert.ok(error.requestId && error.message.includes(error.requestId));
  assert.equal(error.retryDelayMs, undefined);
});

test("pages are read one after the other", async () => {
  const published = [];
  for (let n = 0; n < 7; n += 1) {
    published.push((await client.publish("pages", "policy.violation", { n })).eventId);
  }
  const request = { organizationId: "pages", pageSize: 2 };
  const events = await collect(client.iterate(client.ingest.listEvents, request));
  assert.deepEqual(events.map((event) => event.id), published.reverse());
  assert.deepEqual(request, { organizationId: "pages", pageSize: 2 });
});

test("a call can be given up", async () => {
  const controller = new AbortController();
  const watch = collect(client.watch(client.dispatch.watchDeliveries, { organizationId: "x" }, controller));
  await setTimeout(100);
  controller.abort();
  await assert.rejects(watch, { name: "AbortError" });
  await assert.rejects(client.publish("x", "policy.violation", {}, { signal: controller.signal }), { name: "AbortError" });
});

test("a client that is closed ends its watches and fails what else is open", { timeout: 20_000 }, async () => {
  const closing = server.client();
  const request = { organizationId: "x" };
  const watch = collect(closing.watch(closing.dispatch.watchDeliveries, request));
  const stream = collect(closing.dispatch.watchDeliveries(request));
  const isClosed = { name: "WebhooksError", code: Code.CANCELLED };
  const failed = assert.rejects(stream, isClosed);
  await setTimeout(100);
  closing.close();
  assert.deepEqual(await watch, []);
  await failed;
  await assert.rejects(closing.publish("x", "policy.violation", {}), isClosed);
});

test("a watch goes on where it was when the server crashes", async () => {
  const crashing = new Server();
  await crashing.start();
  const receiver = new Receiver(crashing.folder);
  await receiver.start();
  const client = crashing.client();
  await createEndpoint(client, receiver.url, "watch");

  // What was published before the watch began is not seen, so it goes on until there is a change.
  const changes = client.watch(client.dispatch.watchDeliveries, { organizationId: "watch" });
  const first = changes.next();
  while ((await Promise.race([first, setTimeout(100)])) === undefined) {
    await client.publish("watch", "policy.violation", {});
  }
  await crashing.kill();
  await crashing.start();
  const { eventId } = await client.publish("watch", "policy.violation", {});
  await eventually("it is delivered, while nobody watches", () =>
    receiver.requests.some((request) => request.headers["webhook-id"] === eventId),
  );
  for await (const change of changes) {
    if (change.delivery?.eventId === eventId) {
      break;
    }
  }
  client.close();
  receiver.stop();
  await crashing.stop();
});

test("publishing goes on after crashes, and nothing is lost or doubled", async () => {
  const crashing = new Server();
  await crashing.start();
  const client = crashing.client();
  const published: string[] = [];
  const publishing = (async () => {
    for (let n = 0; n < 150; n += 1) {
      published.push((await client.publish("crash", "policy.violation", { n })).eventId);
    }
  })();
  for (const count of [20, 60, 100]) {
    await eventually("some are published", () => published.length > count);
    await crashing.kill();
    await crashing.start();
  }
  await publishing;
  const stored = await collect(client.iterate(client.ingest.listEvents, { organizationId: "crash", pageSize: 1_000 }));
  assert.equal(stored.length, 150);
  assert.deepEqual(stored.map((event) => event.id).sort(), published.sort());
  client.close();
  await crashing.stop();
});

test("what may be repeated is read from the contracts, and gets a key", () => {
  const { publishEvent, batchPublishEvents, getEvent, streamEvents } = IngestService.method;
  const { createEndpoint, deleteEndpoint, revealSecret } = EndpointService.method;
  const repeatable = [publishEvent, batchPublishEvents, getEvent, createEndpoint, deleteEndpoint];
  assert.ok(repeatable.every(isRepeatable));
  assert.ok(![revealSecret, streamEvents].some(isRepeatable));

  const request = create(CreateEndpointRequestSchema);
  const filled = withKeys(CreateEndpointRequestSchema, request) as typeof request;
  assert.ok(filled.requestId !== "" && request.requestId === "");
  assert.deepEqual(withKeys(CreateEndpointRequestSchema, filled), filled, "a key that is there stays");
  const batch = create(BatchPublishEventsRequestSchema, { requests: [{ idempotencyKey: "mine" }, {}] });
  const [mine, made] = (withKeys(BatchPublishEventsRequestSchema, batch) as typeof batch).requests;
  assert.ok(mine?.idempotencyKey === "mine" && made?.idempotencyKey);
});

test("the caller's request is not changed", async () => {
  const endpoint = { displayName: "a", url: receiver.url, eventTypes: ["policy.violation"] };
  const request = create(CreateEndpointRequestSchema, { organizationId: "made-once", endpoint });
  await client.endpoints.createEndpoint(request);
  assert.equal(request.requestId, "");
});

test("a call has a deadline, its retries end with it, and what may not be repeated is called once", async () => {
  const client = server.client({ address: "http://127.0.0.1:1" });
  let began = Date.now();
  let error = await failure(client.publish("default", "policy.violation", {}, { timeoutMs: 1_000 }));
  assert.equal(error.code, Code.UNAVAILABLE);
  assert.ok(Date.now() - began > 300 && Date.now() - began < 3_000, "it was tried again, but not after the deadline");
  began = Date.now();
  error = await failure(client.endpoints.revealSecret({ organizationId: "default" }));
  assert.ok(Date.now() - began < 3_000);
  client.close();
});

test("the version is the package's", () => {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  assert.equal(JSON.parse(text).version, VERSION);
});

test("waits grow, have jitter and keep to what the server asks", () => {
  const policy = { initialBackoffMs: 1_000, maxBackoffMs: 4_000 };
  for (const [attempt, longest] of [[1, 1_000], [2, 2_000], [3, 4_000], [9_999, 4_000]] as const) {
    const waits = new Set(Array.from({ length: 50 }, () => backoff(policy, attempt, undefined)));
    assert.ok(waits.size > 1 && [...waits].every((wait) => wait >= longest / 2 && wait <= longest));
  }
  const asked = Array.from({ length: 50 }, () => backoff(policy, 1, 10_000));
  assert.ok(asked.every((wait) => wait >= 10_000 && wait <= 12_000));
});

test("the configuration is checked, and the key is not shown", async () => {
  for (const address of ["http://webhooks.example.com", "webhooks.example.com", "ftp://localhost", "https://"]) {
    assert.throws(() => server.client({ address }), (error: Error) => {
      return error instanceof TypeError && !error.message.includes(server.key);
    });
  }
  assert.throws(() => new Client({ address: server.address }), /KEEPTRUSTS_WEBHOOKS_API_KEY/);
  assert.throws(() => new Client({ apiKey: server.key }), /KEEPTRUSTS_WEBHOOKS_ADDRESS/);

  const file = join(server.folder, "key");
  writeFileSync(file, `${server.key}\n`);
  process.env["KEEPTRUSTS_WEBHOOKS_ADDRESS"] = server.address;
  process.env["KEEPTRUSTS_WEBHOOKS_API_KEY_FILE"] = file;
  const client = new Client();
  delete process.env["KEEPTRUSTS_WEBHOOKS_ADDRESS"];
  delete process.env["KEEPTRUSTS_WEBHOOKS_API_KEY_FILE"];
  assert.equal((await client.access.whoAmI({})).role, Role.ADMIN);
  assert.ok(!inspect(client, { depth: 8, showHidden: true }).includes(server.key));
  client.close();

  const wrong = server.client({ apiKey: "kt_wrong" });
  const error = await failure(wrong.access.whoAmI({}));
  assert.equal(error.code, Code.UNAUTHENTICATED);
  assert.ok(!inspect(error, { depth: 20 }).includes("kt_wrong"));
  wrong.close();
});

test("TLS with an authority of its own, and a client certificate", async () => {
  const flags = ["--tls-cert", "server.pem", "--tls-key", "key.pem", "--tls-client-ca", "client-ca.pem"];
  const server = new Server(...flags);
  makeClientCertificate(server.folder);
  await server.start();
  const path = (name: string) => join(server.folder, name);
  const address = server.address.replace("http:", "https:");
  const trusted = { caFile: path("server.pem") };
  const shown = { certificateFile: path("client.pem"), privateKeyFile: path("client-key.pem") };
  const client = server.client({ address, ...trusted, ...shown });
  assert.equal((await client.access.whoAmI({})).role, Role.ADMIN);
  client.close();
  await server.stop();
});
