//! Deployments built through the AWS API with the public SDK, as a user's program would build them.
//!
//! [`image`] packs an executable into an OCI image without any container tool, [`push`] sends it to a registry over the
//! distribution API, [`reference`] builds the reference deployment: network, roles, load balancer, services. Nothing in
//! here knows what answers at the endpoint; it is a client like any other, and only its endpoint differs from AWS's.

pub mod client;
pub mod image;
pub mod push;
pub mod reference;

/// Why a deployment stopped: what was being done, and what the API said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The step, as the progress shows it.
    pub step: String,
    /// The API's code and message, or the transport's error.
    pub cause: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.step, self.cause)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure of `step` because of `cause`.
    pub fn new(step: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        Self { step: step.into(), cause: cause.to_string() }
    }
}
