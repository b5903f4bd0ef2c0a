import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { setTimeout } from "node:timers/promises";
import { Client as GrpcClient, Metadata } from "@grpc/grpc-js";
import { type CallOptions, type ServerStreamMethod, type ServiceClient, serviceClient, type UnaryMethod } from "./calls.js";
import { apiKey, type ClientOptions, DEFAULT_TIMEOUT_MS, grpcOptions, target } from "./connection.js";
import { AccessService } from "./gen/keeptrusts/webhooks/v1/access_service_pb.js";
import { AuditService } from "./gen/keeptrusts/webhooks/v1/audit_service_pb.js";
import { DispatchService } from "./gen/keeptrusts/webhooks/v1/dispatch_service_pb.js";
import { EndpointService } from "./gen/keeptrusts/webhooks/v1/endpoint_service_pb.js";
import { IngestService, type PublishEventResponse } from "./gen/keeptrusts/webhooks/v1/ingest_service_pb.js";
import { NotificationService } from "./gen/keeptrusts/webhooks/v1/notification_service_pb.js";
import { type EventData, type PublishOptions, publishRequest, Publisher, type PublisherOptions } from "./publisher.js";
import { backoff, DEFAULT_RETRY_POLICY, isTemporary, type RetryPolicy, serviceConfig } from "./retries.js";

const SERVICES = [AccessService, AuditService, DispatchService, EndpointService, IngestService, NotificationService];

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
  readonly #retryPolicy: RetryPolicy;

  /** What is not given is taken from the environment. TypeError: the options are not usable. */
  constructor(options: ClientOptions = {}) {
    const key = apiKey(options);
    this.#retryPolicy = { ...DEFAULT_RETRY_POLICY, ...options.retryPolicy };
    this.#grpc = new GrpcClient(...target(options), grpcOptions(serviceConfig(SERVICES)));
    const calls = {
      grpc: this.#grpc,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      retryPolicy: this.#retryPolicy,
      metadata: () => {
        const metadata = new Metadata();
        metadata.set("authorization", `Bearer ${key}`);
        return metadata;
      },
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
    return new Publisher(this.ingest.streamEvents, organizationId, this.#retryPolicy, options);
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
   * It goes on where it was with the last `resumeToken`, so that no change is lost once the first one has come.
   * It ends with the replay (`watchReplay`), or when the loop is left. It fails with WebhooksError if the server
   * refuses it.
   */
  async *watch<I extends DescMessage, O extends DescMessage>(
    watch: ServerStreamMethod<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): AsyncGenerator<MessageShape<O>, void> {
    const resumes = watch.method.input.fields.some((field) => field.localName === "resumeToken");
    let resumeToken: string | undefined;
    for (let failures = 1; ; failures += 1) {
      let askedMs: number | undefined;
      try {
        for await (const response of watch(withField(watch.method.input as I, request, "resumeToken", resumeToken), options)) {
          failures = 0;
          if (resumes) {
            resumeToken = (response as unknown as { resumeToken: string }).resumeToken;
          }
          yield response;
        }
        if (!resumes) {
          return;
        }
      } catch (error) {
        if (!isTemporary(error)) {
          throw error;
        }
        askedMs = error.retryDelayMs;
      }
      await setTimeout(backoff(this.#retryPolicy, failures, askedMs), undefined, { signal: options.signal });
    }
  }

  /** Ends all calls. */
  close(): void {
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
