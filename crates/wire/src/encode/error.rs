//! Errors in each protocol's document.

use super::cbor;
use super::json;
use super::xml::Xml;
use super::{Encoded, content_type, headers};
use crate::service::{Protocol, ServiceInfo};
use types::{ApiError, Fault};

/// The response that tells `error`. Without a service (nobody could tell which is meant), only the protocol decides.
///
/// A handler need not know the status: where the service's model names the error, and the handler left the status at
/// 400, the model's holds. Handlers may use the shape's name or the code, each protocol spells its own.
pub fn error(protocol: Protocol, service: Option<&ServiceInfo>, error: &ApiError, request_id: &str) -> Encoded {
    let known = service.and_then(|service| service.error(&error.code));
    let (status, fault) = match known {
        Some(known) if error.status == 400 => (known.status, known.fault),
        _ => (error.status, error.fault),
    };
    let code = known.map_or(error.code.as_str(), |known| known.code);
    let name = known.map_or(error.code.as_str(), |known| known.name);
    let side = match fault {
        Fault::Sender => "Sender",
        Fault::Receiver => "Receiver",
    };
    let mut headers = headers(protocol);
    let body = match protocol {
        Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => {
            if service.is_some_and(|service| service.query_compatible) {
                headers.push(("x-amzn-query-error", format!("{code};{side}")));
            }
            let message = known.map_or_else(|| framework_key(name), |known| known.message);
            match protocol {
                Protocol::Cbor => cbor::texts(&[("__type", name), (message, &error.message)]),
                _ => json_error(name, message, &error.message),
            }
        }
        Protocol::Query => {
            let mut xml = Xml::new("member");
            match service.map_or("", |service| service.namespace) {
                "" => xml.raw("<ErrorResponse>"),
                namespace => xml.raw(&format!("<ErrorResponse xmlns=\"{namespace}\">")),
            }
            xml.raw("<Error>");
            xml.element("Type", side);
            xml.element("Code", code);
            xml.element("Message", &error.message);
            xml.raw("</Error>");
            xml.element("RequestId", request_id);
            xml.raw("</ErrorResponse>");
            xml.out
        }
        Protocol::Ec2 => {
            let mut xml = Xml::new("item");
            xml.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error>");
            xml.element("Code", code);
            xml.element("Message", &error.message);
            xml.raw("</Error></Errors>");
            xml.element("RequestID", request_id);
            xml.raw("</Response>");
            xml.out
        }
    };
    Encoded { status, content_type: content_type(protocol), headers, body }
}

/// Errors that no service's model names come from the framework, some of which spell the key with a capital.
fn framework_key(name: &str) -> &'static str {
    match name {
        "SerializationException" | "AccessDeniedException" => "Message",
        _ => "message",
    }
}

fn json_error(name: &str, key: &str, message: &str) -> Vec<u8> {
    let mut out = b"{\"__type\":".to_vec();
    json::text(&mut out, name);
    if !message.is_empty() {
        out.push(b',');
        json::text(&mut out, key);
        out.push(b':');
        json::text(&mut out, message);
    }
    out.push(b'}');
    out
}
