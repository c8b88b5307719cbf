//! Bytes of a request to a [`Value`], guided by the operation's input schema. Pure and total: any bytes give a value or a
//! [`DecodeError`], in bounded time, stack and memory.

mod cbor;
mod json;
mod query;

use crate::schema::Schema;
use crate::service::Protocol;
use crate::value::Value;
use types::ApiError;

pub use query::Form;

/// Why bytes are no value of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// AWS's text, possibly empty: AWS says nothing about malformed JSON.
    pub message: String,
    protocol: Protocol,
    /// The parameter at fault, where known.
    parameter: Option<String>,
    /// Whether the operation has no such parameter.
    unknown: bool,
}

impl DecodeError {
    fn new(protocol: Protocol, message: impl Into<String>) -> Self {
        Self { message: message.into(), protocol, parameter: None, unknown: false }
    }

    fn parameter(protocol: Protocol, parameter: impl Into<String>, message: impl Into<String>) -> Self {
        Self { message: message.into(), protocol, parameter: Some(parameter.into()), unknown: false }
    }

    fn unknown(protocol: Protocol, parameter: String) -> Self {
        let message = format!("The parameter {parameter} is not recognized");
        Self { message, protocol, parameter: Some(parameter), unknown: true }
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        match error.protocol {
            Protocol::Ec2 if error.unknown => Self::new("UnknownParameter", error.message),
            Protocol::Ec2 if error.parameter.is_some() => Self::new("InvalidParameterValue", error.message),
            Protocol::Query if error.parameter.is_some() => Self::new("MalformedInput", error.message),
            Protocol::Query | Protocol::Ec2 => Self::new("MalformedQueryString", error.message),
            Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => Self::new("SerializationException", error.message),
        }
    }
}

/// Decodes the body of a request. For [`Protocol::Query`] and [`Protocol::Ec2`], `bytes` is the form.
pub fn decode(protocol: Protocol, schema: &'static Schema, bytes: &[u8]) -> Result<Value, DecodeError> {
    match protocol {
        Protocol::Json10 | Protocol::Json11 => json::decode(protocol, schema, bytes),
        Protocol::Query | Protocol::Ec2 => {
            Form::parse(bytes).map_err(|message| DecodeError::new(protocol, message))?.decode(protocol, schema)
        }
        Protocol::Cbor => cbor::decode(schema, bytes),
    }
}
