// The publisher for many events.

import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { JsonObject } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceClient } from "./calls.js";
import { Code, WebhooksError } from "./errors.js";
import {
  type IngestService,
  type PublishEventRequest,
  PublishEventRequestSchema,
  type PublishEventResponse,
  type StreamEventsRequest,
  StreamEventsRequestSchema,
  type StreamEventsResponse,
} from "./gen/keeptrusts/webhooks/v1/ingest_service_pb.js";
import { backoff, KeyRefusals, type Retrying } from "./retries.js";

/** How many bytes of events may be waiting for their acknowledgements. */
const MAX_PENDING_BYTES = 16 * 1024 * 1024;
/** The server reads no larger message, and would end the stream for one. The rest is for the item around it. */
const MAX_EVENT_BYTES = 4 * 1024 * 1024 - 64;

/** A JSON object, or its text, which receivers get byte for byte. */
export type EventData = JsonObject | string;

export interface PublishOptions {
  /** When it happened. Now by default. */
  readonly eventTime?: Date;
  /** Makes it safe to publish the event again. A random one by default. */
  readonly idempotencyKey?: string;
}

export interface PublisherOptions {
  /** How many events may wait for their acknowledgements: 1,000 by default. Further ones wait for room. */
  readonly maxPending?: number;
  /** How long to go on without a server before the events fail: 300,000 by default. */
  readonly retryForMs?: number;
}

export function publishRequest(
  organizationId: string,
  eventType: string,
  data: EventData,
  options: PublishOptions,
): PublishEventRequest {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  // UTF-8 cannot have it, and it would be replaced without a word.
  if (/\p{Surrogate}/u.test(text)) {
    throw new TypeError("the data has half of a surrogate pair, which is no character");
  }
  return create(PublishEventRequestSchema, {
    organizationId,
    eventType,
    payload: { case: "dataJson", value: text },
    eventTime: options.eventTime && timestampFromDate(options.eventTime),
    idempotencyKey: options.idempotencyKey ?? randomUUID(),
  });
}

/** An event that was taken by a publisher. */
export interface Publication {
  /** Resolves when the event is committed. Rejects with WebhooksError if it is refused. */
  readonly acknowledged: Promise<PublishEventResponse>;
}

interface Pending {
  readonly request: PublishEventRequest;
  readonly size: number;
  readonly resolve: (response: PublishEventResponse) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Publishes events over one stream, as fast as they are committed.
 *
 * What is not acknowledged when the connection ends is sent again with the same idempotency key, and counts
 * once. Close it, so that nothing is left behind, or abort it; `Client.withPublisher` does so.
 */
export class Publisher {
  readonly #call: ServiceClient<typeof IngestService>["streamEvents"];
  readonly #organizationId: string;
  readonly #retrying: Retrying;
  readonly #keyRefusals: KeyRefusals;
  readonly #maxPending: number;
  readonly #retryForMs: number;
  readonly #changed = new Condition();
  readonly #aborted = new AbortController();
  #unsent: Pending[] = [];
  #givenUp: Pending[] = [];
  /** What was sent on the present stream, by sequence number. These rise for ever, over all streams. */
  readonly #sent = new Map<bigint, Pending>();
  #sequenceNumber = 0n;
  #bytes = 0;
  /** The number of the present stream: what sends on older ones ends. */
  #stream = 0;
  #closing = false;
  /** Until then nothing is sent, as the server asked. */
  #resumeAt = 0;
  #refusals = 0;
  /** Streams since the last acknowledgement. */
  #failures = 0;
  #lastSuccess = Date.now();
  readonly #ended: Promise<void>;

  /** Made by `Client.publisher`. */
  constructor(
    call: ServiceClient<typeof IngestService>["streamEvents"],
    organizationId: string,
    retrying: Retrying,
    options: PublisherOptions,
  ) {
    this.#call = call;
    this.#organizationId = organizationId;
    this.#retrying = retrying;
    this.#keyRefusals = new KeyRefusals(retrying.credential);
    this.#maxPending = options.maxPending ?? 1_000;
    this.#retryForMs = options.retryForMs ?? 300_000;
    if (this.#maxPending < 1) {
      throw new RangeError("maxPending must be at least 1");
    }
    this.#ended = this.#run();
  }

