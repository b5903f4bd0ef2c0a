// A gRPC server whose answers a test decides.

import { type DescMessage, fromBinary, type Message, type MessageInitShape, create, toBinary } from "@bufbuild/protobuf";
import type { DescMethod, DescService, MessageShape } from "@bufbuild/protobuf";
import { Metadata, Server, ServerCredentials, type ServiceDefinition, type UntypedHandleCall } from "@grpc/grpc-js";
import type { Code } from "@keeptrusts/webhooks";
import { DispatchService, IngestService, type PublishEventResponseSchema } from "@keeptrusts/webhooks/v1";
import type { StreamEventsRequest, StreamEventsResponseSchema } from "@keeptrusts/webhooks/v1";
import type { WatchDeliveriesRequest, WatchDeliveriesResponseSchema } from "@keeptrusts/webhooks/v1";

/** An error that the server answers with. */
export class Refusal extends Error {
  readonly details: string;
  readonly metadata = new Metadata();

  constructor(readonly code: Code, text: string) {
    super(text);
    this.details = text;
  }
}

type Answers<Schema extends DescMessage> = AsyncIterable<MessageInitShape<Schema>>;

/** Answers to PublishEvent, WatchDeliveries and StreamEvents; each gets the key that the call carries. */
export interface Script {
  call?(key: string): Promise<MessageInitShape<typeof PublishEventResponseSchema>>;
  watch?(key: string, request: WatchDeliveriesRequest): Answers<typeof WatchDeliveriesResponseSchema>;
  stream?(key: string, requests: AsyncIterable<StreamEventsRequest>): Answers<typeof StreamEventsResponseSchema>;
}

/** Starts it, and returns its address. */
export async function startScripted(script: Script): Promise<{ address: string; stop(): void }> {
  const server = new Server();
  server.addService(...definition(IngestService, {
    publishEvent: (call: Unary, callback: (error: unknown, response?: Message) => void) => {
      script.call?.(keyOf(call)).then((response) => callback(null, response as Message), callback);
    },
    streamEvents: (call: Stream<StreamEventsRequest>) => {
      // The usual iterator would destroy the call at the end of the requests, before the answers are over.
      void answer(call, script.stream?.(keyOf(call), call.iterator({ destroyOnReturn: false })) ?? []);
    },
  }));
  server.addService(...definition(DispatchService, {
    watchDeliveries: (call: Stream<never> & { request: WatchDeliveriesRequest }) => {
      void answer(call, script.watch?.(keyOf(call), call.request) ?? []);
    },
  }));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port)));
  });
  return { address: `http://127.0.0.1:${port}`, stop: () => server.forceShutdown() };
}

interface Unary {
  readonly metadata: Metadata;
}

interface Stream<Item> extends Unary {
  iterator(options: { destroyOnReturn: boolean }): AsyncIterable<Item>;
  write(response: unknown): void;
  end(): void;
  emit(event: "error", error: unknown): void;
}

async function answer(call: Stream<unknown>, responses: AsyncIterable<unknown> | Iterable<unknown>): Promise<void> {
  try {
    for await (const response of responses) {
      call.write(response);
    }
    call.end();
  } catch (error) {
    call.emit("error", error);
  }
}

function keyOf(call: Unary): string {
  return String(call.metadata.get("authorization")[0]).replace("Bearer ", "");
}

function definition(service: DescService, handlers: Record<string, unknown>): [ServiceDefinition, Record<string, UntypedHandleCall>] {
  const methods = service.methods.filter((method) => method.localName in handlers).map((method) => [method.localName, methodDefinition(method)]);
  return [Object.fromEntries(methods), handlers as Record<string, UntypedHandleCall>];
}

function methodDefinition(method: DescMethod) {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === "bidi_streaming",
    responseStream: method.methodKind !== "unary",
    requestSerialize: (message: Message) => Buffer.from(toBinary(method.input, message as MessageShape<DescMessage>)),
    requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
    responseSerialize: (message: MessageInitShape<DescMessage>) =>
      Buffer.from(toBinary(method.output, create(method.output, message))),
    responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
  };
}
