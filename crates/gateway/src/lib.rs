//! The API's front door: which service, which operation, who (SigV4), may they (IAM); then one handler in one
//! transaction, and its answer in the protocol of the request.
//!
//! [`dispatch`] finds service and operation in a request's head and body, without I/O. [`call`] runs one call through
//! authentication, authorisation ([`resource`] says over what), decoding, validation, handler, commit and encoding. [`server`] is HTTP. [`context`] is
//! what a handler sees. [`door`] says where a call came in. What a service means by its operations is not known here; neither is any Linux below.

pub mod call;
pub mod context;
pub mod dispatch;
pub mod door;
pub mod identity;
pub mod resource;
pub mod server;

pub use context::Context;
pub use door::{Door, Origin};
pub use identity::{Action, Credentials, Identity, Principal, PrincipalKind};
pub use server::{Body, Extra, Gateway};
