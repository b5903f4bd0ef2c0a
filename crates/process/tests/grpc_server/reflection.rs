//! Reflection as grpcurl uses it. Versions before 1.8.8 know v1alpha only.

use tonic_reflection::pb::{v1, v1alpha};

use crate::fixture::{Fixture, SERVICE};

const SERVICES: [&str; 4] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    SERVICE,
];

/// Lists the services, and the files that a symbol needs, with one version of reflection.
macro_rules! ask {
    ($version:ident, $channel:expr) => {{
        use $version::server_reflection_client::ServerReflectionClient;
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;

        let mut client = ServerReflectionClient::new($channel);
        let mut services = Vec::new();
        let mut files = Vec::new();
        for question in [
            MessageRequest::ListServices(String::new()),
            MessageRequest::FileContainingSymbol(SERVICE.to_owned()),
        ] {
            let request = $version::ServerReflectionRequest {
                host: String::new(),
                message_request: Some(question),
            };
            let answers = client.server_reflection_info(tokio_stream::once(request)).await;
            let answer = answers.expect("a stream").into_inner().message().await;
            match answer.expect("no error").and_then(|answer| answer.message_response) {
                Some(MessageResponse::ListServicesResponse(list)) => {
                    services.extend(list.service.into_iter().map(|service| service.name));
                }
                Some(MessageResponse::FileDescriptorResponse(found)) => {
                    files.extend(found.file_descriptor_proto);
                }
                other => panic!("not an answer: {other:?}"),
            }
        }
        services.sort();
        (services, files)
    }};
}

#[tokio::test]
async fn both_versions_list_and_describe_the_services_of_this_process() {
    let fixture = Fixture::start().await;
    let (services, files) = ask!(v1, fixture.connect().await);
    assert_eq!(services, SERVICES);
    assert!(!files.is_empty());
    assert_eq!(ask!(v1alpha, fixture.connect().await), (services, files));
}
