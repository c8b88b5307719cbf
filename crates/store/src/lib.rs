//! The state of the whole product: typed tables held in memory, made durable on disk, with a feed of their changes.
//!
//! Rows ([`Row`]) live decoded in persistent maps, so a [`View`] is a free snapshot that neither blocks the writer nor decodes
//! anything. One [`Tx`] at a time writes; its commit is queued, and a group-commit thread makes everything queued durable with
//! one sync, then publishes the new view, answers the [`Ticket`]s and wakes the change [`Feed`]s. What is not durable is never
//! visible in a view and never acknowledged; the next transaction however starts from it, because it will be durable first.
//!
//! Log events and the like, which are too many for memory, go to [`Streams`] instead.
//!
//! This crate knows no AWS service and no time. It is not a query engine: a lookup is by id, by declared index, or a scan in order of id.

mod commit;
mod disk;
mod error;
mod feed;
mod lock;
mod open;
mod row;
mod store;
mod stream;
mod table;
mod ticket;
mod tx;
mod view;

pub use error::Error;
pub use feed::{Change, Commit, Feed, News, Op, TooOld};
pub use row::{Index, Row, TableDef};
pub use store::Store;
pub use stream::{Entry, Position, StreamStats, Streams};
pub use ticket::Ticket;
pub use tx::Tx;
pub use view::View;

#[cfg(test)]
mod tests;
