//! VPC flow logs: what becomes of counted packets on the way to a line of a log.
//!
//! [`Window`] gathers what an interface's packets came to within an aggregation interval. [`Format`] is a flow log's list
//! of fields, which turns a [`Record`] into its line. Nothing here does I/O, counts packets or knows the time: the counts
//! come from the kernel, and the lines go to CloudWatch Logs, by way of crate `vpc`.

mod format;
mod window;

pub use format::{Field, Format, FormatError, Place};
pub use window::{Action, Direction, Flow, MAX_FLOWS, Record, Sighting, Totals, Traffic, Window};
