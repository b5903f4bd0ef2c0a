import type { DescMessage, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, isFieldSet } from "@bufbuild/protobuf";
import { setTimeout } from "node:timers/promises";
import { Client as GrpcClient } from "@grpc/grpc-js";
import { type CallOptions, linked, type ServerStreamMethod, type ServiceClient, serviceClient, type UnaryMethod } from "./calls.js";
import { type ClientOptions, credential, DEFAULT_TIMEOUT_MS, grpcOptions, target } from "./connection.js";
import { Code, WebhooksError } from "./errors.js";
import { AccessService } from "./gen/keeptrusts/webhooks/v1/access_service_pb.js";
import { AuditService } from "./gen/keeptrusts/webhooks/v1/audit_service_pb.js";
import { DispatchService } from "./gen/keeptrusts/webhooks/v1/dispatch_service_pb.js";
import { EndpointService } from "./gen/keeptrusts/webhooks/v1/endpoint_service_pb.js";
import { IngestService, type PublishEventResponse } from "./gen/keeptrusts/webhooks/v1/ingest_service_pb.js";
import { NotificationService } from "./gen/keeptrusts/webhooks/v1/notification_service_pb.js";
import { type EventData, type PublishOptions, publishRequest, Publisher, type PublisherOptions } from "./publisher.js";
import { backoff, Budget, DEFAULT_RETRY_POLICY, KeyRefusals, type Retrying } from "./retries.js";

/** The items of a page: of its only list. */
type ItemOf<Page> = {
  [K in Exclude<keyof Page, "$unknown">]: Page[K] extends (infer Item)[] ? Item : never;
}[Exclude<keyof Page, "$unknown">];

/**
 * A connection to a server; it connects with the first call.
 *
 * `endpoints`, `ingest`, `dispatch`, `notifications`, `access` and `audit` have the methods of the API. Their calls
 * fail with WebhooksError, have a deadline, are safe to repeat where the API allows that, and are repeated when
 * the server is not there.
 */
export class Client {
  readonly endpoints: ServiceClient<typeof EndpointService>;
  readonly ingest: ServiceClient<typeof IngestService>;
  readonly dispatch: ServiceClient<typeof DispatchService>;
  readonly notifications: ServiceClient<typeof NotificationService>;
  readonly access: ServiceClient<typeof AccessService>;
  readonly audit: ServiceClient<typeof AuditService>;
  readonly #grpc: GrpcClient;
  readonly #closed = new AbortController();
  readonly #retrying: Retrying;

  /** What is not given is taken from the environment. TypeError: the options are not usable. */
  constructor(options: ClientOptions = {}) {
    const policy = { ...DEFAULT_RETRY_POLICY, ...options.retryPolicy };
    this.#retrying = { credential: credential(options), policy, budget: new Budget(policy) };
    this.#grpc = new GrpcClient(...target(options), grpcOptions());
    const calls = {
      grpc: this.#grpc,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      retrying: this.#retrying,
      closed: this.#closed.signal,
    };
    this.endpoints = serviceClient(EndpointService, calls);
    this.ingest = serviceClient(IngestService, calls);
    this.dispatch = serviceClient(DispatchService, calls);
    this.notifications = serviceClient(NotificationService, calls);
    this.access = serviceClient(AccessService, calls);
    this.audit = serviceClient(AuditService, calls);
  }

  /**
   * Publishes an event; when this resolves, the event is durable, and it counts once.
   *
   * `data` is a JSON object, or its text, which receivers get byte for byte. Without an `idempotencyKey` there
   * is a random one: give your own if the event may be published again by another call, for example after a
   * crash of your program.
   */
  publish(
    organizationId: string,
    eventType: string,
    data: EventData,
    options: PublishOptions & CallOptions = {},
  ): Promise<PublishEventResponse> {
    return this.ingest.publishEvent(publishRequest(organizationId, eventType, data, options), options);
  }

