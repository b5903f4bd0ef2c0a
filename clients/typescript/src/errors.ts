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

  private constructor(
    code: Code,
    text: string,
    details: Pick<WebhooksError, "reason" | "fieldViolations" | "retryDelayMs" | "requestId">,
    cause?: unknown,
  ) {
    const fields = details.fieldViolations.map((violation) => `; ${violation.field}: ${violation.description}`);
    const tags = [Code[code] ?? `code ${code}`, details.reason].filter(Boolean).join(" ");
    const request = details.requestId && ` (request ${details.requestId})`;
    super(`${tags}: ${text}${fields.join("")}${request}`, { cause });
    this.code = code;
    this.reason = details.reason;
    this.fieldViolations = details.fieldViolations;
    this.retryDelayMs = details.retryDelayMs;
    this.requestId = details.requestId;
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
    return WebhooksError.ofStatus(status, requestId, error);
  }

  /** From a google.rpc.Status, which items of batches and streams have. */
  static ofStatus(
    status: Pick<Status, "code" | "message" | "details">,
    requestId = "",
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
    const details = { reason, fieldViolations, retryDelayMs, requestId };
    return new WebhooksError(status.code, status.message, details, cause);
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "metadata" in error && "code" in error && "details" in error;
}
