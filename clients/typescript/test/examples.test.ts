// The examples of the README, as they stand, against a real server.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { eventually, freePort, PATIENCE_MS, Receiver, Server } from "./server.js";

const ROOT = new URL("../../", import.meta.url);
const server = new Server();
const receiver = new Receiver(server.folder);

before(async () => {
  await server.start();
  await receiver.start();
});
after(async () => {
  receiver.stop();
  await server.stop();
});

function example(name: string): string {
  return fileURLToPath(new URL(`build/examples/${name}.js`, ROOT));
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, KEEPTRUSTS_WEBHOOKS_ADDRESS: server.address, KEEPTRUSTS_WEBHOOKS_API_KEY: server.key };
}

function run(name: string, input: string, ...words: string[]): string {
  const options = { env: environment(), input, timeout: PATIENCE_MS, encoding: "utf8" } as const;
  return execFileSync(process.execPath, [example(name), ...words], options);
}

/** An example that goes on for ever. */
function start(name: string, variables: Record<string, string>, ...words: string[]) {
  const options = { env: { ...environment(), ...variables }, stdio: ["ignore", "pipe", "inherit"] as const };
  const running = spawn(process.execPath, [example(name), ...words], { ...options, stdio: [...options.stdio] });
  let output = "";
  running.stdout?.on("data", (text) => (output += text));
  return { output: () => output, stop: () => running.kill() };
}

test("the README shows the examples as they are", () => {
  const readme = readFileSync(new URL("README.md", ROOT), "utf8");
  const blocks = [...readme.matchAll(/```ts\n(.*?)```/gs)].map((match) => match[1]);
  const folder = new URL("examples/", ROOT);
  const examples = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), "utf8"));
  assert.deepEqual(blocks.sort(), examples.sort());
});

test("publish", () => {
  assert.match(run("publish", ""), /^published evt_\w+\n$/);
});

test("publish many", () => {
  assert.equal(run("publish-many", '{"n": 1}\n{"n": 2}\n[]\n'), "published 2\n");
});

test("validate", () => {
  assert.equal(run("validate", "", "https://siem.example.com"), "valid\n");
  assert.equal(run("validate", ""), "invalid endpoint.url is required\n");
});

test("endpoint, watch and receive", async () => {
  const created = /created ep_\w+ with the secret (whsec_\S+)\n/.exec(run("endpoint", "", receiver.url));
  assert.ok(created?.[1]);
  const watch = start("watch", {});
  const client = server.client();
  await eventually("the example sees a delivery", async () => {
    await client.publish("default", "policy.violation", {});
    await setTimeout(100);
    return watch.output().includes("DELIVERED");
  });
  watch.stop();
  client.close();

  const [delivery] = receiver.requests;
  assert.ok(delivery);
  const port = await freePort();
  const receive = start("receive", { WEBHOOK_SECRET: created[1] }, String(port));
  async function status(body: string): Promise<number> {
    const headers = Object.entries(delivery?.headers ?? {}).filter(([name]) => name.includes("webhook"));
    const request = { method: "POST", headers: Object.fromEntries(headers) as Record<string, string>, body };
    return fetch(`http://127.0.0.1:${port}`, request).then((response) => response.status, () => 0);
  }
  await eventually("the example listens", async () => (await status("")) === 400);
  assert.equal(await status(delivery.body.toString()), 204);
  assert.equal(await status(`${delivery.body} `), 400);
  assert.equal(receive.output(), `received ${delivery.headers["webhook-id"]} ${delivery.body}\n`);
  receive.stop();
});
