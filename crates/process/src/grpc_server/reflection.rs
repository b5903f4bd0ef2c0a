//! gRPC reflection, for clients such as grpcurl: the API's files with their comments and options, and what
//! they import.
//!
//! tonic-reflection has the messages. Its server knows no extensions, and ends the stream at the first
//! symbol that it does not find, where the protocol has an answer for each question.

mod descriptor_index;

use std::pin::Pin;
use std::sync::Arc;

use descriptor_index::DescriptorIndex;
use futures_util::{Stream, StreamExt};
use keeptrusts_webhooks_contracts::API_DESCRIPTORS;
use prost::DecodeError;
use tonic::service::RoutesBuilder;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb;

const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// The encoded FileDescriptorSets of what a process serves.
const SETS: &[&[u8]] = &[
    // The details of errors (google.rpc.BadRequest and others), so that clients can show them. Before
    // ours, which have a part of google.rpc.Status only.
    tonic_types::pb::FILE_DESCRIPTOR_SET,
    API_DESCRIPTORS,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    pb::v1::FILE_DESCRIPTOR_SET,
    pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// Adds reflection v1, and v1alpha for older clients (grpcurl before 1.8.8). Both list the services
/// of this process only.
pub(super) fn add_to(
    routes: &mut RoutesBuilder,
    services: &[&'static str],
) -> Result<(), DecodeError> {
    let names = services.iter().copied().chain([HEALTH]).chain(REFLECTION).collect();
    let reflection = Reflection(Arc::new(Contents { names, index: DescriptorIndex::of(SETS)? }));
    routes.add_service(v1::server(reflection.clone()));
    routes.add_service(v1alpha::server(reflection));
    Ok(())
}

#[derive(Clone)]
struct Reflection(Arc<Contents>);

struct Contents {
    names: Vec<&'static str>,
    index: DescriptorIndex,
}

type Answers<Answer> = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

/// A version of the protocol. The messages of both have the same fields.
macro_rules! version {
    ($version:ident) => {
        mod $version {
            use pb::$version::server_reflection_request::MessageRequest as Question;
            use pb::$version::server_reflection_response::MessageResponse as Answer;
            use pb::$version::server_reflection_server::{
                ServerReflection, ServerReflectionServer,
            };
            use pb::$version::{
                ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse,
                ListServiceResponse, ServerReflectionRequest, ServerReflectionResponse,
                ServiceResponse,
            };

            use super::*;

            pub(super) fn server(reflection: Reflection) -> ServerReflectionServer<Reflection> {
                ServerReflectionServer::new(reflection)
            }

            #[tonic::async_trait]
            impl ServerReflection for Reflection {
                type ServerReflectionInfoStream = Answers<ServerReflectionResponse>;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let contents = self.0.clone();
                    let answers = request.into_inner().map(move |request| {
                        let request = request?;
                        let answer = answer(&contents, request.message_request.as_ref());
                        Ok(ServerReflectionResponse {
                            valid_host: request.host.clone(),
                            original_request: Some(request),
                            message_response: Some(answer),
                        })
                    });
                    Ok(Response::new(Box::pin(answers)))
                }
            }

            pub(super) fn answer(contents: &Contents, question: Option<&Question>) -> Answer {
                let Contents { names, index } = contents;
                let file = |found: Option<&bytes::Bytes>, what: &str| match found {
                    Some(file) => Answer::FileDescriptorResponse(FileDescriptorResponse {
                        file_descriptor_proto: vec![file.to_vec()],
                    }),
                    None => error(Code::NotFound, format!("{what} is not known here")),
                };
                match question {
                    Some(Question::FileByFilename(name)) => file(index.file(name), name),
                    Some(Question::FileContainingSymbol(symbol)) => {
                        file(index.file_of_symbol(symbol), symbol)
                    }
                    Some(Question::FileContainingExtension(extension)) => {
                        let (of, number) = (&extension.containing_type, extension.extension_number);
                        file(
                            index.file_of_extension(of, number),
                            &format!("{of}'s extension {number}"),
                        )
                    }
                    Some(Question::AllExtensionNumbersOfType(of)) => {
                        match index.extension_numbers(of) {
                            Some(numbers) => {
                                Answer::AllExtensionNumbersResponse(ExtensionNumberResponse {
                                    base_type_name: of.clone(),
                                    extension_number: numbers,
                                })
                            }
                            None => file(None, of),
                        }
                    }
                    Some(Question::ListServices(_)) => {
                        let service = |name: &&str| ServiceResponse { name: (*name).to_owned() };
                        let service = names.iter().map(service).collect();
                        Answer::ListServicesResponse(ListServiceResponse { service })
                    }
                    None => error(Code::InvalidArgument, "the request asks for nothing".to_owned()),
                }
            }

            fn error(code: Code, error_message: String) -> Answer {
                Answer::ErrorResponse(ErrorResponse { error_code: code.into(), error_message })
            }
        }
    };
}

version!(v1);
version!(v1alpha);

#[cfg(test)]
mod tests {
    use pb::v1::server_reflection_request::MessageRequest as Question;
    use pb::v1::server_reflection_response::MessageResponse as Answer;
    use prost::Message;
    use prost_types::FileDescriptorProto;

    use super::*;

    fn answer(question: Option<Question>) -> Answer {
        let index = DescriptorIndex::of(SETS).expect("descriptors");
        v1::answer(&Contents { names: vec![HEALTH], index }, question.as_ref())
    }

    #[test]
    fn what_is_not_known_has_an_answer_of_its_own() {
        let extension = pb::v1::ExtensionRequest {
            containing_type: "google.protobuf.FieldOptions".to_owned(),
            extension_number: 7,
        };
        for question in [
            Question::FileByFilename("nothing.proto".to_owned()),
            Question::FileContainingSymbol("keeptrusts.webhooks.log.v1.EndpointCreated".to_owned()),
            Question::FileContainingExtension(extension),
            Question::AllExtensionNumbersOfType("nothing".to_owned()),
        ] {
            let Answer::ErrorResponse(error) = answer(Some(question.clone())) else {
                panic!("{question:?} is not known")
            };
            assert_eq!(error.error_code, i32::from(Code::NotFound), "{}", error.error_message);
        }
        assert!(matches!(answer(None), Answer::ErrorResponse(error) if error.error_code == 3));
    }

    #[test]
    fn every_file_can_be_followed_to_all_that_it_imports() {
        let index = DescriptorIndex::of(SETS).expect("descriptors");
        let mut waiting: Vec<_> = ["IngestService", "NotificationService", "AccessService"]
            .map(|name| index.file_of_symbol(&format!("keeptrusts.webhooks.v1.{name}")))
            .into();
        let mut names = Vec::new();
        while let Some(file) = waiting.pop() {
            let file =
                FileDescriptorProto::decode(&file.expect("it is served")[..]).expect("a file");
            waiting.extend(file.dependency.iter().map(|name| index.file(name)));
            names.push(file.name().to_owned());
        }
        for name in ["buf/validate/validate.proto", "google/rpc/status.proto"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }
}
