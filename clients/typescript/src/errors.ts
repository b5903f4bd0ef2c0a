// Errors of calls, with the details that the server gives.

import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status as Code } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RequestInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "./gen/google/rpc/status_pb.js";

export { Code };

/** A field of the request that breaks its rule. */
export interface FieldViolation {
  /** Its path in the request, for example `endpoint.url`. */
  readonly field: string;
  readonly description: string;
  /** What programs match: the reasons are listed in docs/api.md. Empty if the server gave none. */
  readonly reason: string;
}

/** A call failed. gRPC's own error is the `cause`, if there was a call of its own. */
export class WebhooksError extends Error {
  override readonly name = "WebhooksError";
  /** gRPC's code: `Code.NOT_FOUND` and others. */
  readonly code: Code;
  /** What programs match: the reasons are listed in docs/api.md. Empty if the server gave none. */
  readonly reason: string;
  readonly fieldViolations: readonly FieldViolation[];
  /** In milliseconds, when the server says that a retry helps. */
  readonly retryDelayMs: number | undefined;
  /** By which the operator finds the call in logs and traces. */
  readonly requestId: string;
  /** How often the call was tried. The error is that of the last attempt that got one. */
  readonly attempts: number;
  readonly #failure: Failure;

  private constructor(
    code: Code,
    text: string,
    details: Pick<WebhooksError, "reason" | "fieldViolations" | "retryDelayMs" | "requestId">,
    failure: Failure,
    attempts = 1,
    cause?: unknown,
  ) {
    super(text, { cause });
    this.attempts = attempts;
    this.#failure = failure;
    this.code = code;
    this.reason = details.reason;
    this.fieldViolations = details.fieldViolations;
    this.retryDelayMs = details.retryDelayMs;
    this.requestId = details.requestId;
  }

  /** Whether the same request may succeed later, and has not been refused for good. */
  get isTemporary(): boolean {
    const isDistrust = this.#failure === "untrusted server" || this.#failure === "refused client";
    return !isDistrust && (this.code === Code.UNAVAILABLE || this.retryDelayMs !== undefined);
  }

  /** Whether there was no connection, so that the request was not sent. */
  static isNotConnected(error: WebhooksError): boolean {
    return error.#failure !== "answered";
  }

  /** The same error of a call that is not tried again after so many attempts. */
  static after(error: WebhooksError, attempts: number, tookMs: number): WebhooksError {
    const isGivenUp = attempts > 1 && error.isTemporary;
    const began = isGivenUp ? `gave up after ${attempts} attempts in ${(tookMs / 1000).toFixed(1)} s; the last error: ` : "";
    return new WebhooksError(error.code, began + error.message, error, error.#failure, attempts, error.cause);
  }

  /** An error that is the client's own. */
  static own(code: Code, text: string): WebhooksError {
    return WebhooksError.ofStatus({ code, message: text, details: [] });
  }

  /** From what grpc-js throws. Other errors stay what they are. */
  static ofCall(error: unknown): unknown {
    if (!isServiceError(error)) {
      return error;
    }
    const [binary] = error.metadata.get("grpc-status-details-bin");
    const requestId = error.metadata.get("x-request-id")[0]?.toString() ?? "";
    let status: Pick<Status, "code" | "message" | "details"> = { code: error.code, message: error.details, details: [] };
    try {
      if (binary instanceof Uint8Array) {
        status = fromBinary(StatusSchema, binary);
      }
    } catch {
      // The code and the message say it alone.
    }
    const failure = failureOf(error);
    const message = whatToDo(failure, status.message);
    return WebhooksError.ofStatus({ ...status, message }, requestId, failure, error);
  }

  /** From a google.rpc.Status, which items of batches and streams have. */
  static ofStatus(
    status: Pick<Status, "code" | "message" | "details">,
    requestId = "",
    failure: Failure = "answered",
    cause?: unknown,
  ): WebhooksError {
    let reason = "";
    let fieldViolations: FieldViolation[] = [];
    let retryDelayMs: number | undefined;
    for (const detail of status.details) {
      const retryDelay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
      if (retryDelay) {
        retryDelayMs = Math.max(0, Number(retryDelay.seconds) * 1000 + retryDelay.nanos / 1e6);
      }
      reason ||= anyUnpack(detail, ErrorInfoSchema)?.reason ?? "";
      requestId ||= anyUnpack(detail, RequestInfoSchema)?.requestId ?? "";
      const violations = anyUnpack(detail, BadRequestSchema)?.fieldViolations ?? [];
      fieldViolations = fieldViolations.concat(violations.map(({ field, description, reason }) => ({ field, description, reason })));
    }
    const fields = fieldViolations.map((violation) => `; ${violation.field}: ${violation.description}`);
    const tags = [Code[status.code] ?? `code ${status.code}`, reason].filter(Boolean).join(" ");
    const request = requestId && ` (request ${requestId})`;
    const text = `${tags}: ${status.message}${fields.join("")}${request}`;
    return new WebhooksError(status.code, text, { reason, fieldViolations, retryDelayMs, requestId }, failure, 1, cause);
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "metadata" in error && "code" in error && "details" in error;
}

/** How far a request came: not further than that there was no connection, or that a certificate was not trusted. */
type Failure = "answered" | "not connected" | "untrusted server" | "refused client";

/** How grpc-js begins the text of its own UNAVAILABLE when it could not connect. */
const NOT_CONNECTED = /^No connection established\. Last error: (.*?)\s*(\(\S+Z\)\.)?\s*(Resolution note:.*)?$/s;

/** Only grpc-js's text says it: it ends with the error of TLS, which is OpenSSL's or Node's. */
function failureOf(error: ServiceError): Failure {
  const [, cause] = (error.code === Code.UNAVAILABLE && NOT_CONNECTED.exec(error.details)) || [];
  if (cause === undefined) {
    return "answered";
  }
  // An alert of the server's.
  if (/alert (bad certificate|unsupported certificate|certificate \w+|unknown ca|access denied)/.test(cause)) {
    return "refused client";
  }
  return /certificate|ERR_TLS_CERT_ALTNAME_INVALID/i.test(cause) ? "untrusted server" : "not connected";
}

function whatToDo(failure: Failure, text: string): string {
  const cause = NOT_CONNECTED.exec(text)?.[1] ?? text;
  switch (failure) {
    case "untrusted server":
      return (
        `the server's certificate is not trusted: ${cause}. Give the authority that issued it as caFile, and an ` +
        "address that the certificate names; if it has expired, its server needs another one"
      );
    case "refused client":
      return (
        `the server has refused the client's certificate: ${cause}. Give one that the server accepts as ` +
        "certificateFile and privateKeyFile"
      );
    default:
      return text;
  }
}
