// What happens when a server is in trouble, replaces keys, or is left: with servers whose answers the test decides.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Credential } from "#dist/credential.js";
import { Budget } from "#dist/retries.js";
import { Client, type ClientOptions, Code, WebhooksError } from "@keeptrusts/webhooks";
import { Refusal, type Script, startScripted } from "./scripted.js";
import { PATIENCE_MS } from "./server.js";

const FAST = { initialBackoffMs: 10, maxBackoffMs: 20 };

async function connect(t: TestContext, script: Script, options: ClientOptions = {}): Promise<Client> {
  const server = await startScripted(script);
  const key = options.apiKeyFile === undefined ? { apiKey: "kt" } : {};
  const client = new Client({ address: server.address, retryPolicy: FAST, ...key, ...options });
  t.after(() => {
    client.close();
    server.stop();
  });
  return client;
}

async function failure(call: Promise<unknown>): Promise<WebhooksError> {
  const error: unknown = await call.then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof WebhooksError, String(error));
  return error;
}

/** Always answers UNAVAILABLE, and counts. */
function unavailable() {
  const script = {
    count: 0,
    async call(): Promise<never> {
      script.count += 1;
      throw new Refusal(Code.UNAVAILABLE, "restarting");
    },
  };
  return script;
}

test("all calls share a budget of retries", async (t) => {
  const [calls, budget] = [30, 5];
  const script = unavailable();
  const client = await connect(t, script, { timeoutMs: 1_000, retryPolicy: { ...FAST, budget, budgetPerSecond: 1 } });
  await Promise.all(Array.from({ length: calls }, () => failure(client.publish("default", "policy.violation", {}))));
  // The rest is what comes back to the budget meanwhile.
  assert.ok(script.count > calls && script.count <= calls + budget + 3, `${script.count} attempts`);
});

test("a retry beyond the budget waits, and takes nothing if that is too long", () => {
  const budget = new Budget({ budget: 2, budgetPerSecond: 4 });
  const waits = Array.from({ length: 4 }, () => budget.waitMs(1_000, 10_000));
  assert.deepEqual(waits, [0, 0, 250, 500]);
  for (let n = 0; n < 1_000; n += 1) {
    assert.equal(budget.waitMs(1_000, 700), undefined);
  }
  assert.equal(budget.waitMs(1_000, 800), 750, "those that did not wait owe nothing");
  assert.equal(budget.waitMs(100_000, 1), 0);
});

test("connecting is not in the budget", async () => {
  const retryPolicy = { ...FAST, budget: 1, budgetPerSecond: 0.001 };
  const client = new Client({ address: "http://127.0.0.1:1", apiKey: "kt", timeoutMs: 1_000, retryPolicy });
  assert.ok((await failure(client.publish("default", "policy.violation", {}))).attempts > 3);
  client.close();
});

test("an error says how often and how long the call was tried", async (t) => {
  const script = unavailable();
  // The budget ends the call: an attempt that the deadline ends may not have come to the server.
  const client = await connect(t, script, { retryPolicy: { ...FAST, budget: 2, budgetPerSecond: 0.001 } });
  const error = await failure(client.publish("default", "policy.violation", {}));
  assert.equal(error.code, Code.UNAVAILABLE);
  assert.deepEqual([error.attempts, script.count], [3, 3]);
  const text = `^gave up after 3 attempts in \\d\\.\\d s; the last error: UNAVAILABLE: restarting$`;
  assert.match(error.message, new RegExp(text));
});

test("the time that is over does not hide why", async (t) => {
  let count = 0;
  const client = await connect(t, {
    async call() {
      count += 1;
      if (count === 1) {
        throw new Refusal(Code.UNAVAILABLE, "restarting");
      }
      return new Promise<never>(() => {});
    },
  });
  const first = await failure(client.publish("default", "policy.violation", {}, { timeoutMs: 1_000 }));
  assert.match(first.message, /^gave up after 2 attempts in \d\.\d s; the last error: UNAVAILABLE: restarting$/);
  const second = await failure(client.publish("default", "policy.violation", {}, { timeoutMs: 100 }));
  assert.deepEqual([second.code, second.attempts], [Code.DEADLINE_EXCEEDED, 1]);
});

