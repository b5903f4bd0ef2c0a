// The methods of a service as functions, made from its descriptor: promises, and async iterables for streams.

import type { EventEmitter } from "node:events";
import type { DescMessage, DescMethod, DescService, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Client as GrpcClient, Metadata } from "@grpc/grpc-js";
import { WebhooksError } from "./errors.js";
import { repeat, type Retrying, withKeys } from "./retries.js";

export interface CallOptions {
  /** The deadline, all attempts included. Streams have none by default. */
  readonly timeoutMs?: number;
  /** Ends the call. */
  readonly signal?: AbortSignal;
}

/** A method with one answer. It fails with WebhooksError. */
export interface UnaryMethod<I extends DescMessage, O extends DescMessage> {
  (request: MessageInitShape<I>, options?: CallOptions): Promise<MessageShape<O>>;
  readonly method: DescMethod;
}

/** A method that streams its answers. Leaving the loop ends the call. */
export interface ServerStreamMethod<I extends DescMessage, O extends DescMessage> {
  (request: MessageInitShape<I>, options?: CallOptions): AsyncGenerator<MessageShape<O>, void>;
  readonly method: DescMethod;
}

/** A method that streams requests and answers. */
export interface BidiStreamMethod<I extends DescMessage, O extends DescMessage> {
  (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions): AsyncGenerator<MessageShape<O>, void>;
  readonly method: DescMethod;
}

type MethodOf<M> = M extends { methodKind: infer K; input: infer I extends DescMessage; output: infer O extends DescMessage }
  ? K extends "unary"
    ? UnaryMethod<I, O>
    : K extends "server_streaming"
      ? ServerStreamMethod<I, O>
      : BidiStreamMethod<I, O>
  : never;

/** The methods of a service. */
export type ServiceClient<S extends DescService> = { readonly [K in keyof S["method"]]: MethodOf<S["method"][K]> };

/** What all calls of a client share. */
export interface Calls {
  readonly grpc: GrpcClient;
  readonly timeoutMs: number;
  readonly retrying: Retrying;
  /** Aborted when the client is closed: gRPC would let open calls go on. */
  readonly closed: AbortSignal;
}

/** What every call carries: made anew each time, so that nothing keeps it. */
function metadataOf(key: string): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  return metadata;
}

export function serviceClient<S extends DescService>(service: S, calls: Calls): ServiceClient<S> {
  const methods = service.methods.map((method) => [method.localName, Object.assign(call(method, calls), { method })]);
  return Object.fromEntries(methods) as ServiceClient<S>;
}

function call(method: DescMethod, calls: Calls) {
  const path = `/${method.parent.typeName}/${method.name}`;
  const serialize = (message: Message) => Buffer.from(toBinary(method.input, message as never));
  const deserialize = (bytes: Buffer) => fromBinary(method.output, bytes) as Message;

  function unary(request: Message, options: CallOptions = {}): Promise<Message> {
    const message = withKeys(method.input, create(method.input, request as never) as Message);
    const timeoutMs = options.timeoutMs ?? calls.timeoutMs;
    const { signal, unlink } = linked(calls.closed, options.signal);
    return repeat(calls.retrying, method, timeoutMs, signal, (key, deadline) =>
      withSignal(signal, (onAbort) => new Promise<Message>((resolve, reject) => {
        const sent = calls.grpc.makeUnaryRequest(
          path, serialize, deserialize, message, metadataOf(key), { deadline },
          (error, response) => (response === undefined ? reject(error) : resolve(response)),
        );
        onAbort(() => sent.cancel());
      })),
    ).finally(unlink);
  }

  async function* serverStream(request: Message, options: CallOptions = {}): AsyncGenerator<Message, void> {
    const message = create(method.input, request as never) as Message;
    const key = await calls.retrying.credential.current();
    calls.closed.throwIfAborted();
    const stream = calls.grpc.makeServerStreamRequest(
      path, serialize, deserialize, message, metadataOf(key), deadlineOf(options),
    );
    yield* answers(stream, calls.closed, options.signal);
  }

  async function* bidiStream(requests: AsyncIterable<Message>, options: CallOptions = {}): AsyncGenerator<Message, void> {
    const key = await calls.retrying.credential.current();
    calls.closed.throwIfAborted();
    const stream = calls.grpc.makeBidiStreamRequest(path, serialize, deserialize, metadataOf(key), deadlineOf(options));
    let ended = false;
    async function send() {
      for await (const request of requests) {
        if (ended) {
          return;
        }
        // `false`: gRPC's buffer is full, because the server does not read.
        if (!stream.write(create(method.input, request as never) as Message)) {
          await drained(stream);
        }
      }
      stream.end();
    }
    send().catch((error) => stream.destroy(error));
    try {
      yield* answers(stream, calls.closed, options.signal);
    } finally {
      ended = true;
    }
  }

  return { unary, server_streaming: serverStream, bidi_streaming: bidiStream, client_streaming: bidiStream }[
    method.methodKind
  ];
}

/** Waits for room in gRPC's buffer, or for the end of the stream. Leaves no listener behind. */
function drained(stream: EventEmitter): Promise<void> {
  const events = ["drain", "close", "error"];
  return new Promise((resolve) => {
    const listener = () => {
      events.forEach((event) => stream.off(event, listener));
      resolve();
    };
    events.forEach((event) => stream.on(event, listener));
  });
}

function deadlineOf(options: CallOptions) {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}

/** A signal that is aborted with the first of these, until `unlink` is called. (Node 18 has no AbortSignal.any.) */
export function linked(...signals: (AbortSignal | undefined)[]): { signal: AbortSignal; unlink: () => void } {
  const controller = new AbortController();
  const listeners = signals.map((signal) => {
    const listener = () => controller.abort(signal?.reason);
    if (signal?.aborted) {
      listener();
    }
    signal?.addEventListener("abort", listener);
    return () => signal?.removeEventListener("abort", listener);
  });
  return { signal: controller.signal, unlink: () => listeners.forEach((remove) => remove()) };
}

async function withSignal<T>(
  signal: AbortSignal,
  run: (onAbort: (cancel: () => void) => void) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  let cancel = () => {};
  const listener = () => cancel();
  signal.addEventListener("abort", listener);
  try {
    return await run((action) => {
      cancel = action;
    });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", listener);
  }
}

async function* answers(
  stream: AsyncIterable<Message> & { cancel(): void; on(event: "error", listener: () => void): unknown },
  ...signals: (AbortSignal | undefined)[]
): AsyncGenerator<Message, void> {
  // The loop throws it too; an error that comes after its end must not end the process.
  stream.on("error", () => {});
  const { signal, unlink } = linked(...signals);
  signal.addEventListener("abort", () => stream.cancel());
  try {
    signal.throwIfAborted();
    yield* stream;
  } catch (error) {
    signal.throwIfAborted();
    throw WebhooksError.ofCall(error);
  } finally {
    unlink();
    stream.cancel();
  }
}
