// Certificates that are not trusted, and files that have none.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Client, type ClientOptions, Code, WebhooksError } from "@keeptrusts/webhooks";
import { makeCertificate, makeClientCertificate, openssl, PATIENCE_MS, Server } from "./server.js";

const FILES = ["caFile", "certificateFile", "privateKeyFile", "apiKeyFile"] as const;
type Files = Partial<Record<(typeof FILES)[number], string>>;

function inFolder(folder: string, files: Files): ClientOptions {
  return Object.fromEntries(Object.entries(files).map(([option, name]) => [option, join(folder, name)]));
}

const MUTUAL = ["--tls-client-ca", "client-ca.pem"];
const NOT_TRUSTED = /certificate is not trusted.*caFile/s;
const REFUSED = /refused the client's certificate.*certificateFile and privateKeyFile/s;
const OWN: Files = { caFile: "server.pem" };

for (const [what, name, days, flags, files, text] of [
  ["an unknown authority", "localhost", 2, [], {}, NOT_TRUSTED],
  ["an expired certificate", "localhost", -1, [], OWN, NOT_TRUSTED],
  ["another name", "other.example", 2, [], OWN, NOT_TRUSTED],
  ["no client certificate", "localhost", 2, MUTUAL, OWN, REFUSED],
  ["another client certificate", "localhost", 2, MUTUAL,
    { ...OWN, certificateFile: "server.pem", privateKeyFile: "key.pem" }, REFUSED],
] as const) {
  test(`a call, a watch and a publisher fail at once with ${what}`, { timeout: PATIENCE_MS }, async () => {
    const server = new Server("--tls-cert", "server.pem", "--tls-key", "key.pem", ...flags);
    makeClientCertificate(server.folder);
    makeCertificate(server.folder, name, days);
    await server.start();
    const address = server.address.replace("http:", "https:");
    const client = server.client({ address, timeoutMs: 3 * PATIENCE_MS, ...inFolder(server.folder, files) });
    const isDistrust = (error: unknown) =>
      error instanceof WebhooksError && error.code === Code.UNAVAILABLE && !error.isTemporary && text.test(error.message);
    await assert.rejects(client.publish("default", "policy.violation", {}), isDistrust);
    await assert.rejects(client.watch(client.dispatch.watchDeliveries, { organizationId: "default" }).next(), isDistrust);
    const publisher = client.publisher("default");
    await assert.rejects((await publisher.publish("policy.violation", {})).acknowledged, isDistrust);
    await publisher.close();
    client.close();
    await server.stop();
  });
}

test("files that cannot be used are named when a client is made", () => {
  const folder = mkdtempSync(join(tmpdir(), "keeptrusts-webhooks-"));
  makeCertificate(folder);
  makeClientCertificate(folder);
  openssl(folder, "x509", "-in", "server.pem", "-outform", "DER", "-out", "server.der");
  writeFileSync(join(folder, "empty.pem"), "");
  writeFileSync(join(folder, "words"), "two words");
  writeFileSync(join(folder, "garbage.pem"), "-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n");
  const cases: [Files, RegExp][] = [
    [{ caFile: "missing.pem" }, /cannot read caFile: .*missing.pem/],
    [{ caFile: "empty.pem" }, /caFile .*empty.pem has no certificate/],
    [{ caFile: "key.pem" }, /caFile .*key.pem has no certificate/],
    [{ caFile: "garbage.pem" }, /caFile .*garbage.pem has no certificate/],
    [{ caFile: "server.der" }, /caFile .*server.der has no certificate/],
    [{ certificateFile: "client.pem" }, /privateKeyFile, or neither/],
    [{ privateKeyFile: "client-key.pem" }, /privateKeyFile, or neither/],
    [{ certificateFile: "missing.pem", privateKeyFile: "key.pem" }, /cannot read certificateFile: .*missing.pem/],
    [{ certificateFile: "client.pem", privateKeyFile: "missing.pem" }, /cannot read privateKeyFile: .*missing.pem/],
    [{ certificateFile: "key.pem", privateKeyFile: "key.pem" }, /certificateFile .*key.pem has no certificate/],
    [{ certificateFile: "client.pem", privateKeyFile: "client.pem" }, /privateKeyFile .*client.pem cannot be used/],
    [{ certificateFile: "client.pem", privateKeyFile: "key.pem" }, /key.pem cannot be used with certificateFile .*client.pem: .*mismatch/],
    [{ apiKeyFile: "missing" }, /cannot read apiKeyFile: .*missing/],
    [{ apiKeyFile: "empty.pem" }, /apiKeyFile .*empty.pem: the API key is empty/],
    [{ apiKeyFile: "words" }, /apiKeyFile .*words: the API key has characters/],
  ];
  for (const [files, message] of cases) {
    const key = files.apiKeyFile === undefined ? { apiKey: "kt_key" } : {};
    const make = () => new Client({ address: "https://localhost", ...key, ...inFolder(folder, files) });
    assert.throws(make, (error: Error) => error instanceof TypeError && message.test(error.message), String(message));
  }
  rmSync(folder, { recursive: true });
});
