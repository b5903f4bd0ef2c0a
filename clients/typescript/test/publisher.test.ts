// The publisher for many events, over StreamEvents of a real server.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { type Client, Code, type Publication, WebhooksError } from "@keeptrusts/webhooks";
import { Server } from "./server.js";

const COUNT = 2_000;
const server = new Server();

before(() => server.start());
after(() => server.stop());

async function stored(client: Client, organizationId: string): Promise<string[]> {
  const ids = [];
  for await (const event of client.iterate(client.ingest.listEvents, { organizationId, pageSize: 1_000 })) {
    ids.push(event.id);
  }
  return ids.sort();
}

async function ids(publications: Publication[]): Promise<string[]> {
  const responses = await Promise.all(publications.map((publication) => publication.acknowledged));
  return responses.map((response) => response.eventId).sort();
}

test("each event is acknowledged or refused alone", async () => {
  const client = server.client();
  const publisher = client.publisher("stream");
  const good = [];
  for (let n = 0; n < 20; n += 1) {
    good.push(await publisher.publish("policy.violation", { n }));
  }
  const bad = await publisher.publish("no.such.type", {});
  await assert.rejects(publisher.publish("policy.violation", { text: "x".repeat(5 << 20) }), RangeError);
  await assert.rejects(publisher.publish("policy.violation", '{"text": "\ud800"}'), TypeError);
  await publisher.flush();
  await assert.rejects(bad.acknowledged, (error) => error instanceof WebhooksError && error.fieldViolations.length > 0);
  assert.deepEqual(await ids(good), await stored(client, "stream"));
  await publisher.close();
  await assert.rejects(publisher.publish("policy.violation", {}), /closed/);
  client.close();
});

test("nothing is lost or doubled when the server crashes", async () => {
  const crashing = new Server();
  await crashing.start();
  const client = crashing.client();
  const publisher = client.publisher("crash", { maxPending: 100 });
  const publications = [];
  for (let n = 0; n < COUNT; n += 1) {
    publications.push(await publisher.publish("policy.violation", { n }));
    if ([300, 900, 1_500].includes(n)) {
      await crashing.kill();
      await crashing.start();
    }
  }
  await publisher.close();
  const published = await ids(publications);
  assert.equal(new Set(published).size, COUNT);
  assert.deepEqual(await stored(client, "crash"), published);
  client.close();
  await crashing.stop();
});

test("publishing waits for room", async () => {
  const crashing = new Server();
  await crashing.start();
  const client = crashing.client();
  const publisher = client.publisher("room", { maxPending: 3 });
  await (await publisher.publish("policy.violation", {})).acknowledged;
  await crashing.kill();
  const taken = [];
  for (let n = 0; n < 3; n += 1) {
    taken.push(await publisher.publish("policy.violation", { n }));
  }
  const waiting = publisher.publish("policy.violation", {});
  assert.equal(await Promise.race([waiting, setTimeout(200, "waits")]), "waits");
  await crashing.start();
  await publisher.flush();
  assert.equal((await ids([...taken, await waiting])).length, 4);
  await publisher.close();
  client.close();
  await crashing.stop();
});

test("it gives up after a while without a server, and at once with a wrong key", async () => {
  for (const [options, code] of [
    [{ address: "http://127.0.0.1:1" }, Code.UNAVAILABLE],
    [{ apiKey: "kt_wrong" }, Code.UNAUTHENTICATED],
  ] as const) {
    const client = server.client(options);
    const publisher = client.publisher("none", { retryForMs: 500 });
    const { acknowledged } = await publisher.publish("policy.violation", {});
    await assert.rejects(acknowledged, (error) => error instanceof WebhooksError && error.code === code);
    await publisher.close();
    client.close();
  }
});
