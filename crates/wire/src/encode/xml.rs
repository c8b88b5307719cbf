//! awsQuery and ec2Query responses.

use super::scratch;
use crate::schema::{Kind, Schema};
use crate::service::{OperationInfo, ServiceInfo};
use crate::shape::{Output, Writer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use types::Timestamp;

/// `<OpResponse><OpResult>…</OpResult><ResponseMetadata>…`
pub(super) fn query(
    service: &ServiceInfo,
    operation: &OperationInfo,
    output: &dyn Output,
    request_id: &str,
) -> Vec<u8> {
    let mut xml = Xml::new("member");
    xml.root(operation.name, service.namespace);
    if !operation.wrapper.is_empty() {
        xml.open(operation.wrapper);
        output.write_members(&mut xml);
        xml.close(operation.wrapper);
    }
    xml.open("ResponseMetadata");
    xml.element("RequestId", request_id);
    xml.close("ResponseMetadata");
    xml.end_root(operation.name)
}

/// `<OpResponse><requestId>…</requestId>…`. Where the model has no output, EC2 answers `<return>true</return>`.
pub(super) fn ec2(service: &ServiceInfo, operation: &OperationInfo, output: &dyn Output, request_id: &str) -> Vec<u8> {
    let mut xml = Xml::new("item");
    xml.out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // The service answers with a slash that its model lacks.
    xml.root(operation.name, &format!("{}/", service.namespace));
    xml.element("requestId", request_id);
    if operation.is_silent() {
        xml.element("return", "true");
    }
    output.write_members(&mut xml);
    xml.end_root(operation.name)
}

pub(super) struct Xml {
    pub(super) out: Vec<u8>,
    /// The name of the element that the next value becomes.
    next: &'static str,
    /// The open lists, maps and structures: how their items are called, and how they are closed.
    open: Vec<Frame>,
    item: &'static str,
}

struct Frame {
    /// The element's name; empty if the container has none of its own.
    element: &'static str,
    /// What each item is called; empty in structures, where [`Writer::member`] says it.
    item: &'static str,
    map: bool,
}

impl Xml {
    /// `item` is what lists without a name of their own call their items.
    pub(super) fn new(item: &'static str) -> Self {
        Self { out: scratch::take(), next: "", open: Vec::new(), item }
    }

    fn root(&mut self, operation: &str, namespace: &str) {
        self.raw("<");
        self.raw(operation);
        self.raw("Response xmlns=\"");
        self.raw(namespace);
        self.raw("\">");
    }

    fn end_root(mut self, operation: &str) -> Vec<u8> {
        self.raw("</");
        self.raw(operation);
        self.raw("Response>");
        scratch::done(self.out)
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn open(&mut self, name: &str) {
        self.raw("<");
        self.raw(name);
        self.raw(">");
    }

    pub(super) fn close(&mut self, name: &str) {
        self.raw("</");
        self.raw(name);
        self.raw(">");
    }

    pub(super) fn element(&mut self, name: &str, value: &str) {
        self.open(name);
        escape(&mut self.out, value);
        self.close(name);
    }

    /// The name of the value that comes now.
    fn take_name(&self) -> &'static str {
        match self.open.last() {
            Some(frame) if !frame.item.is_empty() => frame.item,
            _ => self.next,
        }
    }

    fn scalar(&mut self, value: &str) {
        let name = self.take_name();
        self.element(name, value);
        self.end_entry();
    }

    fn begin(&mut self, element: &'static str, item: &'static str, map: bool) {
        if !element.is_empty() {
            self.open(element);
        }
        self.open.push(Frame { element, item, map });
    }

    fn end(&mut self) {
        if let Some(frame) = self.open.pop()
            && !frame.element.is_empty()
        {
            self.close(frame.element);
        }
        self.end_entry();
    }

    /// After a value: if it was a map's, its entry ends.
    fn end_entry(&mut self) {
        if self.open.last().is_some_and(|frame| frame.map) {
            self.close("entry");
        }
    }
}

impl Writer for Xml {
    fn member(&mut self, schema: &'static Schema, position: usize) {
        self.next = schema.members()[position].xml;
    }

    fn boolean(&mut self, _: &'static Schema, value: bool) {
        self.scalar(if value { "true" } else { "false" });
    }

    fn integer(&mut self, _: &'static Schema, value: i64) {
        self.scalar(&value.to_string());
    }

    fn double(&mut self, _: &'static Schema, value: f64) {
        let text = match value {
            f64::INFINITY => "Infinity".to_owned(),
            f64::NEG_INFINITY => "-Infinity".to_owned(),
            _ => format!("{value:?}"),
        };
        self.scalar(&text);
    }

    fn string(&mut self, _: &'static Schema, value: &str) {
        self.scalar(value);
    }

    fn blob(&mut self, _: &'static Schema, value: &[u8]) {
        self.scalar(&STANDARD.encode(value));
    }

    fn timestamp(&mut self, _: &'static Schema, value: Timestamp) {
        self.scalar(&value.iso8601());
    }

    fn document(&mut self, _: &'static Schema, value: &serde_json::Value) {
        self.scalar(&value.to_string());
    }

    fn begin_list(&mut self, schema: &'static Schema, _: usize) {
        let name = self.take_name();
        let Kind::List(list) = &schema.kind else { return };
        if list.flattened {
            self.begin("", name, false);
        } else {
            let item = if list.item.is_empty() { self.item } else { list.item };
            self.begin(name, item, false);
        }
    }

    fn end_list(&mut self, _: &'static Schema) {
        self.end();
    }

    fn begin_map(&mut self, _: &'static Schema, _: usize) {
        let name = self.take_name();
        self.begin(name, "value", true);
    }

    fn key(&mut self, _: &'static Schema, key: &str) {
        self.open("entry");
        self.element("key", key);
    }

    fn end_map(&mut self, _: &'static Schema) {
        self.end();
    }

    fn begin_structure(&mut self, _: &'static Schema) {
        let name = self.take_name();
        self.begin(name, "", false);
    }

    fn end_structure(&mut self, _: &'static Schema) {
        self.end();
    }
}

/// Text with markup escaped. Characters that XML 1.0 cannot hold become U+FFFD.
fn escape(out: &mut Vec<u8>, value: &str) {
    let bytes = value.as_bytes();
    // Most text needs no escape. A look at all bytes without a way out is one that the compiler vectorises.
    if !bytes.iter().fold(false, |found, byte| found | matches!(byte, b'&' | b'<' | b'>' | b'"' | 0..=0x1f | 0xef)) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut plain = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let (length, escape) = match byte {
            b'&' => (1, "&amp;"),
            b'<' => (1, "&lt;"),
            b'>' => (1, "&gt;"),
            b'"' => (1, "&quot;"),
            b'\r' => (1, "&#xD;"),
            b'\t' | b'\n' => continue,
            0..=0x1f => (1, "\u{fffd}"),
            // U+FFFE and U+FFFF.
            0xef if matches!(bytes.get(at + 1..at + 3), Some([0xbf, 0xbe | 0xbf])) => (3, "\u{fffd}"),
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..at]);
        out.extend_from_slice(escape.as_bytes());
        plain = at + length;
    }
    out.extend_from_slice(&bytes[plain..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_stays_text() {
        let mut out = Vec::new();
        escape(&mut out, "a<b>&\"c\" ü☃\u{1}\u{ffff}\u{fffe}\t\r\n𝄞");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a&lt;b&gt;&amp;&quot;c&quot; ü☃\u{fffd}\u{fffd}\u{fffd}\t&#xD;\n𝄞"
        );
    }
}
