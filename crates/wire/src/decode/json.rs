//! awsJson 1.0 and 1.1 requests.

use super::DecodeError;
use crate::schema::Schema;
use crate::seed::Seed;
use crate::service::Protocol;
use crate::value::Value;
use serde::de::DeserializeSeed;
use serde_json::error::Category;

/// An empty body is an empty structure. Nesting is bounded by the parser's own limit of 128.
pub(super) fn decode(protocol: Protocol, schema: &'static Schema, bytes: &[u8]) -> Result<Value, DecodeError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::EMPTY);
    }
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let outcome = Seed(schema).deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
    match outcome {
        Ok(value) => Ok(value.unwrap_or(Value::EMPTY)),
        Err(error) => {
            let message = match error.classify() {
                Category::Data => without_place(&error.to_string()),
                // AWS says nothing about JSON that is not JSON.
                Category::Syntax | Category::Eof | Category::Io => String::new(),
            };
            Err(DecodeError::new(protocol, message))
        }
    }
}

/// serde_json appends ` at line L column C` to every message.
fn without_place(text: &str) -> String {
    text.rfind(" at line ").map_or(text, |end| &text[..end]).to_owned()
}