test("a key that is replaced in its file is taken", { timeout: PATIENCE_MS }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "keeptrusts-webhooks-"));
  const file = join(folder, "key");
  let [accepted, refusals] = ["", 0];
  function replace(key: string): void {
    writeFileSync(file, `${key}\n`);
    accepted = key;
  }
  function check(key: string): void {
    if (key !== accepted) {
      refusals += 1;
      throw new Refusal(Code.UNAUTHENTICATED, "another key");
    }
  }
  replace("kt_0");
  const client = await connect(t, {
    async call(key) {
      check(key);
      return { eventId: "evt_1" };
    },
    async *watch(key) {
      check(key);
      yield { resumeToken: "1", delivery: { id: "dlv_1" } };
    },
    async *stream(key, requests) {
      check(key);
      for await (const { sequenceNumber } of requests) {
        yield { sequenceNumber, result: { case: "response", value: { eventId: "evt_1" } } };
      }
    },
  }, { apiKeyFile: file });
  const uses = [
    () => client.publish("default", "policy.violation", {}),
    () => client.watch(client.dispatch.watchDeliveries, {}).next(),
    () => client.withPublisher("default", async (publisher) => (await publisher.publish("policy.violation", {})).acknowledged),
  ];
  for (const [n, use] of uses.entries()) {
    replace(`kt_${n + 1}`);
    await use();
    assert.equal(refusals, n + 1, "it is read again when it is refused");
  }
  accepted = "kt_other";
  for (const [n, use] of uses.entries()) {
    assert.equal((await failure(use())).code, Code.UNAUTHENTICATED);
    assert.equal(refusals, 4 + n, "no other key is there");
  }
  rmSync(folder, { recursive: true });
});

test("a key is read again after a while, and stays while its file cannot be read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "keeptrusts-webhooks-"));
  const file = join(folder, "key");
  let now = 0;
  writeFileSync(file, "kt_1\n");
  const credential = new Credential(undefined, file, () => now);
  writeFileSync(file, "kt_2\n");
  assert.equal(await credential.current(), "kt_1", "not read for every call");
  now += 5_000;
  assert.equal(await credential.current(), "kt_2");
  rmSync(folder, { recursive: true });
  now += 5_000;
  assert.equal(await credential.current(), "kt_2", "it is being replaced");
});

/** Acknowledges nothing. */
async function* silent(_: string, requests: AsyncIterable<unknown>): AsyncGenerator<never> {
  for await (const _ of requests) {
    // Nothing.
  }
}

test("an error that leaves withPublisher is not kept waiting", { timeout: PATIENCE_MS }, async (t) => {
  for (const options of [{}, { address: "http://127.0.0.1:1" }]) {
    const client = await connect(t, { stream: silent }, options);
    const publications: Promise<unknown>[] = [];
    let publisher = client.publisher("default");
    await publisher.close();
    const left = client.withPublisher("default", async (used) => {
      publisher = used;
      for (const idempotencyKey of ["1", "2"]) {
        publications.push((await publisher.publish("policy.violation", {}, { idempotencyKey })).acknowledged);
      }
      throw new RangeError("left");
    });
    await assert.rejects(left, RangeError);
    for (const publication of publications) {
      assert.equal((await failure(publication)).code, Code.CANCELLED);
    }
    assert.deepEqual(publisher.unacknowledged.map((request) => request.idempotencyKey), ["1", "2"]);
    await assert.rejects(publisher.publish("policy.violation", {}), /closed/);
    await publisher.close();
  }
});

test("a watch remembers where it began, and hands out changes only", { timeout: PATIENCE_MS }, async (t) => {
  const asked: string[] = [];
  const client = await connect(t, {
    async *watch(_, request) {
      asked.push(request.resumeToken);
      yield { resumeToken: "begin" };
      if (asked.length === 1) {
        throw new Refusal(Code.UNAVAILABLE, "restarting");
      }
      yield { resumeToken: "1", delivery: { id: "dlv_1" } };
    },
  });
  const changes = client.watch(client.dispatch.watchDeliveries, {});
  for (let n = 0; n < 2; n += 1) {
    assert.equal((await changes.next()).value?.delivery?.id, "dlv_1");
  }
  await changes.return();
  assert.deepEqual(asked, ["", "begin", "1"]);
});
