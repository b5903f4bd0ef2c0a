// Where the server is and how it is reached: address, TLS, the API key.

import { isIP } from "node:net";
import { type ChannelCredentials, type ClientOptions as GrpcOptions, credentials } from "@grpc/grpc-js";
import { tlsCredentials } from "./certificates.js";
import { Credential } from "./credential.js";
import type { RetryPolicy } from "./retries.js";

export const VERSION = "0.1.0";
/** The deadline of a call that is given none, all attempts included. */
export const DEFAULT_TIMEOUT_MS = 30_000;

const ADDRESS = "KEEPTRUSTS_WEBHOOKS_ADDRESS";
const API_KEY = "KEEPTRUSTS_WEBHOOKS_API_KEY";
const API_KEY_FILE = "KEEPTRUSTS_WEBHOOKS_API_KEY_FILE";

/** What a client is made with. What is not given is taken from the environment. */
export interface ClientOptions {
  /** `https://HOST[:PORT]`, or `http://…` on this machine. KEEPTRUSTS_WEBHOOKS_ADDRESS. */
  readonly address?: string;
  /** KEEPTRUSTS_WEBHOOKS_API_KEY. */
  readonly apiKey?: string;
  /**
   * A file with the key. KEEPTRUSTS_WEBHOOKS_API_KEY_FILE. It is read again every 5 seconds while calls are made, and
   * when the server refuses the key, so that the key can be replaced.
   */
  readonly apiKeyFile?: string;
  /** The authorities to trust instead of Node's own (PEM). */
  readonly caFile?: string;
  /** Shown to a server that demands it (PEM), with `privateKeyFile`. */
  readonly certificateFile?: string;
  readonly privateKeyFile?: string;
  /** The deadline of a call that is given none, all attempts included. 30,000 by default. */
  readonly timeoutMs?: number;
  readonly retryPolicy?: Partial<RetryPolicy>;
}

/** gRPC's target and credentials. TypeError: the options are not usable. */
export function target(options: ClientOptions): [string, ChannelCredentials] {
  const address = options.address || process.env[ADDRESS];
  if (!address) {
    throw new TypeError(`no address: give \`address\`, or set ${ADDRESS}, for example https://webhooks.example.com`);
  }
  const url = parse(address);
  if (!url || !["http:", "https:"].includes(url.protocol) || url.pathname !== "/" || url.search || url.username) {
    throw new TypeError("the address must be https://HOST[:PORT], or http://HOST[:PORT] on this machine");
  }
  const name = `dns:${url.hostname}:${url.port || (url.protocol === "https:" ? 443 : 80)}`;
  if (url.protocol === "https:") {
    return [name, tlsCredentials(options)];
  }
  if (!isLoopback(url.hostname)) {
    throw new TypeError(
      "an http address must be of this machine (loopback): the API key would be readable; use https",
    );
  }
  if (options.caFile || options.certificateFile || options.privateKeyFile) {
    throw new TypeError("certificates need an https address");
  }
  return [name, credentials.createInsecure()];
}

function parse(address: string): URL | undefined {
  try {
    return new URL(address);
  } catch {
    return undefined;
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || (isIP(host) === 4 && host.startsWith("127."));
}

/** The API key, from where it is given. TypeError: there is none. */
export function credential(options: ClientOptions): Credential {
  const given = Boolean(options.apiKey || options.apiKeyFile);
  const key = given ? options.apiKey : process.env[API_KEY];
  const file = given ? options.apiKeyFile : process.env[API_KEY_FILE];
  if (!key && !file) {
    throw new TypeError(`no API key: give \`apiKey\` or \`apiKeyFile\`, or set ${API_KEY} or ${API_KEY_FILE}`);
  }
  return new Credential(key, file);
}

/** The channel's options. gRPC connects with the first call. */
export function grpcOptions(): GrpcOptions {
  return {
    "grpc.primary_user_agent": `keeptrusts-webhooks-typescript/${VERSION}`,
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    // gRPC waits up to two minutes before it connects again, too long after a server's restart.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 5_000,
    // The client makes all retries: gRPC's own would multiply them, outside of the budget.
    "grpc.enable_retries": 0,
    "grpc.service_config_disable_resolution": 1,
  };
}
