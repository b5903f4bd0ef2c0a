// Which calls are sent again, when and how often. clients/README.md has the rules.

import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { DescMessage, DescMethod, DescService, Message } from "@bufbuild/protobuf";
import { clone } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { MethodOptions_IdempotencyLevel as IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, WebhooksError } from "./errors.js";

/**
 * The waits between the attempts of a call, in milliseconds: the first one, and the longest. Each is twice
 * as long as the one before; a random part of up to a half is taken off. A wait that the server asks for
 * (RetryInfo) is kept at least.
 */
export interface RetryPolicy {
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = { initialBackoffMs: 100, maxBackoffMs: 5_000 };

/** The wait after the attempt of this number, counted from 1. */
export function backoff(policy: RetryPolicy, attempt: number, askedMs: number | undefined): number {
  const longest = Math.min(policy.maxBackoffMs, policy.initialBackoffMs * 2 ** Math.min(attempt - 1, 30));
  const jittered = longest * (0.5 + Math.random() / 2);
  return askedMs === undefined ? jittered : Math.max(askedMs * (1 + Math.random() / 5), jittered);
}

/** Whether the same request may succeed later, and has not been refused for good. */
export function isTemporary(error: unknown): error is WebhooksError {
  return error instanceof WebhooksError && (error.code === Code.UNAVAILABLE || error.retryDelayMs !== undefined);
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

/** The gRPC service config, as JSON: quick retries, which gRPC makes by itself, of repeatable methods. */
export function serviceConfig(services: readonly DescService[]): string {
  const name = services.flatMap((service) =>
    service.methods.filter(isRepeatable).map((method) => ({ service: service.typeName, method: method.name })),
  );
  const retryPolicy = {
    maxAttempts: 3,
    initialBackoff: "0.1s",
    maxBackoff: "1s",
    backoffMultiplier: 2,
    retryableStatusCodes: ["UNAVAILABLE"],
  };
  return JSON.stringify({
    loadBalancingConfig: [],
    methodConfig: [{ name, retryPolicy }],
    // While more than half of the calls fail, none is repeated.
    retryThrottling: { maxTokens: 100, tokenRatio: 0.5 },
  });
}

/** Makes the attempts of one call, until its deadline. */
export async function repeat<T>(
  policy: RetryPolicy,
  method: DescMethod,
  deadline: number,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  let lastError: WebhooksError | undefined;
  for (let count = 1; ; count += 1) {
    try {
      return await attempt();
    } catch (thrown) {
      const error = WebhooksError.ofCall(thrown);
      if (lastError && error instanceof WebhooksError && error.code === Code.DEADLINE_EXCEEDED) {
        // Why the time was not enough says more than that it was not.
        throw lastError;
      }
      if (!isRepeatable(method) || !isTemporary(error)) {
        throw error;
      }
      lastError = error;
      const wait = backoff(policy, count, error.retryDelayMs);
      if (Date.now() + wait >= deadline) {
        throw error;
      }
      await setTimeout(wait, undefined, { signal });
    }
  }
}
