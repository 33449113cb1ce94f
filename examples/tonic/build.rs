//! Declares the service. With protoc, write a `.proto` file and call `tonic_prost_build::compile_protos` instead.

use tonic_build::manual::{Builder, Method, Service};

fn method(name: &str, route: &str, input: &str, output: &str) -> Method {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(format!("crate::messages::{input}"))
        .output_type(format!("crate::messages::{output}"))
        .codec_path("tonic_prost::ProstCodec")
        .build()
}

fn main() {
    let accounts = Service::builder()
        .package("example")
        .name("Accounts")
        .method(method("who_am_i", "WhoAmI", "Empty", "User"))
        .method(method("sign_out", "SignOut", "Empty", "Empty"))
        .build();
    Builder::new().build_transport(false).compile(&[accounts]);
}
