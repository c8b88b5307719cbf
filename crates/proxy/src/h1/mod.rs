//! HTTP/1.1: parsing of both sides, bodies, and the loop that serves a client's connection.
//!
//! The parsers are pure. One task drives the client's connection and the target's together, without channels between them: that
//! is what a request's cost is made of.

pub(crate) mod body;
pub(crate) mod exchange;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod serve;
