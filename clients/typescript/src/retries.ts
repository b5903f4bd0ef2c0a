// Which calls are sent again, when and how often. clients/README.md has the rules.

import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import { clone } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { MethodOptions_IdempotencyLevel as IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { Credential } from "./credential.js";
import { Code, WebhooksError } from "./errors.js";

/**
 * The waits between the attempts of a call, in milliseconds: the first one, and the longest. Each is twice
 * as long as the one before; a random part of up to a half is taken off. A wait that the server asks for
 * (RetryInfo) is kept at least.
 *
 * All calls of a client share a budget of retries, so that a server in trouble does not get its load several times:
 * `budget` retries at once, and `budgetPerSecond` more each second. A retry beyond it waits. Calls that could not even
 * connect do not count, because they cost the server nothing.
 */
export interface RetryPolicy {
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly budget: number;
  readonly budgetPerSecond: number;
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  initialBackoffMs: 100,
  maxBackoffMs: 5_000,
  budget: 100,
  budgetPerSecond: 10,
};

/** The wait after the attempt of this number, counted from 1. */
export function backoff(policy: Pick<RetryPolicy, "initialBackoffMs" | "maxBackoffMs">, attempt: number, askedMs: number | undefined): number {
  const longest = Math.min(policy.maxBackoffMs, policy.initialBackoffMs * 2 ** Math.min(attempt - 1, 30));
  const jittered = longest * (0.5 + Math.random() / 2);
  return askedMs === undefined ? jittered : Math.max(askedMs * (1 + Math.random() / 5), jittered);
}

/** The fields that make a request safe to repeat. */
const KEY_FIELDS = ["request_id", "idempotency_key"];

function keyField(message: DescMessage | undefined) {
  return message?.fields.find((field) => KEY_FIELDS.includes(field.name));
}

function batchField(message: DescMessage) {
  return message.fields.find((field) => field.fieldKind === "list" && keyField(field.message) !== undefined);
}

/** Whether the contract permits to repeat a method's calls. */
export function isRepeatable(method: DescMethod): boolean {
  return (
    method.idempotency !== IdempotencyLevel.IDEMPOTENCY_UNKNOWN ||
    keyField(method.input) !== undefined ||
    batchField(method.input) !== undefined
  );
}

/** The request with random keys where it has none. The caller's request is not changed. */
export function withKeys<Desc extends DescMessage>(schema: Desc, request: Message): Message {
  const key = keyField(schema);
  const batch = batchField(schema);
  if (key === undefined && batch === undefined) {
    return request;
  }
  const filled = clone(schema, request as never) as Message;
  if (key !== undefined) {
    fill(schema, filled);
  }
  if (batch?.fieldKind === "list" && batch.message !== undefined) {
    for (const item of reflect(schema, filled as never).get(batch) as Iterable<{ message: Message }>) {
      fill(batch.message, item.message);
    }
  }
  return filled;
}

function fill(schema: DescMessage, message: Message): void {
  const key = keyField(schema);
  const fields = message as unknown as Record<string, string>;
  if (key !== undefined && fields[key.localName] === "") {
    fields[key.localName] = randomUUID();
  }
}

/** A token bucket: a retry takes a token, or waits for one. */
export class Budget {
  readonly #capacity: number;
  readonly #perMs: number;
  /** Below 0: that many retries wait. */
  #tokens: number;
  #at = -Infinity;

  constructor(policy: Pick<RetryPolicy, "budget" | "budgetPerSecond">) {
    this.#capacity = Math.max(1, policy.budget);
    this.#perMs = Math.max(0.001, policy.budgetPerSecond) / 1000;
    this.#tokens = this.#capacity;
  }

  /** Takes a token, and says how long to wait for it. Undefined: longer than this, and none is taken. */
  waitMs(now: number, longestMs: number): number | undefined {
    this.#tokens = Math.min(this.#capacity, this.#tokens + (now - this.#at) * this.#perMs);
    this.#at = now;
    const wait = Math.max(0, (1 - this.#tokens) / this.#perMs);
    if (wait >= longestMs) {
      return undefined;
    }
    this.#tokens -= 1;
    return wait;
  }
}

/**
 * Whether to go on with another key after an error: once, until the server has accepted one again. It refuses a key
 * before it does anything, so that every call may be repeated with another one.
 */
export class KeyRefusals {
  readonly #credential: Credential;
  #mayLook = true;

  constructor(credential: Credential) {
    this.#credential = credential;
  }

  accepted(): void {
    this.#mayLook = true;
  }

  async goesOn(error: unknown, refusedKey: string): Promise<boolean> {
    if (!this.#mayLook || !(error instanceof WebhooksError) || error.code !== Code.UNAUTHENTICATED) {
      return false;
    }
    this.#mayLook = false;
    return (await this.#credential.readAgain()) !== refusedKey;
  }
}

/** What the calls of a client share when they are repeated. */
export interface Retrying {
  readonly credential: Credential;
  readonly policy: RetryPolicy;
  readonly budget: Budget;
}

/** Makes the attempts of one call, each with a key, until its deadline. */
export async function repeat<T>(
  { credential, policy, budget }: Retrying,
  method: DescMethod,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  attempt: (key: string, deadline: number) => Promise<T>,
): Promise<T> {
  const began = Date.now();
  const deadline = began + timeoutMs;
  const refusals = new KeyRefusals(credential);
  let lastError: WebhooksError | undefined;
  for (let count = 1; ; count += 1) {
    const key = await credential.current();
    let error: WebhooksError;
    try {
      return await attempt(key, deadline);
    } catch (thrown) {
      const made = WebhooksError.ofCall(thrown);
      if (!(made instanceof WebhooksError)) {
        throw made;
      }
      error = made;
    }
    if (await refusals.goesOn(error, key)) {
      continue;
    }
    const now = Date.now();
    if (lastError && error.code === Code.DEADLINE_EXCEEDED) {
      // Why the time was not enough says more than that it was not.
      throw WebhooksError.after(lastError, count, now - began);
    }
    lastError = error;
    const wait = isRepeatable(method) && error.isTemporary ? waitFor(error, count, deadline - now) : undefined;
    if (wait === undefined) {
      throw WebhooksError.after(error, count, now - began);
    }
    await setTimeout(wait, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }

  /** How long to wait after an attempt. Undefined: longer than there is time. */
  function waitFor(error: WebhooksError, count: number, remainingMs: number): number | undefined {
    const wait = backoff(policy, count, error.retryDelayMs);
    if (wait >= remainingMs) {
      return undefined;
    }
    const forToken = WebhooksError.isNotConnected(error) ? 0 : budget.waitMs(Date.now(), remainingMs);
    return forToken === undefined ? undefined : Math.max(wait, forToken);
  }
}
