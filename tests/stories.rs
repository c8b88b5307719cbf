//! Stories that a user would tell, with the built binary, real clients, real containers and real packets.
//!
//! Each story starts a server of its own on a free port with a data directory of its own, so that stories run alone or
//! side by side. Waiting has a deadline everywhere, and a story that fails still leaves the host as it found it.

#![allow(clippy::disallowed_methods, reason = "stories start processes, and measure how long things take")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

mod stories {
    mod auto_scaling_groups;
    mod bad_input;
    mod blueprint;
    mod bridge_mode;
    mod capacity_providers;
    mod clients;
    mod credentials;
    mod demo;
    mod deployments;
    mod endpoints;
    mod events;
    mod every_operation;
    mod exec;
    mod explain;
    mod failures;
    mod first_steps;
    mod flow_logs;
    mod gotchas;
    mod hostile_images;
    mod instances;
    mod internet;
    mod ipv6;
    mod loopback;
    mod names;
    mod negative_space;
    mod permissions;
    mod scaling;
    mod security_groups;
    mod service_connect;
    mod service_discovery;
    mod short_names;
    mod storage;
    mod survival;
    mod trace;
}
