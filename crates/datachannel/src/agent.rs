//! The agent's part: a handshake, then a process for the client to talk with, then the end.
//!
//! Whoever plays it carries out the [`Wish`]es and tells what the process writes. Waits: for the answer in the handshake, and a moment for the
//! size of the client's terminal, so that the process finds it right from the start.

use crate::Millis;
use crate::channel::{Channel, Heard, Lost};
use crate::message::Malformed;
use crate::payload::{
    self, EXIT_CODE, EXIT_CODE_MARK, HandshakeComplete, HandshakeRequest, HandshakeResponse, Processed, Requested, Size,
};
use crate::pieces::Pieces;
use serde_json::json;

/// As whom we speak to clients, which expect things of versions. Source: the SSM agent of Fargate's platform 1.4.0.
const VERSION: &str = "3.3.1345.0";
/// How long a client may take for its part of the handshake. Source: the agent's `handshakeTimeout`.
const HANDSHAKE: Millis = 15_000;
/// How long the process waits for the size of its terminal.
const SIZING: Millis = 500;

/// What the client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The process is to be started, in a terminal of this size if it has one.
    Start(Option<Size>),
    /// Input for it.
    Input(Vec<u8>),
    /// No more input comes.
    EndOfInput,
    /// Its terminal has another size.
    Resize(Size),
    /// A signal.
    Signal(i32),
    /// The end.
    Terminate,
}

/// Why an agent gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The client did not do its part in time.
    HandshakeTimeout,
    /// The client acknowledges nothing any more.
    Lost,
}

/// How a session is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// In a terminal. Without, input ends and standard error is apart.
    pub terminal: bool,
    /// The client asks for the exit code.
    pub tells_exit: bool,
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    channel: Channel,
    manner: Manner,
    phase: Phase,
    output: Pieces,
    errors: Pieces,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Handshake { since: Millis },
    Sizing { since: Millis },
    Running,
}

impl Agent {
    /// An agent that begins the handshake. The seed makes ids, so it should be random.
    pub fn new(seed: [u8; 16], manner: Manner, now: Millis) -> Self {
        let mut channel = Channel::of_agent(seed);
        let kind = if manner.terminal { "InteractiveCommands" } else { "NonInteractiveCommands" };
        let request = HandshakeRequest {
            agent_version: VERSION.to_owned(),
            requested_client_actions: vec![Requested {
                action_type: "SessionType".to_owned(),
                action_parameters: json!({ "SessionType": kind, "Properties": null }),
            }],
        };
        channel.send(payload::HANDSHAKE_REQUEST, serde_json::to_vec(&request).unwrap_or_default(), now);
        let phase = Phase::Handshake { since: now };
        Self { channel, manner, phase, output: Pieces::default(), errors: Pieces::default() }
    }

    /// Takes a frame in. Without `room` input is left to be sent again.
    pub fn take(&mut self, frame: &[u8], room: bool, now: Millis) -> Result<Vec<Wish>, Malformed> {
        let mut wishes = Vec::new();
        for heard in self.channel.take(frame, room, now)? {
            match heard {
                Heard::Closed(_) => wishes.push(Wish::Terminate),
                Heard::Data { payload_type, payload } => self.heed(payload_type, payload, now, &mut wishes)?,
            }
        }
        Ok(wishes)
    }

