//! gRPC reflection, for clients such as grpcurl.

use keeptrusts_webhooks_contracts::DESCRIPTORS;
use tonic::service::RoutesBuilder;
use tonic_reflection::pb::{v1, v1alpha};
use tonic_reflection::server::{Builder, Error};

const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// Adds reflection v1, and v1alpha for older clients (grpcurl before 1.8.8). Both list the services
/// of this process only.
pub(super) fn add_to(routes: &mut RoutesBuilder, services: &[&'static str]) -> Result<(), Error> {
    routes.add_service(builder(services).build_v1()?);
    routes.add_service(builder(services).build_v1alpha()?);
    Ok(())
}

fn builder(services: &[&'static str]) -> Builder<'static> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        // The details of errors (google.rpc.BadRequest and others), so that clients can show them.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET)
        // Both versions are registered above.
        .include_reflection_service(false);
    let names = services.iter().copied().chain([HEALTH]).chain(REFLECTION);
    names.fold(builder, Builder::with_service_name)
}