  /** A publisher for many events at once: they go over one stream and are committed in batches. */
  publisher(organizationId: string, options: PublisherOptions = {}): Publisher {
    return new Publisher(this.ingest.streamEvents, organizationId, this.#retrying, options);
  }

  /**
   * Uses a publisher, and closes it: the end of `use` waits for the acknowledgements, as `Publisher.close` does. If
   * `use` fails, what is not acknowledged is given up, as `Publisher.abort` does, and the error goes on at once.
   */
  async withPublisher<T>(
    organizationId: string,
    use: (publisher: Publisher) => Promise<T>,
    options: PublisherOptions = {},
  ): Promise<T> {
    const publisher = this.publisher(organizationId, options);
    let result: T;
    try {
      result = await use(publisher);
    } catch (error) {
      publisher.abort();
      throw error;
    }
    await publisher.close();
    return result;
  }

  /**
   * The items of all pages of a list, for example of `endpoints.listEndpoints`.
   *
   * `request` is that of the first page; its `pageSize` is the size of all pages.
   */
  async *iterate<I extends DescMessage, O extends DescMessage>(
    list: UnaryMethod<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): AsyncGenerator<ItemOf<MessageShape<O>>, void> {
    const items = list.method.output.fields.find((field) => field.fieldKind === "list");
    if (items === undefined) {
      throw new TypeError(`${list.method.name} is no list`);
    }
    let pageToken: string | undefined;
    do {
      const page = await list(withField(list.method.input as I, request, "pageToken", pageToken), options);
      const fields = page as unknown as Record<string, unknown>;
      yield* fields[items.localName] as ItemOf<MessageShape<O>>[];
      pageToken = fields["nextPageToken"] as string;
    } while (pageToken);
  }

  /**
   * The changes of a watch, for example `dispatch.watchDeliveries`, over as many connections as it takes.
   *
   * It goes on where it was with the last `resumeToken`, so that no change is lost from its beginning on. It ends with
   * the replay (`watchReplay`), when the loop is left, or when the client is closed. It fails with WebhooksError if the server refuses it, or
   * cannot be trusted.
   */
  async *watch<I extends DescMessage, O extends DescMessage>(
    watch: ServerStreamMethod<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): AsyncGenerator<MessageShape<O>, void> {
    const { signal, unlink } = linked(this.#closed.signal, options.signal);
    try {
      yield* this.#watch(watch, request, { ...options, signal });
    } catch (error) {
      if (!this.#closed.signal.aborted) {
        throw error;
      }
    } finally {
      unlink();
    }
  }

  async *#watch<I extends DescMessage, O extends DescMessage>(
    watch: ServerStreamMethod<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions & { signal: AbortSignal },
  ): AsyncGenerator<MessageShape<O>, void> {
    const { credential, policy } = this.#retrying;
    const { input, output } = watch.method;
    const resumes = input.fields.some((field) => field.localName === "resumeToken");
    const content = output.fields.filter((field) => field.localName !== "resumeToken");
    const refusals = new KeyRefusals(credential);
    let resumeToken: string | undefined;
    for (let failures = 1; ; failures += 1) {
      const key = await credential.current();
      let askedMs: number | undefined;
      try {
        for await (const response of watch(withField(input as I, request, "resumeToken", resumeToken), options)) {
          failures = 0;
          refusals.accepted();
          if (resumes) {
            resumeToken = (response as unknown as { resumeToken: string }).resumeToken;
          }
          // The first response of today's servers has a token only: where the watch begins.
          if (!resumes || content.some((field) => isFieldSet(response as Message, field))) {
            yield response;
          }
        }
        if (!resumes) {
          return;
        }
      } catch (error) {
        if (await refusals.goesOn(error, key)) {
          continue;
        }
        if (!(error instanceof WebhooksError) || !error.isTemporary) {
          throw error;
        }
        askedMs = error.retryDelayMs;
      }
      const { signal } = options;
      const wait = backoff(policy, Math.max(1, failures), askedMs);
      await setTimeout(wait, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /** Ends all calls: watches end, others fail with CANCELLED. */
  close(): void {
    this.#closed.abort(WebhooksError.own(Code.CANCELLED, "the client was closed"));
    this.#grpc.close();
  }
}

/** A copy of a request with another value in a field; the caller's request is not changed. */
function withField<I extends DescMessage>(
  schema: I,
  request: MessageInitShape<I>,
  field: string,
  value: string | undefined,
): MessageInitShape<I> {
  return value === undefined ? request : create(schema, { ...request, [field]: value } as MessageInitShape<I>);
}
