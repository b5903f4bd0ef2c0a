//! The console behind a proxy that terminates TLS, and with slow clients.

use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::http::{Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::console::fixture::{FORM, HttpSession, ORGANIZATION};
use crate::platform::{Backend, Database, PATIENCE, Server, eventually};

const PUBLIC: &str = "https://hooks.example.com";

/// A server whose console knows its public URL, and the address for the proxy.
async fn behind_a_proxy(database: &Database) -> (Server, String) {
    let server = Server::all_in_one(database).flag("--console-public-url", PUBLIC).start().await;
    let is_said = |line: &str| line.contains("the console is at https://hooks.example.com/");
    let line = server.process().wait_for_line(is_said, PATIENCE).await;
    let (_, rest) = line.split_once("listening=").expect("where it listens");
    let address = rest.split_whitespace().next().unwrap_or_default().to_owned();
    (server, format!("http://{address}"))
}

/// Signs in with additional headers.
async fn sign_in(session: &HttpSession, headers: &[(&str, &str)]) -> Response {
    let token = session.form_token("/sign-in").await;
    let body = format!("csrf={token}&key={FIRST_KEY}&organization={ORGANIZATION}");
    let headers: Vec<_> = [("content-type", FORM)].iter().chain(headers).copied().collect();
    session.send(Method::POST, "/sign-in", &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_the_public_url_are_taken_whatever_host_the_proxy_passes_on() {
    let database = Database::new(Backend::Sqlite).await;
    let (server, console) = behind_a_proxy(&database).await;
    let session = HttpSession::of_nobody(&console).await;
    for host in ["hooks.example.com", "127.0.0.1:8080", "console:8080"] {
        // Older versions of Safari do not send Sec-Fetch-Site, and filters remove it.
        for site in [&[][..], &[("sec-fetch-site", "same-origin")]] {
            let ours = [&[("host", host), ("origin", PUBLIC)], site].concat();
            let answer = sign_in(&session, &ours).await;
            assert_eq!(answer.status, 303, "{ours:?}: {}", answer.text());
            let foreign = [&[("host", host), ("origin", "https://evil.example")], site].concat();
            assert_eq!(sign_in(&session, &foreign).await.status, 403, "{foreign:?}");
        }
    }
    // The operator finds the proxy's mistake in the log.
    let page = sign_in(&session, &[("origin", "http://hooks.example.com")]).await.text();
    for named in ["http://hooks.example.com", PUBLIC, "--console-public-url"] {
        assert!(page.contains(named), "{named} is not in {page}");
    }
    let is_told = |line: &str| line.contains("WARN") && line.contains("https://evil.example");
    server.process().wait_for_line(is_told, PATIENCE).await;
    let without = HttpSession { cookie: "other=1".to_owned(), ..session };
    let page = sign_in(&without, &[("origin", PUBLIC)]).await;
    assert!(page.status == 403 && page.text().contains("Set-Cookie"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_without_a_public_url_behind_a_proxy_says_how_to_set_it() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let session = HttpSession::of_nobody(&server.console().await).await;
    let named = "--console-public-url https://hooks.example.com";
    let host = [("host", "hooks.example.com")];
    let answer = session.send(Method::GET, "/sign-in", &host, String::new()).await;
    assert!(answer.status == 403 && answer.text().contains(named), "{}", answer.text());
    server.process().wait_for_line(|line| line.contains(named), PATIENCE).await;
    let is_warned = |line: &str| line.contains("not marked Secure");
    assert!(!server.process().output().lines().any(is_warned), "nothing came over TLS yet");
    let forwarded = [("x-forwarded-proto", "https")];
    let answer = session.send(Method::GET, "/sign-in", &forwarded, String::new()).await;
    assert_eq!(answer.status, 200, "it may be another program's mistake");
    server.process().wait_for_line(is_warned, PATIENCE).await;
    // nginx by default passes on the address that it connects to.
    let page = sign_in(&session, &[("origin", PUBLIC)]).await;
    let is_named = page.text().contains(PUBLIC) && page.text().contains("--console-public-url");
    assert!(page.status == 403 && is_named, "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_compressed_except_those_that_show_a_secret() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let admin = HttpSession::open(&server.console().await, FIRST_KEY).await;
    let get = async |path: &str| {
        admin.send(Method::GET, path, &[("accept-encoding", "gzip, br")], String::new()).await
    };
    let assert_compressed = async |path: &str| {
        let answer = get(path).await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{path}");
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("accept-encoding")));
        assert!(answer.body.len() < admin.get(path).await.body.len(), "{path}");
    };
    let assert_as_it_is = |answer: &Response, secret: &str| {
        assert!(answer.text().contains(secret), "{}", answer.text());
        assert_eq!(answer.header("content-encoding"), Some("identity"), "{}", answer.text());
        let caching = answer.header("cache-control").unwrap_or_default();
        assert!(caching.contains("no-store") && caching.contains("no-transform"), "{caching}");
    };
    let page = admin.get("/webhooks").await.text();
    let assets = page.split('"').filter(|it| it.starts_with("/assets/") && !it.ends_with("svg"));
    for path in ["/webhooks", "/events", "/keys/new"].into_iter().chain(assets) {
        assert_compressed(path).await;
    }
    // A secret that is generated, one that was typed and is shown again, and one that is shown
    // once.
    assert_as_it_is(&get("/webhooks/new").await, "whsec_");
    let token = admin.form_token("/webhooks/new").await;
    let typed = format!("csrf={token}&display_name=siem&url=https%3A%2F%2Fsiem.example.com%2F");
    let typed = format!("{typed}&secret=correct+horse+battery&event_types=policy.block");
    let encoded = [("content-type", FORM), ("accept-encoding", "gzip")];
    for (action, field) in [("next", "correct horse battery"), ("back", "correct horse battery")] {
        let body = format!("{typed}&action={action}");
        let answer = admin.send(Method::POST, "/webhooks/new", &encoded, body).await;
        assert_as_it_is(&answer, field);
    }
    let typed =
        format!("csrf={token}&kind=slack&display_name=&url=https%3A%2F%2Fhooks.slack.com%2Fhidden");
    let answer = admin.send(Method::POST, "/channels/new", &encoded, typed).await;
    assert_as_it_is(&answer, "https://hooks.slack.com/hidden");
    let body = format!("csrf={token}&display_name=robot&role=viewer&ttl=1");
    let created = admin.post("/keys/new", body).await;
    let created = created.header("location").unwrap_or_else(|| panic!("{}", created.text()));
    assert_as_it_is(&get(created).await, "kt_");
    assert_compressed(created).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_masks_the_token_of_its_forms_anew() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let session = HttpSession::of_nobody(&server.console().await).await;
    let (one, other) = (session.form_token("/sign-in").await, session.form_token("/sign-in").await);
    let (half, _) = other.split_at(other.len() / 2);
    assert!(!one.contains(half) && !one.ends_with(&other[half.len()..]), "{one} {other}");
    for token in [one, other] {
        let body = format!("csrf={token}&key={FIRST_KEY}&organization={ORGANIZATION}");
        assert_eq!(session.post("/sign-in", body).await.status, 303);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_pages_are_not_held_back_by_a_proxy() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let api = server.client(ORGANIZATION);
    let endpoint = api.create_endpoint("https://hooks.example.com/x", &["policy.block"]).await;
    let session = HttpSession::open(&server.console().await, FIRST_KEY).await;
    let request = format!(
        "GET /webhooks/{}/live HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip\r\nCookie: {}\r\n\r\n",
        endpoint.id, session.cookie
    );
    let mut connection = connect(&session.console).await;
    connection.write_all(request.as_bytes()).await.expect("it is sent");
    let mut told = String::new();
    while !told.contains("event: summary") {
        let mut bytes = [0; 4_096];
        let read = timeout(PATIENCE, connection.read(&mut bytes)).await.expect("there is more");
        let count = read.expect("it goes on");
        assert_ne!(count, 0, "it ended: {told}");
        told.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    let head = told.to_lowercase();
    for header in ["x-accel-buffering: no", "cache-control: no-store, no-transform"] {
        assert!(head.contains(header), "{header} is not in {told}");
    }
    assert!(!head.contains("content-encoding"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_requests_end_in_time_and_take_no_other_clients_connections() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .flag("--console-max-connections-per-peer", "8")
        .flag("--console-header-timeout", "2s")
        .flag("--console-body-timeout", "500ms");
    let server = server.start().await;
    let console = server.console().await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut connection = connect(&console).await;
        // A connection that was refused may be closed already.
        _ = connection.write_all(b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\n").await;
        held.push(connection);
    }
    let is_told = |line: &str| line.contains("see --console-max-connections-per-peer");
    server.process().wait_for_line(is_told, PATIENCE).await;
    // gRPC has connections of its own.
    server.client(ORGANIZATION).create_endpoint("https://a.example/", &["policy.block"]).await;
    for connection in &mut held {
        let mut rest = Vec::new();
        _ = timeout(PATIENCE, connection.read_to_end(&mut rest)).await.expect("it is closed");
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
    let answer = eventually("there is a place again", async || {
        let mut connection = connect(&console).await;
        let half = b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ncsrf";
        connection.write_all(half).await.ok()?;
        let mut answer = Vec::new();
        timeout(PATIENCE, connection.read_to_end(&mut answer)).await.expect("it ends").ok()?;
        (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
    });
    let answer = answer.await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(HttpSession::open(&console, FIRST_KEY).await.get("/webhooks").await.status, 200);
}

async fn connect(console: &str) -> TcpStream {
    let address = console.trim_start_matches("http://");
    TcpStream::connect(address).await.expect("the console listens")
}