  /** Takes an event as `Client.publish` does, as soon as there is room. */
  async publish(eventType: string, data: EventData, options: PublishOptions = {}): Promise<Publication> {
    const request = publishRequest(this.#organizationId, eventType, data, options);
    const size = toBinary(PublishEventRequestSchema, request).length;
    if (size > MAX_EVENT_BYTES) {
      throw new RangeError(`the event has ${size} bytes; it may have ${MAX_EVENT_BYTES}`);
    }
    while (!this.#closing && !this.#hasRoom(size)) {
      await this.#changed.wait();
    }
    if (this.#closing) {
      throw new Error("the publisher is closed");
    }
    if (this.#pendingCount === 0) {
      this.#lastSuccess = Date.now();
    }
    const acknowledged = new Promise<PublishEventResponse>((resolve, reject) => {
      this.#unsent.push({ request, size, resolve, reject });
    });
    // Who does not wait for it should not have the process ended by it.
    acknowledged.catch(() => {});
    this.#bytes += size;
    this.#changed.notify();
    return { acknowledged };
  }

  /** Waits until every event that was taken is acknowledged or refused. */
  async flush(): Promise<void> {
    while (this.#pendingCount > 0) {
      await this.#changed.wait();
    }
  }

  /** Takes no more events, and waits until the others are acknowledged or refused. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#changed.notify();
    await this.#ended;
  }

  /**
   * Takes no more events, and gives up those that are not acknowledged, without waiting. Their promises reject with
   * CANCELLED, and `unacknowledged` has them.
   */
  abort(): void {
    this.#closing = true;
    this.#stream += 1;
    this.#sendAgain();
    this.#givenUp.push(...this.#unsent);
    const text = "the publisher was stopped before the event was acknowledged; it is not known whether it was accepted";
    this.#fail(WebhooksError.own(Code.CANCELLED, text));
    this.#aborted.abort();
    this.#changed.notify();
  }

  /**
   * The events that are not acknowledged yet, or were given up by `abort`, in the order of their publishing.
   *
   * The server may have accepted some of them. They have their idempotency keys, so that each counts once if it is
   * published again (`client.ingest.publishEvent`).
   */
  get unacknowledged(): PublishEventRequest[] {
    return [...this.#givenUp, ...this.#sent.values(), ...this.#unsent].map((pending) => pending.request);
  }

  get #pendingCount(): number {
    return this.#unsent.length + this.#sent.size;
  }

  #hasRoom(size: number): boolean {
    const count = this.#pendingCount;
    return count === 0 || (count < this.#maxPending && this.#bytes + size <= MAX_PENDING_BYTES);
  }

  async #run(): Promise<void> {
    const { credential } = this.#retrying;
    const { signal } = this.#aborted;
    for (;;) {
      while (!this.#closing && this.#pendingCount === 0) {
        await this.#changed.wait();
      }
      if (this.#pendingCount === 0) {
        return;
      }
      this.#stream += 1;
      const key = await credential.current();
      let error: unknown;
      try {
        for await (const response of this.#call(this.#items(this.#stream), { signal })) {
          this.#acknowledge(response);
        }
      } catch (thrown) {
        error = thrown;
      }
      if (await this.#keyRefusals.goesOn(error, key)) {
        error = undefined;
      }
      const wait = this.#restart(error);
      // Nothing is lost if the wait is cut short.
      await setTimeout(wait, undefined, { signal }).catch(() => {});
    }
  }

  /**
   * Makes ready for another stream, and says how long to wait before it: what was not acknowledged is sent again, in
   * the same order.
   */
  #restart(error: unknown): number {
    this.#stream += 1;
    this.#failures += 1;
    this.#sendAgain();
    let wait = 0;
    if (error !== undefined) {
      const temporary = error instanceof WebhooksError && error.isTemporary ? error : undefined;
      const waited = Date.now() - this.#lastSuccess;
      if (temporary === undefined || waited > this.#retryForMs) {
        this.#fail(temporary ? WebhooksError.after(temporary, this.#failures, waited) : error);
      }
      wait = backoff(this.#retrying.policy, this.#failures, temporary?.retryDelayMs);
    }
    this.#changed.notify();
    return wait;
  }

  #sendAgain(): void {
    this.#unsent = [...this.#sent.values(), ...this.#unsent];
    this.#sent.clear();
  }

  /** Gives up what waits to be sent. */
  #fail(error: unknown): void {
    for (const pending of this.#unsent.splice(0)) {
      pending.reject(error);
    }
    this.#bytes = 0;
  }

  /** What is sent on a stream. Ends when nothing is left to be sent for a closed publisher. */
  async *#items(stream: number): AsyncGenerator<StreamEventsRequest, void> {
    while (stream === this.#stream && !(this.#closing && this.#pendingCount === 0)) {
      const pause = this.#resumeAt - Date.now();
      const pending = pause > 0 ? undefined : this.#unsent.shift();
      if (pending === undefined) {
        await (pause > 0 ? setTimeout(pause) : this.#changed.wait());
        continue;
      }
      this.#sequenceNumber += 1n;
      this.#sent.set(this.#sequenceNumber, pending);
      yield create(StreamEventsRequestSchema, { sequenceNumber: this.#sequenceNumber, request: pending.request });
    }
  }

  #acknowledge(response: StreamEventsResponse): void {
    this.#failures = 0;
    this.#keyRefusals.accepted();
    const pending = this.#sent.get(response.sequenceNumber);
    if (pending === undefined) {
      return;
    }
    this.#sent.delete(response.sequenceNumber);
    const error = response.result.case === "status" ? WebhooksError.ofStatus(response.result.value) : undefined;
    if (error?.isTemporary) {
      this.#unsent.push(pending);
      this.#refusals += 1;
      this.#resumeAt = Date.now() + backoff(this.#retrying.policy, this.#refusals, error.retryDelayMs);
    } else {
      this.#refusals = 0;
      this.#lastSuccess = Date.now();
      this.#bytes -= pending.size;
      if (response.result.case === "response") {
        pending.resolve(response.result.value);
      } else {
        pending.reject(error ?? new Error("the server acknowledged an event without a result"));
      }
    }
    this.#changed.notify();
  }
}

/** Wakes all that wait for a change. */
class Condition {
  #waiting: (() => void)[] = [];

  wait(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  notify(): void {
    for (const resolve of this.#waiting.splice(0)) {
      resolve();
    }
  }
}
