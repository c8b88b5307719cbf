//! rpc-v2-cbor responses. Structures have indefinite length, since how many members are present is only known at the end.

use crate::schema::Schema;
use crate::shape::{Output, Writer};
use types::Timestamp;

/// The CBOR map of `output`.
pub(super) fn document(output: &dyn Output) -> Vec<u8> {
    let mut cbor = Cbor::default();
    cbor.begin_structure(output.schema());
    output.write_members(&mut cbor);
    cbor.end_structure(output.schema());
    cbor.out
}

/// The CBOR map of text to text.
pub(super) fn texts(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut cbor = Cbor::default();
    cbor.head(5, entries.len() as u64);
    for (key, value) in entries {
        cbor.text(key);
        cbor.text(value);
    }
    cbor.out
}

#[derive(Default)]
struct Cbor {
    out: Vec<u8>,
}

impl Cbor {
    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        match argument {
            0..=23 => self.out.push(major | argument as u8),
            24..=0xff => self.out.extend_from_slice(&[major | 0x18, argument as u8]),
            0x100..=0xffff => {
                self.out.push(major | 0x19);
                self.out.extend_from_slice(&(argument as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.out.push(major | 0x1a);
                self.out.extend_from_slice(&(argument as u32).to_be_bytes());
            }
            _ => {
                self.out.push(major | 0x1b);
                self.out.extend_from_slice(&argument.to_be_bytes());
            }
        }
    }

    fn text(&mut self, value: &str) {
        self.head(3, value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
    }

    fn number(&mut self, value: f64) {
        self.out.push(0xfb);
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn whole(&mut self, value: i64) {
        if value < 0 {
            self.head(1, !value as u64);
        } else {
            self.head(0, value as u64);
        }
    }

    fn json(&mut self, value: &serde_json::Value) {
        match value {
            serde_json::Value::Null => self.out.push(0xf6),
            serde_json::Value::Bool(value) => self.out.push(if *value { 0xf5 } else { 0xf4 }),
            serde_json::Value::Number(value) => match value.as_i64() {
                Some(value) => self.whole(value),
                None => self.number(value.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(value) => self.text(value),
            serde_json::Value::Array(items) => {
                self.head(4, items.len() as u64);
                items.iter().for_each(|item| self.json(item));
            }
            serde_json::Value::Object(entries) => {
                self.head(5, entries.len() as u64);
                for (key, value) in entries {
                    self.text(key);
                    self.json(value);
                }
            }
        }
    }
}

impl Writer for Cbor {
    fn member(&mut self, schema: &'static Schema, position: usize) {
        self.text(schema.members()[position].name);
    }

    fn boolean(&mut self, _: &'static Schema, value: bool) {
        self.out.push(if value { 0xf5 } else { 0xf4 });
    }

    fn integer(&mut self, _: &'static Schema, value: i64) {
        self.whole(value);
    }

    fn double(&mut self, _: &'static Schema, value: f64) {
        self.number(value);
    }

    fn string(&mut self, _: &'static Schema, value: &str) {
        self.text(value);
    }

    fn blob(&mut self, _: &'static Schema, value: &[u8]) {
        self.head(2, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    fn timestamp(&mut self, _: &'static Schema, value: Timestamp) {
        self.head(6, 1);
        self.number(value.seconds());
    }

    fn document(&mut self, _: &'static Schema, value: &serde_json::Value) {
        self.json(value);
    }

    fn begin_list(&mut self, _: &'static Schema, length: usize) {
        self.head(4, length as u64);
    }

    fn end_list(&mut self, _: &'static Schema) {}

    fn begin_map(&mut self, _: &'static Schema, length: usize) {
        self.head(5, length as u64);
    }

    fn key(&mut self, _: &'static Schema, key: &str) {
        self.text(key);
    }

    fn end_map(&mut self, _: &'static Schema) {}

    fn begin_structure(&mut self, _: &'static Schema) {
        self.out.push(0xbf);
    }

    fn end_structure(&mut self, _: &'static Schema) {
        self.out.push(0xff);
    }
}
