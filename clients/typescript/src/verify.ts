// Verification of deliveries, for receivers. docs/receiving.md explains the signatures.

import { createHmac, timingSafeEqual } from "node:crypto";

/** Why a request is not a valid delivery. */
export type VerificationFailure =
  | "missing_header"
  | "malformed_header"
  | "bad_signature"
  | "timestamp_too_old"
  | "timestamp_too_new";

/** A request is not a valid delivery. Answer it with 400 and do nothing else. */
export class VerificationError extends Error {
  override readonly name = "VerificationError";

  constructor(
    readonly reason: VerificationFailure,
    message: string,
  ) {
    super(message);
  }
}

/** A request's headers: those of Node's http, of fetch, or an object. */
export type ReceivedHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyOptions {
  /** How far `webhook-timestamp` may be from the receiver's clock. 300 by default. */
  readonly toleranceSeconds?: number;
  /** The time, in seconds since the Unix epoch. */
  readonly now?: number;
}

/**
 * Verifies `webhook-signature` (Standard Webhooks 1.0), which signs the body, the id and the time.
 *
 * `body` is the raw body, before it is parsed. `secrets` are the endpoint's secrets as shown: one, and while
 * you replace it, the old one too.
 *
 * Returns `webhook-id`, the event's id, by which duplicates are known. Throws VerificationError.
 */
export function verify(
  headers: ReceivedHeaders,
  body: Uint8Array | string,
  secrets: string | readonly string[],
  options: VerifyOptions = {},
): string {
  const id = header(headers, "webhook-id", /^[!-\-/-~]+$/, "must be visible ASCII without a dot");
  const timestamp = header(headers, "webhook-timestamp", /^[0-9]{1,12}$/, "must be 1 to 12 digits");
  const signatures = required(headers, "webhook-signature")
    .split(" ")
    .filter((entry) => /^v1,[A-Za-z0-9+/]{43}=$/.test(entry));
  if (signatures.length === 0) {
    throw new VerificationError("malformed_header", "webhook-signature has no signature of the form v1,BASE64");
  }

  const signed = [Buffer.from(`${id}.${timestamp}.`), bytes(body)];
  const expected = list(secrets).map((secret) => `v1,${hmac(standardKey(secret), signed).toString("base64")}`);
  if (!anyEqual(expected, signatures)) {
    throw new VerificationError("bad_signature", "no secret made any of the signatures in webhook-signature");
  }

  const age = (options.now ?? Date.now() / 1000) - Number(timestamp);
  const tolerance = options.toleranceSeconds ?? 300;
  if (age > tolerance) {
    throw new VerificationError("timestamp_too_old", `the request was signed ${age.toFixed()} s ago`);
  }
  if (age < -tolerance) {
    throw new VerificationError("timestamp_too_new", `the request was signed ${(-age).toFixed()} s in the future`);
  }
  return id;
}

/**
 * Verifies `X-Keeptrusts-Signature` and `X-Keeptrusts-Signature-Previous`, which sign only the body.
 *
 * Prefer `verify`: these signatures have no time, so that anybody who recorded a request can send it again.
 */
export function verifyBody(
  headers: ReceivedHeaders,
  body: Uint8Array | string,
  secrets: string | readonly string[],
): void {
  const names = ["x-keeptrusts-signature", "x-keeptrusts-signature-previous"];
  const found = names.map((name) => value(headers, name)).filter((text) => text !== "");
  if (found.length === 0) {
    throw new VerificationError("missing_header", "X-Keeptrusts-Signature is missing");
  }
  const signatures = found.filter((text) => /^sha256=[0-9A-Fa-f]{64}$/.test(text)).map((text) => text.toLowerCase());
  if (signatures.length === 0) {
    throw new VerificationError("malformed_header", "X-Keeptrusts-Signature must be sha256= and 64 hex digits");
  }
  const expected = list(secrets).map((secret) => `sha256=${hmac(Buffer.from(secret), [bytes(body)]).toString("hex")}`);
  if (!anyEqual(expected, signatures)) {
    throw new VerificationError("bad_signature", "no secret made the signature in X-Keeptrusts-Signature");
  }
}

function value(headers: ReceivedHeaders, name: string): string {
  if (headers instanceof Headers) {
    return headers.get(name) ?? "";
  }
  const [, found] = Object.entries(headers).find(([key]) => key.toLowerCase() === name) ?? [];
  return typeof found === "string" ? found : (found?.join(" ") ?? "");
}

function required(headers: ReceivedHeaders, name: string): string {
  const found = value(headers, name);
  if (found === "") {
    throw new VerificationError("missing_header", `${name} is missing`);
  }
  return found;
}

function header(headers: ReceivedHeaders, name: string, form: RegExp, rule: string): string {
  const found = required(headers, name);
  if (!form.test(found)) {
    throw new VerificationError("malformed_header", `${name} ${rule}`);
  }
  return found;
}

function list(secrets: string | readonly string[]): readonly string[] {
  const all = typeof secrets === "string" ? [secrets] : secrets;
  if (all.length === 0 || all.includes("")) {
    throw new TypeError("give the endpoint's secret");
  }
  return all;
}

/** The key of Standard Webhooks: what is encoded after `whsec_`, or else the text itself. */
function standardKey(secret: string): Buffer {
  if (!secret.startsWith("whsec_")) {
    return Buffer.from(secret);
  }
  const encoded = secret.slice("whsec_".length);
  if (encoded.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) {
    throw new TypeError("a secret that begins with whsec_ must go on with base64");
  }
  return Buffer.from(encoded, "base64");
}

function bytes(body: Uint8Array | string): Uint8Array {
  return typeof body === "string" ? Buffer.from(body) : body;
}

function hmac(key: Buffer, message: readonly Uint8Array[]): Buffer {
  const mac = createHmac("sha256", key);
  for (const part of message) {
    mac.update(part);
  }
  return mac.digest();
}

/** Each comparison takes the same time wherever the texts, which are of one length, differ. */
function anyEqual(expected: readonly string[], signatures: readonly string[]): boolean {
  const results = expected.flatMap((one) =>
    signatures.map((other) => timingSafeEqual(Buffer.from(one), Buffer.from(other))),
  );
  return results.includes(true);
}
