// The API key that calls carry, and the file that has it, which may be replaced at any time.

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** How long a key that was read from a file is used before the file is read again. */
const FRESH_MS = 5_000;

/** A key, or the file that has it. No text form shows the key. */
export class Credential {
  readonly #file: string | undefined;
  #key: string;
  readonly #now: () => number;
  #readAt: number;

  /** TypeError: there is no key, or it cannot be one. */
  constructor(key: string | undefined, file: string | undefined, now: () => number = Date.now) {
    this.#now = now;
    this.#readAt = now();
    this.#file = key ? undefined : file;
    this.#key = key || file === undefined ? checked(key ?? "") : readNow(file);
  }

  /** The key, read within the last seconds. Only the call that finds it older waits for the file. */
  async current(): Promise<string> {
    return this.#now() - this.#readAt < FRESH_MS ? this.#key : this.readAgain();
  }

  /** The key that is in the file now. While it cannot be read, as in the middle of its replacement, the last one. */
  async readAgain(): Promise<string> {
    this.#readAt = this.#now();
    if (this.#file !== undefined) {
      try {
        this.#key = checked(await readFile(this.#file, "utf8"));
      } catch {
        // The last key stays.
      }
    }
    return this.#key;
  }
}

function readNow(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new TypeError(`cannot read apiKeyFile: ${(error as Error).message}`, { cause: error });
  }
  try {
    return checked(text);
  } catch (error) {
    throw new TypeError(`apiKeyFile ${file}: ${(error as Error).message}`, { cause: error });
  }
}

function checked(text: string): string {
  const key = text.trim();
  if (key === "") {
    throw new TypeError("the API key is empty");
  }
  if (!/^[!-~]+$/.test(key)) {
    throw new TypeError("the API key has characters that no key has");
  }
  return key;
}