    fn heed(&mut self, kind: u32, payload: Vec<u8>, now: Millis, wishes: &mut Vec<Wish>) -> Result<(), Malformed> {
        match (kind, self.phase) {
            (payload::HANDSHAKE_RESPONSE, Phase::Handshake { since }) => {
                let response: HandshakeResponse = serde_json::from_slice(&payload).map_err(|_| Malformed::Payload)?;
                let failed = response.processed_client_actions.iter().find(|one| one.action_status != Processed::DONE);
                if failed.is_some() {
                    wishes.push(Wish::Terminate);
                    return Ok(());
                }
                let complete = HandshakeComplete {
                    handshake_time_to_complete: now.saturating_sub(since) * 1_000_000,
                    customer_message: String::new(),
                };
                let complete = serde_json::to_vec(&complete).unwrap_or_default();
                self.channel.send(payload::HANDSHAKE_COMPLETE, complete, now);
                if self.manner.terminal {
                    self.phase = Phase::Sizing { since: now };
                } else {
                    self.phase = Phase::Running;
                    wishes.push(Wish::Start(None));
                }
            }
            // Until the handshake is complete there is nobody to hear it.
            (_, Phase::Handshake { .. }) => {}
            (payload::SIZE, phase) => {
                let size = serde_json::from_slice(&payload).map_err(|_| Malformed::Payload)?;
                if matches!(phase, Phase::Sizing { .. }) {
                    self.phase = Phase::Running;
                    wishes.push(Wish::Start(Some(size)));
                } else {
                    wishes.push(Wish::Resize(size));
                }
            }
            (payload::OUTPUT, phase) => {
                if matches!(phase, Phase::Sizing { .. }) {
                    self.phase = Phase::Running;
                    wishes.push(Wish::Start(None));
                }
                match payload.is_empty() {
                    true if self.manner.terminal => {}
                    true => wishes.push(Wish::EndOfInput),
                    false => wishes.push(Wish::Input(payload)),
                }
            }
            (payload::FLAG, _) => {
                let flag = <[u8; 4]>::try_from(&payload[..]).map_err(|_| Malformed::Payload)?;
                match u32::from_be_bytes(flag) {
                    payload::TERMINATE => wishes.push(Wish::Terminate),
                    flag @ payload::SIGNAL..=0x17f => wishes.push(Wish::Signal((flag - payload::SIGNAL) as i32)),
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Time passes.
    pub fn tick(&mut self, now: Millis) -> Result<Option<Wish>, Failure> {
        self.channel.tick(now).map_err(|Lost| Failure::Lost)?;
        match self.phase {
            Phase::Handshake { since } if now.saturating_sub(since) > HANDSHAKE => Err(Failure::HandshakeTimeout),
            Phase::Sizing { since } if now.saturating_sub(since) > SIZING => {
                self.phase = Phase::Running;
                Ok(Some(Wish::Start(None)))
            }
            _ => Ok(None),
        }
    }

    /// The process has written this.
    pub fn output(&mut self, bytes: &[u8], now: Millis) {
        for piece in self.output.cut(bytes) {
            self.channel.send(payload::OUTPUT, piece, now);
        }
    }

    /// The process has written this to its standard error.
    pub fn errors(&mut self, bytes: &[u8], now: Millis) {
        for piece in self.errors.cut(bytes) {
            self.channel.send(payload::ERRORS, piece, now);
        }
    }

    /// The process has ended, and all that it wrote was told.
    pub fn ended(&mut self, code: Option<i32>, now: Millis) {
        for (kind, pieces) in [(payload::OUTPUT, &mut self.output), (payload::ERRORS, &mut self.errors)] {
            if let Some(rest) = pieces.rest() {
                self.channel.send(kind, rest, now);
            }
        }
        if let Some(code) = code.filter(|_| self.manner.tells_exit) {
            self.channel.send(EXIT_CODE, format!("{EXIT_CODE_MARK}{code}").into_bytes(), now);
        }
    }

    /// Says that the session is over, and why unless it ended as it should.
    pub fn close(&mut self, session: &str, target: &str, why: &str, now: Millis) {
        self.channel.close(session, target, why, now);
    }

    /// Whether the process may write more now.
    pub fn has_room(&self) -> bool {
        self.channel.has_room()
    }

    /// Whether the client has all that was sent.
    pub fn is_settled(&self) -> bool {
        self.channel.is_settled()
    }

    /// The next frame to be sent, if there is one.
    pub fn outgoing(&mut self, now: Millis) -> Option<Vec<u8>> {
        self.channel.outgoing(now)
    }
}
