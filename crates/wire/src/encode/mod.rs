//! Outputs and errors to the bytes of a response.

mod cbor;
mod error;
mod json;
mod scratch;
mod xml;

use crate::service::{OperationInfo, Protocol, ServiceInfo};
use crate::shape::Output;

pub use error::error;
pub(crate) use json::Json;

/// A response, ready for HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Headers besides the content type, length and request id.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

fn content_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Json10 => "application/x-amz-json-1.0",
        Protocol::Json11 => "application/x-amz-json-1.1",
        Protocol::Query => "text/xml",
        Protocol::Ec2 => "text/xml;charset=UTF-8",
        Protocol::Cbor => "application/cbor",
    }
}

fn headers(protocol: Protocol) -> Vec<(&'static str, String)> {
    match protocol {
        Protocol::Cbor => vec![("smithy-protocol", "rpc-v2-cbor".to_owned())],
        _ => Vec::new(),
    }
}

/// The successful response of `operation` with `output`.
pub fn output(
    protocol: Protocol,
    service: &ServiceInfo,
    operation: &OperationInfo,
    output: &dyn Output,
    request_id: &str,
) -> Encoded {
    let body = match protocol {
        // An operation without output has an empty body, as the live services do.
        Protocol::Json10 | Protocol::Json11 if operation.is_silent() => Vec::new(),
        Protocol::Json10 | Protocol::Json11 => json::document(output),
        Protocol::Query => xml::query(service, operation, output, request_id),
        Protocol::Ec2 => xml::ec2(service, operation, output, request_id),
        Protocol::Cbor => cbor::document(output),
    };
    Encoded { status: 200, content_type: content_type(protocol), headers: headers(protocol), body }
}
