//! What is in frames: numbers for the kinds of payloads, and the documents that some of them are.
//! Source: `src/message/clientmessage.go`, `handshakemessage.go` of the plugin.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Input or output.
pub const OUTPUT: u32 = 1;
/// A [`Size`].
pub const SIZE: u32 = 3;
/// A [`HandshakeRequest`].
pub const HANDSHAKE_REQUEST: u32 = 5;
/// A [`HandshakeResponse`].
pub const HANDSHAKE_RESPONSE: u32 = 6;
/// A [`HandshakeComplete`].
pub const HANDSHAKE_COMPLETE: u32 = 7;
/// Four bytes, a number: [`TERMINATE`], or a signal.
pub const FLAG: u32 = 10;
/// Standard error.
pub const ERRORS: u32 = 11;
/// `EXIT_CODE: <number>`.
pub const EXIT_CODE: u32 = 12;

/// The flag by which a client ends the session.
pub const TERMINATE: u32 = 2;
/// The flag that is signal 0; the others follow. Ours.
pub const SIGNAL: u32 = 0x100;

/// The first words of [`EXIT_CODE`]'s payload.
pub const EXIT_CODE_MARK: &str = "EXIT_CODE: ";

/// The size of the client's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Characters a line.
    pub cols: u32,
    /// Lines.
    pub rows: u32,
}

/// The first thing that a client says, as text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannel {
    /// `1.0`.
    #[serde(default)]
    pub message_schema_version: String,
    /// A UUID.
    #[serde(default)]
    pub request_id: String,
    /// What shows that the session is the client's.
    pub token_value: String,
    /// A UUID.
    #[serde(default)]
    pub client_id: String,
    /// The plugin's version.
    #[serde(default)]
    pub client_version: String,
}

/// What has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The frame's type.
    #[serde(rename = "AcknowledgedMessageType", default)]
    pub kind: String,
    /// Its id.
    #[serde(rename = "AcknowledgedMessageId", default)]
    pub id: String,
    /// Its number.
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub sequence: i64,
    /// Always.
    #[serde(rename = "IsSequentialMessage", default)]
    pub sequential: bool,
}

/// What the agent wants of its client before it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequest {
    /// The agent's version.
    pub agent_version: String,
    /// What the client is to do.
    pub requested_client_actions: Vec<Requested>,
}

/// One such thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Requested {
    /// `SessionType`, `KMSEncryption`.
    pub action_type: String,
    /// What belongs to it.
    #[serde(default)]
    pub action_parameters: Value,
}

/// What the client says to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponse {
    /// The client's version.
    #[serde(default)]
    pub client_version: String,
    /// What it has done.
    #[serde(default, deserialize_with = "null_is_none")]
    pub processed_client_actions: Vec<Processed>,
    /// What went wrong.
    #[serde(default, deserialize_with = "null_is_none")]
    pub errors: Vec<String>,
}

/// One thing that it has done or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Processed {
    /// As in the request.
    #[serde(default)]
    pub action_type: String,
    /// [`Processed::DONE`], or not.
    #[serde(default)]
    pub action_status: i64,
    /// What came of it.
    #[serde(default)]
    pub action_result: Value,
    /// What went wrong.
    #[serde(default)]
    pub error: String,
}

impl Processed {
    /// It was done.
    pub const DONE: i64 = 1;
}

/// The agent begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeComplete {
    /// How long the handshake took, in nanoseconds.
    pub handshake_time_to_complete: u64,
    /// Something to show to the user.
    #[serde(default)]
    pub customer_message: String,
}

/// The session is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChannelClosed {
    /// The frame's id.
    #[serde(default)]
    pub message_id: String,
    /// In milliseconds, as text.
    #[serde(default)]
    pub created_date: String,
    /// Where the session was.
    #[serde(default)]
    pub destination_id: String,
    /// The session.
    #[serde(default)]
    pub session_id: String,
    /// `channel_closed`.
    #[serde(default)]
    pub message_type: String,
    /// 1.
    #[serde(default)]
    pub schema_version: i64,
    /// Why, unless it ended as it should.
    #[serde(default)]
    pub output: String,
}

/// Go writes a list that it does not have as null.
fn null_is_none<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_names_that_the_plugin_knows() {
        let acknowledged =
            Acknowledged { kind: "input_stream_data".into(), id: "x".into(), sequence: 7, sequential: true };
        assert_eq!(
            serde_json::to_string(&acknowledged).unwrap(),
            r#"{"AcknowledgedMessageType":"input_stream_data","AcknowledgedMessageId":"x","AcknowledgedMessageSequenceNumber":7,"IsSequentialMessage":true}"#
        );
        let response: HandshakeResponse =
            serde_json::from_str(r#"{"ClientVersion":"1.2.0.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""}],"Errors":null}"#)
                .unwrap();
        assert_eq!(response.processed_client_actions[0].action_status, Processed::DONE);
        let complete = HandshakeComplete { handshake_time_to_complete: 1_000, customer_message: String::new() };
        assert_eq!(
            serde_json::to_string(&complete).unwrap(),
            r#"{"HandshakeTimeToComplete":1000,"CustomerMessage":""}"#
        );
    }
}
