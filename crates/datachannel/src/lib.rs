//! Session Manager's data channel: what a client and an agent say to each other over a WebSocket.
//!
//! Pure: frames go in and out, instants are given. [`message`] is the form of a frame, [`payload`] what is in it. [`channel`] is one
//! end: it numbers, acknowledges, repeats and puts in order. On it stand the two parts that can be played: [`agent`] starts a
//! process for its client, and [`client`] is the one who types.
//!
//! Source: the public programs aws/session-manager-plugin (client) and aws/amazon-ssm-agent (agent). What is ours: an agent sends the
//! exit code to whoever asks for it, as AWS's does without a terminal; without a terminal an empty piece of input is its end, and flags
//! from [`payload::SIGNAL`] on are signals. No other client sends these.
//!
//! Not here: encryption by KMS keys, and forwarding of ports.

pub mod agent;
pub mod channel;
pub mod client;
pub mod message;
pub mod payload;
mod pieces;

pub use agent::{Agent, Wish};
pub use channel::{Channel, Lost};
pub use client::{Client, Told};
pub use message::{Kind, Malformed, Message};
pub use payload::Size;

/// An instant in milliseconds, of any clock that does not go back.
pub type Millis = u64;
