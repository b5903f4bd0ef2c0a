/**
 * The client of Keeptrusts Webhooks, for programs that publish events, manage endpoints or receive deliveries.
 *
 * The messages of the API are in `@keeptrusts/webhooks/v1`.
 *
 * @module
 */

export type { BidiStreamMethod, CallOptions, ServerStreamMethod, ServiceClient, UnaryMethod } from "./calls.js";
export { Client } from "./client.js";
export type { ClientOptions } from "./connection.js";
export { Code, type FieldViolation, WebhooksError } from "./errors.js";
export type { EventData, Publication, Publisher, PublisherOptions, PublishOptions } from "./publisher.js";
export type { RetryPolicy } from "./retries.js";
export {
  type ReceivedHeaders,
  VerificationError,
  type VerificationFailure,
  verify,
  verifyBody,
  type VerifyOptions,
} from "./verify.js";
