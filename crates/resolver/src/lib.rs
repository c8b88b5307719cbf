//! DNS inside VPCs: what a name means there, and who says so.
//!
//! [`Zone`] decides: from the rows and a question to an answer, without I/O. [`message`] puts that into DNS's own form, bytes in and
//! bytes out, whatever the bytes. [`Dns`] is what answers at the sockets: a VPC's third address and 169.254.169.253, in the
//! router's namespace, where neither groups nor ACLs have a say, as long as the VPC has `enableDnsSupport`.
//!
//! [`question`] is for those who ask another name server. A name that is neither AWS's nor the VPC's does not exist, unless
//! there is an [`Upstream`] that asks the machine's own name servers for it.
//!
//! What this is not: it asks nobody itself, and remembers nothing.

mod amazon;
mod dns;
pub mod forward;
pub mod message;
pub mod question;
mod sockets;
mod zone;

pub use discovery::zone::Data;
pub use dns::Dns;
pub use forward::Upstream;
pub use zone::{Answer, Kind, LINK_LOCAL, Record, TTL, Zone};
