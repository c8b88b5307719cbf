//! The decisions of alarms and of automatic scaling.
//!
//! Everything here is a synchronous function of its arguments: no I/O, no clock, no randomness. [`alarm::evaluate`] takes a
//! rule and a stretch of data points and answers the alarm's state and why.
//!
//! What this is not: it knows no API shapes, no store and no words of AWS; `observe::alarm_texts` turns decisions into text.

pub mod alarm;
pub mod minute;

pub use minute::Minute;
