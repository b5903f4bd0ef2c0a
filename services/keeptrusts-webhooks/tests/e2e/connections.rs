//! Receivers with untidy HTTP, and failing receivers beside others at the same host.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keeptrusts_webhooks_contracts::v1::DeliveryState;
use keeptrusts_webhooks_testkit::http2::{Connection, NO_ERROR};
use keeptrusts_webhooks_testkit::receiver::{
    Authority, Certificate, RawReceiver, Receiver, Reply, Script,
};

use crate::platform::{Backend, Client, Database, PATIENCE, Server, eventually};

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

/// Publishes events and waits until each is delivered; returns the number of attempts of each.
async fn attempts_until_delivered(client: &Client, count: usize) -> Vec<usize> {
    let mut events = Vec::new();
    for _ in 0..count {
        events.push(client.publish("key.rotated", "{}").await);
    }
    let mut attempts = Vec::new();
    for event in events {
        let delivery = client.wait_for_state(&event, DeliveryState::Delivered).await;
        attempts.push(delivery.attempts.len());
    }
    attempts
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
    assert_eq!(attempts_until_delivered(&client, 5).await, [1; 5]);
}

/// The third stream of a client (RFC 9113 section 5.1.1).
const LAST_PROCESSED: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_a_receiver_gives_back_are_delivered_by_the_first_attempt() {
    let processed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&processed);
    // Each connection accepts three requests, like servers that are restarted often: the first
    // three that were begun, since those up to the last stream that a GOAWAY names have been
    // processed. Bodies arrive in any order.
    let receiver = RawReceiver::start(Certificate::Valid, false, move |stream, _| {
        let count = Arc::clone(&count);
        async move {
            let serving = async {
                let mut frames = Connection::begin(stream, &[]).await?;
                let mut processed = 0;
                while processed < 3 {
                    let id = frames.request().await?;
                    if id <= LAST_PROCESSED {
                        frames.answer(id, 200, false).await?;
                        count.fetch_add(1, Ordering::SeqCst);
                        processed += 1;
                    }
                }
                frames.go_away(LAST_PROCESSED, NO_ERROR).await?;
                frames.end().await;
                std::io::Result::Ok(())
            };
            // Fails when the sender closes the connection.
            let _ = serving.await;
        }
    });
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .flag("--trust-ca", receiver.ca_file().to_str().expect("the path is UTF-8"))
        .flag("--allow-network", "127.0.0.1/32")
        .start()
        .await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["key.rotated"]).await;
    for _ in 0..3 {
        let attempts = attempts_until_delivered(&client, 20).await;
        assert_eq!(attempts, [1; 20]);
    }
    assert_eq!(processed.load(Ordering::SeqCst), 60);
    assert!(receiver.connection_count() >= 20, "{}", receiver.connection_count());
}

/// Invariant 8.
#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_hang_delay_no_other_organization_at_the_same_host() {
    let scripts = [
        ("/hang", Script::always(Reply::Hang)),
        ("/fast", Script::default()),
        ("/slow", Script::always(Reply::ok().after(Duration::from_secs(1)))),
    ];
    let receiver = Receiver::start(Script::by_path(scripts));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let hanging = server.client("acme");
    for _ in 0..2 {
        hanging.create_endpoint(&receiver.url("/hang"), &["key.rotated"]).await;
    }
    let other = server.client("globex");
    other.create_endpoint(&receiver.url("/fast"), &["key.rotated"]).await;
    other.create_endpoint(&receiver.url("/slow"), &["policy.violation"]).await;
    for _ in 0..64 {
        hanging.publish("key.rotated", "{}").await;
    }
    let to = |path: &str| receiver.requests().iter().filter(|it| it.path == path).count();
    eventually("both endpoints hang", async || (to("/hang") >= 128).then_some(())).await;

    for count in 1..=3 {
        let published = Instant::now();
        other.publish("key.rotated", "{}").await;
        receiver
            .wait_until(
                |requests| requests.iter().filter(|it| it.path == "/fast").count() >= count,
                PATIENCE,
            )
            .await;
        assert!(published.elapsed() < Duration::from_secs(2), "{:?}", published.elapsed());
        let event = other.publish("policy.violation", "{}").await;
        let delivery = other.wait_for_state(&event, DeliveryState::Delivered).await;
        assert_eq!(delivery.attempts.len(), 1);
    }
}
