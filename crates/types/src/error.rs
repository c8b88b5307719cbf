//! The one error that crosses the API's edge.
//!
//! Service crates keep domain enums; each has one `From<Domain> for ApiError`, so internal context cannot reach a client.

use std::fmt;

/// Who is to blame, as AWS's error documents say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request is wrong (`Sender`, `Client`).
    Sender,
    /// We failed (`Receiver`, `Server`).
    Receiver,
}

/// An error as AWS's clients see it. `wire` renders it in the protocol of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// AWS's code, e.g. `InvalidVpcID.NotFound`.
    pub code: String,
    /// AWS's text.
    pub message: String,
    /// HTTP status.
    pub status: u16,
    /// Who is to blame.
    pub fault: Fault,
}

impl ApiError {
    /// A client's error with status 400.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status: 400, fault: Fault::Sender }
    }

    /// The same with another HTTP status; 500 and above blame us.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self.fault = if status >= 500 { Fault::Receiver } else { Fault::Sender };
        self
    }

    /// `InternalFailure` 500. What went wrong is for our log, never for the client.
    pub fn internal() -> Self {
        Self::new(
            "InternalFailure",
            "The request processing has failed because of an unknown error, exception or failure.",
        )
        .with_status(500)
    }

    /// An operation or a feature that AWS has and that is not here; `what` names it.
    pub fn not_implemented(what: impl fmt::Display) -> Self {
        Self::new("NotImplemented", format!("Windtunnel does not implement {what}. See docs/fidelity.md."))
            .with_status(501)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}
