//! Netlink, as much as the fabric needs: messages, sockets, and the two families that it speaks.

pub(crate) mod expression;
pub(crate) mod filter;
pub(crate) mod message;
pub(crate) mod route;
pub(crate) mod socket;
