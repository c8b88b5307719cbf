//! ECR: the registry that images are pushed to and pulled from, and its API.
//!
//! Two doors lead to the same rows and blobs: [`registry`] speaks OCI's distribution protocol to docker, podman and
//! skopeo; [`api`] speaks AWS's to the CLI, SDKs and Terraform. Both go through [`images`], in one transaction a request,
//! so they cannot disagree. Tasks pull through [`query`], without HTTP. [`controller`] scans what was pushed and
//! collects what nothing names any more.
//!
//! The bytes lie in the `blob` crate's store; this crate never writes a file besides its signing key.

pub mod api;
pub mod controller;
pub mod images;
pub mod manifest;
mod notices;
pub mod query;
pub mod registry;
pub mod rows;
pub mod scan;
mod service;
pub mod texts;
pub mod token;

pub use api::handlers;
pub use registry::{LayerAddress, LayerBucket, Registry};
pub use rows::tables;
pub use service::{Config, Ecr};
