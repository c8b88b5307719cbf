//! What every layer speaks of: ids and ARNs, accounts and regions, instants and the clock, pace, and AWS's wire error.
//!
//! Nothing here does I/O, apart from [`id`], which reads random bytes.
//! Whatever knows HTTP, Linux or a service's rules lives above.

pub mod arn;
pub mod clock;
pub mod error;
pub mod id;
pub mod scope;

pub use clock::{Clock, Pace, SimClock, Timestamp};
pub use error::{ApiError, Fault};
pub use scope::{AccountId, Region, Scope};
