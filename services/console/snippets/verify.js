const crypto = require("crypto");

function verify(secret, rawBody, header) {
  const expected = crypto.createHmac("sha256", secret).update(rawBody).digest();
  const received = /^sha256=([0-9a-fA-F]{64})$/.exec(header || "");
  return received !== null && crypto.timingSafeEqual(Buffer.from(received[1], "hex"), expected);
}
