//! A receiver whose HTTP and TLS others have written.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use keeptrusts_webhooks_contracts::v1::delivery;
use keeptrusts_webhooks_testkit::receiver::Authority;

use crate::platform::{Backend, Database, Server};

/// A server of Python's standard library behind `ssl`, which many people write first. It sends no
/// Content-Length and closes each connection without TLS's close_notify.
const PYTHON_SERVER: &str = r#"
import http.server, ssl, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

struct PythonServer {
    child: Child,
    port: u16,
}

impl PythonServer {
    fn start(authority: &Authority, folder: &std::path::Path) -> Self {
        let (certificate, key) = authority.identity_pem("receiver");
        let write = |name: &str, content: &str| {
            let path = folder.join(name);
            std::fs::write(&path, content).expect("a file can be written");
            path
        };
        let mut child = Command::new("python3")
            .arg("-c")
            .arg(PYTHON_SERVER)
            .arg(write("receiver.pem", &certificate))
            .arg(write("receiver.key", &key))
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python 3 is installed");
        let mut port = String::new();
        let output = child.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut port).expect("it says its port");
        Self { child, port: port.trim().parse().expect("a port") }
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_pythons_standard_library_is_delivered_to() {
    let database = Database::new(Backend::Sqlite).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let authority = Authority::new();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).expect("a file can be written");
    let receiver = PythonServer::start(&authority, folder.path());
    let server = Server::all_in_one(&database)
        .flag("--trust-ca", ca_file.to_str().expect("the path is UTF-8"))
        .flag("--allow-network", "127.0.0.1/32")
        .start()
        .await;
    let client = server.client("acme");
    let url = format!("https://127.0.0.1:{}/hook", receiver.port);
    client.create_endpoint(&url, &["key.rotated"]).await;
    for _ in 0..5 {
        let event_id = client.publish("key.rotated", "{}").await;
        let delivery = client.wait_for_state(&event_id, delivery::State::Delivered).await;
        assert_eq!(delivery.attempts.len(), 1);
    }
}
