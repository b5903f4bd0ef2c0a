const crypto = require("crypto");

function verify(secret, rawBody, header) {
  const expected = crypto.createHmac("sha256", secret).update(rawBody).digest();
  const received = Buffer.from((header || "").replace(/^sha256=/, ""), "hex");
  return received.length === expected.length && crypto.timingSafeEqual(received, expected);
}
