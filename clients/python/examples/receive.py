import http.server
import os
import sys

from keeptrusts.webhooks import VerificationError, verify


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event_id = verify(dict(self.headers), body, os.environ["WEBHOOK_SECRET"])
            print("received", event_id, body.decode(), flush=True)
            self.send_response(204)
        except VerificationError as error:
            self.send_response(400, error.reason)
        self.end_headers()


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()  # a proxy adds TLS
