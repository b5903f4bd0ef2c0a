//! Answers with a valid status and an invalid rest: the status counts.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use keeptrusts_webhooks_outbound::limits::{MAX_INFORMATIONAL_ANSWERS, MAX_READ_HEAD};
use keeptrusts_webhooks_outbound::{HttpExchange, OutboundConfig, Remark, SendFailure, Sender};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::certificates::Authority;
use crate::receiver::{HTTP1, Receiver, read_request};
use crate::{GROUP, config_for, post, sender_for};

/// How a receiver ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With TLS's `close_notify`.
    Tidy,
    /// With TCP's FIN only.
    WithoutCloseNotify,
    /// With a reset.
    Reset,
    /// Not at all.
    StaysOpen,
}

async fn end(mut stream: TlsStream<TcpStream>, end: End) {
    match end {
        End::Tidy => {
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        End::WithoutCloseNotify => {
            let (mut tcp, _) = stream.into_inner();
            let _ = tcp.shutdown().await;
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
        End::Reset => {
            let (tcp, _) = stream.into_inner();
            let _ = tcp.set_zero_linger();
        }
        End::StaysOpen => {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }
}

/// A receiver that answers each connection with these chunks, each in a packet of its own.
async fn answering(authority: &Authority, pieces: Vec<Vec<u8>>, how: End) -> Receiver {
    Receiver::tls(authority.identity(), HTTP1, move |mut stream| {
        let pieces = pieces.clone();
        async move {
            stream.get_ref().0.set_nodelay(true).unwrap();
            read_request(&mut stream).await;
            for piece in pieces {
                if stream.write_all(&piece).await.is_err() {
                    return;
                }
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            end(stream, how).await;
        }
    })
    .await
}

async fn exchange(answer: &str, how: End) -> HttpExchange {
    let authority = Authority::new();
    let receiver = answering(&authority, vec![answer.as_bytes().to_vec()], how).await;
    let config =
        OutboundConfig { request_timeout: Duration::from_secs(2), ..config_for(&authority) };
    post(&Sender::new(config).unwrap(), &receiver.url()).await
}

#[tokio::test]
async fn what_is_no_tls_behind_an_answer_takes_nothing_of_it_back() {
    let undecryptable = [&[0x17, 3, 3, 0, 32][..], &[0xaa; 32]].concat();
    let alert_in_clear = vec![0x15, 3, 3, 0, 2, 2, 40];
    let http_in_clear = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    for junk in [undecryptable, alert_in_clear, http_in_clear] {
        let authority = Authority::new();
        let sent = junk.clone();
        let receiver = Receiver::tls(authority.identity(), HTTP1, move |mut stream| {
            let junk = sent.clone();
            async move {
                read_request(&mut stream).await;
                let (tcp, session) = stream.get_mut();
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                session.writer().write_all(answer).unwrap();
                let mut packet = Vec::new();
                while session.wants_write() {
                    session.write_tls(&mut packet).unwrap();
                }
                packet.extend(junk);
                tcp.write_all(&packet).await.unwrap();
                end(stream, End::WithoutCloseNotify).await;
            }
        })
        .await;
        let sender = sender_for(&authority);
        for _ in 0..2 {
            let answer = post(&sender, &receiver.url()).await.result.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"ok"[..]), "{junk:?}");
        }
        assert_eq!(receiver.connections(), 2, "the connection is not used again");
    }
}

#[tokio::test]
async fn whatever_follows_the_status_line_the_status_counts() {
    use End::{Reset, StaysOpen, Tidy, WithoutCloseNotify};
    let early = [Remark::BodyEndedEarly].as_slice();
    let cases: &[(&str, End, &str, &[Remark])] = &[
        // What Python's http.server behind ssl sends after send_response(200); end_headers().
        ("HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6\r\n\r\n", WithoutCloseNotify, "", &[]),
        ("HTTP/1.1 200 OK\r\n\r\nall of it", WithoutCloseNotify, "all of it", &[]),
        ("HTTP/1.1 200 OK\r\n\r\nall of it", Tidy, "all of it", &[]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Tidy, "half", early),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", WithoutCloseNotify, "half", early),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", Reset, "", early),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", Tidy, "half", early),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            StaysOpen,
            "half",
            &[Remark::BodyTookTooLong],
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n", Tidy, "", early),
        ("HTTP/1.1 200 OK\r\nX: y\r\n", Tidy, "", &[Remark::HeadersEndedEarly]),
        ("HTTP/1.1 200 OK\r\nX: y\r\n", WithoutCloseNotify, "", &[Remark::HeadersEndedEarly]),
        ("HTTP/1.1 200 OK\r\nX: y\r\n", StaysOpen, "", &[Remark::HeadersTookTooLong]),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            Tidy,
            "",
            &[Remark::HeadersUnreadable],
        ),
    ];
    for (answer, how, body, remarks) in cases {
        let exchange = exchange(answer, *how).await;
        let answered = exchange.result.unwrap_or_else(|f| panic!("{answer:?} {how:?}: {f}"));
        assert_eq!(answered.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answered.body, body.as_bytes(), "{answer:?}");
        assert_eq!(exchange.remarks, *remarks, "{answer:?} {how:?}");
    }
}

