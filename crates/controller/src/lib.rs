//! `controller`.
