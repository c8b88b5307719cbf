//! The decisions of alarms and of automatic scaling.
//!
//! Everything here is a synchronous function of its arguments: no I/O, no clock, no randomness. [`alarm::evaluate`] takes a
//! rule and a stretch of data points and answers the alarm's state and why; [`capacity::decide`] takes the policies of a
//! scalable target with their alarms and answers what the capacity is to be; [`schedule`] says when scheduled actions are due.
//!
//! What this is not: it knows no API shapes, no store and no words of AWS; `observe::alarm_texts` turns decisions into text.

pub mod alarm;
pub mod capacity;
pub mod minute;
pub mod schedule;
pub mod step;
pub mod target;

pub use minute::Minute;
