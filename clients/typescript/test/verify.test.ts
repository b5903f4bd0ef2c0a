import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { VerificationError, verify, verifyBody } from "@keeptrusts/webhooks";

interface Verification {
  name: string;
  secrets: string[];
  headers: Record<string, string>;
  body?: string;
  body_base64?: string;
  now: number;
  tolerance_seconds: number;
  standard: string;
  keeptrusts: string;
}

const path = new URL("../../../../testdata/signatures.json", import.meta.url);
const vectors: { verifications: Verification[] } = JSON.parse(readFileSync(path, "utf8"));

function result(check: () => unknown): string {
  try {
    check();
    return "valid";
  } catch (error) {
    if (error instanceof VerificationError) {
      return error.reason;
    }
    throw error;
  }
}

test("what a receiver gets is judged as the vectors say", () => {
  assert.ok(vectors.verifications.length > 50);
  for (const { name, headers, secrets, now, ...vector } of vectors.verifications) {
    const body = vector.body ?? Buffer.from(vector.body_base64 ?? "", "base64");
    const options = { now, toleranceSeconds: vector.tolerance_seconds };
    assert.equal(result(() => verify(headers, body, secrets, options)), vector.standard, name);
    assert.equal(result(() => verifyBody(headers, body, secrets)), vector.keeptrusts, name);
  }
});

test("headers are Node's, or those of fetch", () => {
  const [vector] = vectors.verifications;
  assert.ok(vector?.body);
  const options = { now: vector.now };
  const lists = Object.fromEntries(Object.entries(vector.headers).map(([name, value]) => [name, [value]]));
  for (const headers of [new Headers(vector.headers), lists]) {
    assert.equal(verify(headers, vector.body, vector.secrets, options), vector.headers["webhook-id"]);
  }
});

test("a missing or broken secret is no fault of the request", () => {
  const headers = vectors.verifications[0]?.headers ?? {};
  for (const secrets of [[], "", "whsec_%%%"]) {
    assert.throws(
      () => verify(headers, "", secrets),
      (error: Error) => error instanceof TypeError && !error.message.includes("%%%"),
    );
  }
});
