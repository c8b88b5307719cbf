//! `observe`.