#[tokio::test]
async fn headers_count_also_if_the_body_ends_early() {
    let answer = "HTTP/1.1 429 Slow down\r\nRetry-After: 20\r\nContent-Length: 100\r\n\r\nwait";
    let exchange = exchange(answer, End::WithoutCloseNotify).await;
    let answered = exchange.result.unwrap();
    assert_eq!(answered.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answered.headers["retry-after"], "20");
    assert_eq!(answered.body, "wait");
    assert_eq!(exchange.remarks, [Remark::BodyEndedEarly]);
}

#[tokio::test]
async fn headers_that_other_clients_read_are_read() {
    let many: String = (0..300).map(|n| format!("x-{n}: {n}\r\n")).collect();
    for (headers, name, value) in [
        ("Retry-After : 20\r\n".to_owned(), "retry-after", "20"),
        ("X-Folded: one\r\n two\r\n".to_owned(), "x-folded", "one two"),
        ("no colon\r\nX-Next: 1\r\n".to_owned(), "x-next", "1"),
        (many + "", "x-7", "7"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\nok");
        let exchange = exchange(&answer, End::StaysOpen).await;
        let answered = exchange.result.unwrap();
        assert_eq!(answered.headers[name], value);
        assert_eq!((answered.body, exchange.remarks), (Bytes::from_static(b"ok"), vec![]));
    }
}

#[tokio::test]
async fn how_large_a_head_may_be_does_not_depend_on_packets() {
    for (size, remarks) in [(40_000, vec![]), (2 * MAX_READ_HEAD, vec![Remark::HeadersTooLarge])] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Large: {}\r\n\r\n",
            "x".repeat(size)
        );
        for piece in [1_000, 1_460, 8_192, 16_384, answer.len()] {
            let authority = Authority::new();
            let pieces = answer.as_bytes().chunks(piece).map(<[u8]>::to_vec).collect();
            let receiver = answering(&authority, pieces, End::StaysOpen).await;
            let exchange = post(&sender_for(&authority), &receiver.url()).await;
            assert_eq!(exchange.result.unwrap().status, StatusCode::OK, "{size} by {piece}");
            assert_eq!(exchange.remarks, remarks, "{size} by {piece}");
        }
    }
}

#[tokio::test]
async fn informational_answers_are_skipped_up_to_a_number() {
    let continues = "HTTP/1.1 100 Continue\r\n\r\n";
    let some = continues.repeat(MAX_INFORMATIONAL_ANSWERS) + "HTTP/1.1 204 No Content\r\n\r\n";
    let answered = exchange(&some, End::StaysOpen).await.result.unwrap();
    assert_eq!(answered.status, StatusCode::NO_CONTENT);

    let authority = Authority::new();
    let receiver = Receiver::tls(authority.identity(), HTTP1, async |mut stream| {
        read_request(&mut stream).await;
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_ok() {}
    })
    .await;
    let exchange = post(&sender_for(&authority), &receiver.url()).await;
    assert_eq!(exchange.result, Err(SendFailure::TooManyInformational));
    assert_eq!(
        SendFailure::TooManyInformational.to_string(),
        "the receiver sent more than 16 informational (1xx) answers and no final one"
    );
}

/// Larger than the buffers between sender and receiver.
const LARGE: usize = 32 * 1024 * 1024;

/// Posts a large body to a receiver that answers after the first bytes of it.
async fn answered_early(answer: &'static str, how: End) -> HttpExchange {
    let authority = Authority::new();
    let receiver = Receiver::tls(authority.identity(), HTTP1, move |mut stream| async move {
        // Or the answer may still be in its own kernel when that resets the connection.
        stream.get_ref().0.set_nodelay(true).unwrap();
        stream.read_exact(&mut [0; 1000]).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        match how {
            // Without reading more: the kernel resets the connection.
            End::Reset => drop(stream),
            _ => end(stream, how).await,
        }
    })
    .await;
    let config =
        OutboundConfig { request_timeout: Duration::from_secs(5), ..config_for(&authority) };
    let body = Bytes::from(vec![b'x'; LARGE]);
    Sender::new(config).unwrap().post(GROUP, &receiver.url(), HeaderMap::new(), body).await
}

#[tokio::test]
async fn an_answer_that_arrives_while_the_request_is_being_sent_counts() {
    for (answer, status) in [
        ("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 413),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
        ("HTTP/1.1 200 OK\r\n\r\n", 200),
    ] {
        for how in [End::Tidy, End::Reset] {
            let exchange = answered_early(answer, how).await;
            let answered = exchange.result.unwrap_or_else(|f| panic!("{answer:?} {how:?}: {f}"));
            assert_eq!(answered.status, status, "{answer:?} {how:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_while_the_request_is_being_sent_is_called_that() {
    let exchange = answered_early("", End::Reset).await;
    assert_eq!(exchange.result, Err(SendFailure::ClosedWhileSending));
}

#[tokio::test]
async fn an_answer_too_many_closes_the_connection_and_is_nobodys() {
    let authority = Authority::new();
    let stray = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
                 HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    let receiver = answering(&authority, vec![stray.as_bytes().to_vec()], End::StaysOpen).await;
    let sender = sender_for(&authority);
    for count in 1..=3 {
        let exchange = post(&sender, &receiver.url()).await;
        assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
        assert_eq!(exchange.remarks, []);
        assert_eq!(receiver.connections(), count);
    }
}
