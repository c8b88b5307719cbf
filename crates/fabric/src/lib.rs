//! `fabric`.
