//! Why a packet arrives or does not: a person's question, answered from the rows that the network is compiled from.
//!
//! [`Question`] names two ends as people name them: a task, a service, a load balancer, an interface, an address.
//! [`Answer::to`] finds them in the rows and has `netplan::walk` go every way between them. [`probe`] sends real packets
//! along those ways, and [`text`] shows an answer to a person. What decides about a packet is `netplan`'s business; here
//! it is only asked and told.

mod answer;
mod metadata;
mod names;
mod places;
pub mod probe;
mod question;
mod remedy;
pub mod text;
pub mod trace;

pub use answer::{Answer, Place, Way};
pub use question::{Protocol, Question};
pub use remedy::Change;

/// Why a question has no answer, with what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It names something that is not there.
    #[error("there is no {what}. {next}")]
    NotFound {
        /// What.
        what: String,
        /// The next step.
        next: String,
    },
    /// It names several things.
    #[error("{text:?} may be any of {}. Name one of them.", candidates.join(", "))]
    Ambiguous {
        /// As it was written.
        text: String,
        /// What it may mean, each as it can be written.
        candidates: Vec<String>,
    },
    /// It cannot be asked so.
    #[error("{0}")]
    Unfit(String),
}
