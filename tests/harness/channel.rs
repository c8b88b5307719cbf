//! Session Manager's client, written from what aws/session-manager-plugin does and with nothing of the product's: a
//! WebSocket by hand, and frames by their offsets.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the other end may be silent.
const PATIENCE: Duration = Duration::from_secs(20);
const MASK: [u8; 4] = [1, 2, 3, 4];

/// A session's data channel.
pub(crate) struct DataChannel {
    reader: BufReader<TcpStream>,
    /// The number of the next frame that is sent, and of the next that should come.
    next: i64,
    expected: i64,
    output: String,
    closed: Option<String>,
}

impl DataChannel {
    /// Opens the one that ExecuteCommand has answered with, and does the handshake.
    pub(crate) fn open(answer: &Value) -> Self {
        let session = &answer["session"];
        let text = |name: &str| session[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"));
        let mut channel = Self::upgrade(text("streamUrl"));
        let open = json!({
            "MessageSchemaVersion": "1.0",
            "RequestId": "8fcbf0ae-5c0d-4c47-b3ad-2e4a90bd3b1e",
            "TokenValue": text("tokenValue"),
            "ClientId": "f2cd4d2b-3a46-4a35-8c64-5d4d6d5b8f2a",
            "ClientVersion": "1.2.677.0",
        });
        // The plugin asks for a sign of life at once, sometimes before it has said who it is.
        channel.frame(9, b"keepalive");
        channel.frame(1, open.to_string().as_bytes());
        let request = channel.expect(5);
        assert_eq!(request["RequestedClientActions"][0]["ActionType"], "SessionType", "{request}");
        let kind = &request["RequestedClientActions"][0]["ActionParameters"]["SessionType"];
        assert_eq!(kind, "InteractiveCommands", "{request}");
        let action = json!({ "ActionType": "SessionType", "ActionStatus": 1, "ActionResult": null, "Error": "" });
        let response = json!({ "ClientVersion": "1.2.677.0", "ProcessedClientActions": [action], "Errors": null });
        channel.send(6, response.to_string().as_bytes());
        channel.expect(7);
        channel
    }

    fn upgrade(url: &str) -> Self {
        let rest = url.strip_prefix("ws://").unwrap_or_else(|| panic!("{url} is not where the story can go"));
        let (host, path) = rest.split_once('/').unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = BufReader::new(stream);
        let head = format!(
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        reader.get_mut().write_all(head.as_bytes()).unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_ascii_lowercase()),
            }
        }
        assert!(lines[0].contains(" 101 "), "expected a WebSocket, but: {lines:?}");
        // RFC 6455's own example of a key and its answer.
        let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
        assert!(lines.iter().any(|line| line == accept), "expected {accept}, but: {lines:?}");
        Self { reader, next: 0, expected: 0, output: String::new(), closed: None }
    }

    /// Types text.
    pub(crate) fn input(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    /// Types two texts whose frames come in the wrong order, the second twice.
    pub(crate) fn input_out_of_order(&mut self, first: &str, second: &str) {
        let at = self.next;
        self.next = at + 1;
        self.send(1, second.as_bytes());
        self.next = at + 1;
        self.send(1, second.as_bytes());
        self.next = at;
        self.send(1, first.as_bytes());
        self.next = at + 2;
    }

    /// The size of the terminal.
    pub(crate) fn resize(&mut self, cols: u32, rows: u32) {
        self.send(3, json!({ "cols": cols, "rows": rows }).to_string().as_bytes());
    }

    /// The flag by which a client ends a session.
    pub(crate) fn terminate(&mut self) {
        self.send(10, &[0, 0, 0, 2]);
    }

    /// Reads output until it has `mark`, and gives what came since the last time.
    pub(crate) fn until(&mut self, mark: &str) -> String {
        while !self.output.contains(mark) {
            assert!(self.closed.is_none(), "expected {mark:?}, but the session is over: {:?}", self.output);
            self.receive();
        }
        let end = self.output.find(mark).unwrap() + mark.len();
        self.output.drain(..end).collect()
    }

    /// Reads until the session is over, and gives its last words and all output that was left.
    pub(crate) fn end(mut self) -> (String, String) {
        while self.closed.is_none() {
            self.receive();
        }
        (self.closed.unwrap(), self.output)
    }

    /// The document of the next payload of this type.
    fn expect(&mut self, wanted: u32) -> Value {
        loop {
            assert!(self.closed.is_none(), "expected a payload of type {wanted}, but: {:?}", self.closed);
            if let Some((kind, payload)) = self.receive()
                && kind == wanted
            {
                return serde_json::from_slice(&payload).unwrap();
            }
        }
    }

    /// Takes one frame in; the type and payload of what is new in the stream.
    fn receive(&mut self) -> Option<(u32, Vec<u8>)> {
        let (opcode, bytes) = self.read_frame();
        if opcode != 2 {
            assert_ne!(opcode, 8, "the connection was closed before the session was");
            return None;
        }
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(number(0), 116, "the header's length");
        let kind = String::from_utf8(bytes[4..36].to_vec()).unwrap();
        let sequence = i64::from_be_bytes(bytes[48..56].try_into().unwrap());
        let payload = bytes[120..].to_vec();
        assert_eq!(number(116) as usize, payload.len(), "the payload's length");
        assert_eq!(Sha256::digest(&payload)[..], bytes[80..112], "the payload's digest");
        match kind.trim_end() {
            "acknowledge" => None,
            "channel_closed" => {
                let closed: Value = serde_json::from_slice(&payload).unwrap();
                self.closed = Some(closed["Output"].as_str().unwrap().to_owned());
                None
            }
            "output_stream_data" => {
                let hex = hex::encode([&bytes[72..80], &bytes[64..72]].concat());
                let id = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
                let acknowledged = json!({
                    "AcknowledgedMessageType": "output_stream_data",
                    "AcknowledgedMessageId": id,
                    "AcknowledgedMessageSequenceNumber": sequence,
                    "IsSequentialMessage": true,
                });
                self.message("acknowledge", 0, 3, 0, acknowledged.to_string().as_bytes());
                if sequence != self.expected {
                    assert!(sequence < self.expected, "a frame is missing before {sequence}");
                    return None;
                }
                self.expected += 1;
                if number(112) == 1 {
                    self.output.push_str(&String::from_utf8(payload.clone()).expect("a character was split"));
                }
                Some((number(112), payload))
            }
            other => panic!("a frame of an unknown type: {other}"),
        }
    }

    /// Puts a payload into the stream.
    fn send(&mut self, payload_type: u32, payload: &[u8]) {
        self.message("input_stream_data", self.next, 0, payload_type, payload);
        self.next += 1;
    }

    fn message(&mut self, kind: &str, sequence: i64, flags: u64, payload_type: u32, payload: &[u8]) {
        let mut bytes = 116u32.to_be_bytes().to_vec();
        bytes.extend_from_slice(format!("{kind:<32}").as_bytes());
        bytes.extend_from_slice(&1u32.to_be_bytes());
        bytes.extend_from_slice(&1_700_000_000_000u64.to_be_bytes());
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&Sha256::digest(sequence.to_be_bytes())[..16]);
        bytes.extend_from_slice(&Sha256::digest(payload));
        bytes.extend_from_slice(&payload_type.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(payload);
        self.frame(2, &bytes);
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            length @ ..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            length => {
                bytes.push(0x80 | 0x7e);
                bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
        self.reader.get_mut().write_all(&bytes).unwrap();
    }

    fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.reader.read_exact(&mut head).expect("the data channel says nothing more");
        assert_eq!(head[1] & 0x80, 0, "servers do not mask");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.reader.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.reader.read_exact(&mut payload).unwrap();
        (head[0] & 0x0f, payload)
    }
}
