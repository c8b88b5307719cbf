//! DNS inside VPCs: what a name means there, and who says so.
//!
//! [`Zone`] decides: from the rows and a question to an answer, without I/O. [`message`] puts that into DNS's own form, bytes in and
//! bytes out, whatever the bytes. [`Dns`] is what answers at the sockets: a VPC's third address and 169.254.169.253, in the
//! router's namespace, where neither groups nor ACLs have a say, as long as the VPC has `enableDnsSupport`.
//!
//! [`question`] is for those who ask another name server.
//!
//! What this is not: it asks nobody. Nothing here leads to the real internet, so a name that is neither AWS's nor the
//! VPC's does not exist.

mod amazon;
mod dns;
pub mod message;
pub mod question;
mod sockets;
mod zone;

pub use dns::Dns;
pub use zone::{Answer, Kind, LINK_LOCAL, TTL, Zone};
