//! The client's part: it answers the handshake, types, and shows.

use crate::Millis;
use crate::channel::{Channel, Heard, Lost};
use crate::message::Malformed;
use crate::payload::{
    self, EXIT_CODE, EXIT_CODE_MARK, HandshakeComplete, HandshakeRequest, HandshakeResponse, Processed, Size,
};
use serde_json::Value;

/// The most of one payload. Source: the plugin's `StreamDataPayloadSize`.
const MOST: usize = 1024;

/// What the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The agent listens from here on. Something to show may come with it.
    Ready(String),
    /// Output.
    Output(Vec<u8>),
    /// Standard error.
    Errors(Vec<u8>),
    /// The exit code.
    ExitCode(i32),
    /// The session is over, for this reason unless it ended as it should.
    Closed(String),
}

/// A client.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    version: String,
}

impl Client {
    /// A client that waits for the agent to begin. The seed makes ids, so it should be random.
    pub fn new(seed: [u8; 16], version: &str) -> Self {
        Self { channel: Channel::of_client(seed), version: version.to_owned() }
    }

    /// Takes a frame in. Without `room` output is left to be sent again.
    pub fn take(&mut self, frame: &[u8], room: bool, now: Millis) -> Result<Vec<Told>, Malformed> {
        let mut told = Vec::new();
        for heard in self.channel.take(frame, room, now)? {
            match heard {
                Heard::Closed(why) => told.push(Told::Closed(why)),
                Heard::Data { payload_type: payload::HANDSHAKE_REQUEST, payload } => self.answer(&payload, now)?,
                Heard::Data { payload_type: payload::HANDSHAKE_COMPLETE, payload } => {
                    let complete: HandshakeComplete =
                        serde_json::from_slice(&payload).map_err(|_| Malformed::Payload)?;
                    told.push(Told::Ready(complete.customer_message));
                }
                Heard::Data { payload_type: payload::ERRORS, payload } => told.push(Told::Errors(payload)),
                Heard::Data { payload_type: EXIT_CODE, payload } => {
                    let text = std::str::from_utf8(&payload).map_err(|_| Malformed::Payload)?;
                    let code = text.strip_prefix(EXIT_CODE_MARK).and_then(|code| code.trim().parse().ok());
                    told.push(Told::ExitCode(code.ok_or(Malformed::Payload)?));
                }
                Heard::Data { payload_type: payload::OUTPUT, payload } => told.push(Told::Output(payload)),
                Heard::Data { .. } => {}
            }
        }
        Ok(told)
    }

    /// Sessions are all that can be had here; what is encrypted or forwarded is not.
    fn answer(&mut self, request: &[u8], now: Millis) -> Result<(), Malformed> {
        let request: HandshakeRequest = serde_json::from_slice(request).map_err(|_| Malformed::Payload)?;
        let processed = request.requested_client_actions.into_iter().map(|action| {
            let error = match action.action_type.as_str() {
                "SessionType" => String::new(),
                other => format!("Unsupported action {other}"),
            };
            let action_status = if error.is_empty() { Processed::DONE } else { 3 };
            Processed { action_type: action.action_type, action_status, action_result: Value::Null, error }
        });
        let processed: Vec<_> = processed.collect();
        let errors = processed.iter().map(|one| one.error.clone()).filter(|error| !error.is_empty()).collect();
        let response =
            HandshakeResponse { client_version: self.version.clone(), processed_client_actions: processed, errors };
        self.channel.send(payload::HANDSHAKE_RESPONSE, serde_json::to_vec(&response).unwrap_or_default(), now);
        Ok(())
    }

    /// Input for the process.
    pub fn input(&mut self, bytes: &[u8], now: Millis) {
        for piece in bytes.chunks(MOST) {
            self.channel.send(payload::OUTPUT, piece.to_vec(), now);
        }
    }

    /// No more input comes; where there is no terminal.
    pub fn end_input(&mut self, now: Millis) {
        self.channel.send(payload::OUTPUT, Vec::new(), now);
    }

    /// The size of the terminal.
    pub fn size(&mut self, size: Size, now: Millis) {
        self.channel.send(payload::SIZE, serde_json::to_vec(&size).unwrap_or_default(), now);
    }

    /// A signal for the process.
    pub fn signal(&mut self, signal: u8, now: Millis) {
        let flag = payload::SIGNAL + u32::from(signal);
        self.channel.send(payload::FLAG, flag.to_be_bytes().to_vec(), now);
    }

    /// Time passes.
    pub fn tick(&mut self, now: Millis) -> Result<(), Lost> {
        self.channel.tick(now)
    }

    /// Whether more may be typed now.
    pub fn has_room(&self) -> bool {
        self.channel.has_room()
    }

    /// The next frame to be sent, if there is one.
    pub fn outgoing(&mut self, now: Millis) -> Option<Vec<u8>> {
        self.channel.outgoing(now)
    }
}
