//! `netplan`.
