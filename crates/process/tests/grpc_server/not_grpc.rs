//! HTTP/2 requests that are not gRPC.

use http::{Method, Request, StatusCode, header};
use tokio::net::TcpStream;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_request_that_is_not_grpc_is_answered_with_an_http_status_before_anything_else() {
    let fixture = Fixture::start().await;
    let stream = TcpStream::connect(fixture.address).await.expect("the server accepts");
    let (client, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let ask = async |method: Method, content_type: &str| {
        let mut request =
            Request::builder().method(method).uri("http://server/grpc.health.v1.Health/Check");
        if !content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        // Too many headers, which would be refused first in a gRPC request.
        for _ in 0..200 {
            request = request.header("x-label", "value");
        }
        let request = request.body(()).expect("a request");
        let mut client = client.clone().ready().await.expect("there is room");
        let (answer, _) = client.send_request(request, true).expect("it is sent");
        answer.await.expect("an answer")
    };
    for content_type in ["application/grpc", "application/grpc+proto", "application/GRPC; a=b"] {
        let answer = ask(Method::POST, content_type).await;
        assert_eq!(answer.status(), StatusCode::OK, "{content_type}");
        assert!(answer.headers().contains_key("grpc-status"), "{content_type}: too many headers");
    }
    for content_type in
        ["", "application/json", "text/plain", "application/grpcx", "application/grpc-web"]
    {
        let answer = ask(Method::POST, content_type).await;
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type:?}");
        assert!(!answer.headers().contains_key("grpc-status"), "{content_type:?}");
    }
    for content_type in ["", "application/grpc", "text/plain"] {
        let answer = ask(Method::GET, content_type).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{content_type:?}");
        assert_eq!(answer.headers()[header::ALLOW], "POST");
    }
}
