// The files of certificates and keys. grpc-js would say nothing of one that it cannot use until the first call.

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { type ChannelCredentials, credentials } from "@grpc/grpc-js";

interface Files {
  readonly caFile?: string;
  readonly certificateFile?: string;
  readonly privateKeyFile?: string;
}

/** The credentials of TLS. TypeError: a file cannot be used. */
export function tlsCredentials(files: Files): ChannelCredentials {
  const roots = files.caFile ? certificates("caFile", files.caFile) : null;
  if (!files.certificateFile && !files.privateKeyFile) {
    return credentials.createSsl(roots);
  }
  if (!files.certificateFile || !files.privateKeyFile) {
    throw new TypeError("give certificateFile and privateKeyFile, or neither: they belong together");
  }
  const cert = certificates("certificateFile", files.certificateFile);
  const key = read("privateKeyFile", files.privateKeyFile);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    const both = `privateKeyFile ${files.privateKeyFile} cannot be used with certificateFile ${files.certificateFile}`;
    throw new TypeError(`${both}: ${(error as Error).message}`, { cause: error });
  }
  return credentials.createSsl(roots, key, cert);
}

function read(option: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new TypeError(`cannot read ${option}: ${(error as Error).message}`, { cause: error });
  }
}

function certificates(option: string, file: string): Buffer {
  const content = read(option, file);
  // X509Certificate takes DER too, which TLS does not.
  const isPem = content.includes("-----BEGIN ");
  try {
    new X509Certificate(isPem ? content : ""); // The first one in the file.
  } catch (error) {
    throw new TypeError(`${option} ${file} has no certificate that can be read (PEM)`, { cause: error });
  }
  return content;
}
