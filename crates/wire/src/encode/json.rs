//! awsJson responses.

use super::scratch;
use crate::schema::Schema;
use crate::shape::{Output, Writer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;
use types::Timestamp;

/// The JSON object of `output`.
pub(super) fn document(output: &dyn Output) -> Vec<u8> {
    let mut json = Json { out: scratch::take(), follows: false };
    json.whole(output);
    scratch::done(json.out)
}

/// Writes JSON; commas are written before an item that is not the first.
#[derive(Default)]
pub(crate) struct Json {
    pub(crate) out: Vec<u8>,
    follows: bool,
}

impl Json {
    pub(crate) fn whole(&mut self, output: &dyn Output) {
        self.begin_structure(output.schema());
        output.write_members(self);
        self.end_structure(output.schema());
    }

    /// Before every value and key.
    fn separate(&mut self) {
        if self.follows {
            self.out.push(b',');
        }
        self.follows = true;
    }

    fn name(&mut self, name: &str) {
        self.separate();
        text(&mut self.out, name);
        self.out.push(b':');
        self.follows = false;
    }

    fn open(&mut self, bracket: u8) {
        self.separate();
        self.out.push(bracket);
        self.follows = false;
    }

    fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.follows = true;
    }
}

impl Writer for Json {
    fn member(&mut self, schema: &'static Schema, position: usize) {
        // Members are words: nothing in them is to be escaped.
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(schema.members()[position].name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.follows = false;
    }

    fn boolean(&mut self, _: &'static Schema, value: bool) {
        self.separate();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn integer(&mut self, _: &'static Schema, value: i64) {
        self.separate();
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn double(&mut self, _: &'static Schema, value: f64) {
        self.separate();
        let special = match value {
            value if value.is_nan() => "\"NaN\"",
            f64::INFINITY => "\"Infinity\"",
            f64::NEG_INFINITY => "\"-Infinity\"",
            _ => return self.out.extend_from_slice(format!("{value:?}").as_bytes()),
        };
        self.out.extend_from_slice(special.as_bytes());
    }

    fn string(&mut self, _: &'static Schema, value: &str) {
        self.separate();
        text(&mut self.out, value);
    }

    fn blob(&mut self, _: &'static Schema, value: &[u8]) {
        self.separate();
        text(&mut self.out, &STANDARD.encode(value));
    }

    fn timestamp(&mut self, _: &'static Schema, value: Timestamp) {
        self.separate();
        seconds(&mut self.out, value);
    }

    fn document(&mut self, _: &'static Schema, value: &serde_json::Value) {
        self.separate();
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    fn begin_list(&mut self, _: &'static Schema, _: usize) {
        self.open(b'[');
    }

    fn end_list(&mut self, _: &'static Schema) {
        self.close(b']');
    }

    fn begin_map(&mut self, _: &'static Schema, _: usize) {
        self.open(b'{');
    }

    fn key(&mut self, _: &'static Schema, key: &str) {
        self.name(key);
    }

    fn end_map(&mut self, _: &'static Schema) {
        self.close(b'}');
    }

    fn begin_structure(&mut self, _: &'static Schema) {
        self.open(b'{');
    }

    fn end_structure(&mut self, _: &'static Schema) {
        self.close(b'}');
    }
}

/// `1700000000.123`, and `1700000000.0` for whole seconds.
fn seconds(out: &mut Vec<u8>, at: Timestamp) {
    // Up to here the digits are those of the nearest double, which is what AWS sends.
    if !(0..1_000_000_000_000_000).contains(&at.0) {
        let _ = write!(out, "{:?}", at.seconds());
        return;
    }
    let (whole, millis) = (at.0 / 1000, (at.0 % 1000) as u16);
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    let digits = [millis / 100, millis / 10 % 10, millis % 10].map(|digit| b'0' + digit as u8);
    let shown = if millis % 100 == 0 {
        1
    } else if millis % 10 == 0 {
        2
    } else {
        3
    };
    out.push(b'.');
    out.extend_from_slice(&digits[..shown]);
}

/// A JSON string. Bytes above ASCII stand as themselves.
pub(super) fn text(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    let mut plain = 0;
    let bytes = value.as_bytes();
    // Most text needs no escape. A look at all bytes without a way out is one that the compiler vectorises.
    if !bytes.iter().fold(false, |found, byte| found | matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    for (at, byte) in bytes.iter().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape.as_bytes());
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_where_it_must_be() {
        let mut out = Vec::new();
        text(&mut out, "plain ü☃");
        text(&mut out, "\"a\\b\"\n\r\t\u{1}ü");
        assert_eq!(String::from_utf8(out).unwrap(), r#""plain ü☃""\"a\\b\"\n\r\t\u0001ü""#);
    }

    #[test]
    fn seconds_are_the_digits_of_a_double() {
        let edge = 1_000_000_000_000_000;
        let spread = (0..3000).chain((0..3000).map(|step| 1_795_639_400_000 + step * 37));
        for millis in spread.chain([edge - 1, edge, edge + 1, -1, -1500, i64::MAX, i64::MIN]) {
            let mut out = Vec::new();
            seconds(&mut out, Timestamp(millis));
            assert_eq!(String::from_utf8(out).unwrap(), format!("{:?}", Timestamp(millis).seconds()), "{millis}");
        }
    }
}
