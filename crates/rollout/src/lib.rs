//! `rollout`.
