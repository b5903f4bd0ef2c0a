// Verifies checks read as JSON lines with the function of the product's tutorial.
const crypto = require("crypto");

// As the tutorial has it.
function verifySignature(secret, body, signatureHeader) {
  const expected = crypto
    .createHmac("sha256", secret)
    .update(body)
    .digest("hex");
  const received = signatureHeader.replace("sha256=", "");
  return crypto.timingSafeEqual(
    Buffer.from(expected, "hex"),
    Buffer.from(received, "hex")
  );
}

function verdict({ secret, body, header }) {
  if (!header.startsWith("sha256=")) {
    return `the header is ${JSON.stringify(header)}`;
  }
  try {
    return verifySignature(secret, Buffer.from(body, "base64"), header)
      ? null
      : "the signature does not match";
  } catch (error) {
    return String(error);
  }
}

const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
const verdicts = lines.map((line) => JSON.stringify(verdict(JSON.parse(line))));
process.stdout.write(verdicts.map((line) => line + "\n").join(""));
