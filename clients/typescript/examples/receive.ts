import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { VerificationError, verify } from "@keeptrusts/webhooks";

const server = createServer(async (request, response) => {
  const body = await buffer(request);
  try {
    const eventId = verify(request.headers, body, process.env.WEBHOOK_SECRET ?? "");
    console.log("received", eventId, body.toString());
    response.writeHead(204).end();
  } catch (error) {
    response.writeHead(error instanceof VerificationError ? 400 : 500).end();
  }
});
server.listen(Number(process.argv[2]), "127.0.0.1"); // a proxy adds TLS
