// A real server, and a receiver, for the tests: the binary that KEEPTRUSTS_WEBHOOKS_BINARY names.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { Client, type ClientOptions } from "@keeptrusts/webhooks";

/** How long anything may take. */
export const PATIENCE_MS = 30_000;

// A test that hangs is a failure, not the end of CI.
const watchdog = () => process.exit(1);
globalThis.setTimeout(watchdog, 300_000).unref();

export async function eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `not in time: ${what}`);
    await setTimeout(20);
  }
}

export async function freePort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  listener.close();
  await once(listener, "close");
  return port;
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

export function openssl(folder: string, ...words: string[]): void {
  execFileSync("openssl", words, { cwd: folder, stdio: "pipe" });
}

/** `server.pem` and `key.pem`, self-signed; of localhost: for 127.0.0.1 too. -1 days: expired. */
export function makeCertificate(folder: string, name = "localhost", days = 2): void {
  const names = `DNS:${name}${name === "localhost" ? ",IP:127.0.0.1" : ""}`;
  writeFileSync(join(folder, "server.ext"), `subjectAltName=${names}\nbasicConstraints=CA:TRUE\n`);
  openssl(folder, "req", ...KEY, "-subj", `/CN=${name}`, "-keyout", "key.pem", "-out", "server.csr");
  const files = ["-in", "server.csr", "-signkey", "key.pem", "-extfile", "server.ext", "-out", "server.pem"];
  openssl(folder, "x509", "-req", ...files, "-days", String(days));
}

/** `client.pem` and `client-key.pem`, by the authority `client-ca.pem`. */
export function makeClientCertificate(folder: string): void {
  const authority = ["-keyout", "client-ca-key.pem", "-out", "client-ca.pem"];
  openssl(folder, "req", "-x509", ...KEY, "-days", "2", "-subj", "/CN=authority", ...authority);
  openssl(folder, "req", ...KEY, "-subj", "/CN=client", "-keyout", "client-key.pem", "-out", "client.csr");
  // An extension makes it a certificate of version 3; others are refused.
  writeFileSync(join(folder, "client.ext"), "extendedKeyUsage=clientAuth\n");
  const signing = ["-CA", "client-ca.pem", "-CAkey", "client-ca-key.pem", "-CAcreateserial"];
  const files = ["-in", "client.csr", "-extfile", "client.ext", "-out", "client.pem"];
  openssl(folder, "x509", "-req", ...signing, "-days", "2", ...files);
}

/** The server, on SQLite in a folder of its own. It keeps its port and its key when it is started again. */
export class Server {
  readonly folder = mkdtempSync(join(tmpdir(), "keeptrusts-webhooks-"));
  readonly key = `kt_${randomBytes(32).toString("hex")}`;
  #port = 0;
  #process: ChildProcess | undefined;
  readonly #flags: string[];

  constructor(...flags: string[]) {
    this.#flags = flags;
    mkdirSync(join(this.folder, "data"));
    makeCertificate(this.folder);
  }

  get address(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  client(options: ClientOptions = {}): Client {
    return new Client({ address: this.address, apiKey: this.key, ...options });
  }

  async start(): Promise<void> {
    this.#port ||= await freePort();
    const log = openSync(join(this.folder, "log"), "a");
    const binary = process.env["KEEPTRUSTS_WEBHOOKS_BINARY"] ?? "";
    const listen = ["--no-console", "--listen", `127.0.0.1:${this.#port}`, "--data-dir", "data"];
    const receivers = ["--allow-network", "127.0.0.0/8", "--trust-ca", "server.pem"];
    this.#process = spawn(binary, ["serve", ...listen, ...receivers, ...this.#flags], {
      cwd: this.folder,
      env: { ...process.env, KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY: this.key },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    await eventually("the server listens", () => this.#listens());
  }

  /** As a power cut does: no time to say goodbye. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#process?.exitCode === null && this.#process.signalCode === null) {
      const exit = once(this.#process, "exit");
      this.#process.kill(signal);
      await exit;
    }
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }

  async #listens(): Promise<boolean> {
    assert.equal(this.#process?.exitCode, null, readFileSync(join(this.folder, "log"), "utf8"));
    const socket = connect(this.#port, "127.0.0.1");
    const connected = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket, "error").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    return connected;
  }
}

/** An HTTPS server that keeps what it gets and answers 204. */
export class Receiver {
  readonly requests: { headers: IncomingHttpHeaders; body: Buffer }[] = [];
  readonly #server;

  constructor(folder: string) {
    const key = readFileSync(join(folder, "key.pem"));
    const cert = readFileSync(join(folder, "server.pem"));
    this.#server = createHttpsServer({ key, cert }, async (request, response) => {
      this.requests.push({ headers: request.headers, body: await buffer(request) });
      response.writeHead(204).end();
    });
  }

  async start(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}/webhooks`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
