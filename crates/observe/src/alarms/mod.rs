//! Alarms: [`row`] is what is kept of one, [`controller`] evaluates them minute by minute as crate `tracking` decides,
//! [`history`] keeps what became of them, [`texts`] has CloudWatch's words for it.

pub mod controller;
pub mod history;
pub mod row;
pub(crate) mod texts;

pub use controller::{Evaluator, look};
pub use row::Alarm;
