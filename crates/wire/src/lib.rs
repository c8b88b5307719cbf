//! The AWS API's wire: bytes to typed shapes and back, once per protocol, guided by static schemas.
//!
//! The way in: bytes → [`decode()`] → [`Value`] → [`validate()`] → [`Shape::from_value`] (done by a service's dispatch).
//! The way out: an [`Output`] → [`encode::output`], or a [`types::ApiError`] → [`encode::error`].
//! Nothing here does I/O or knows what a service means; the tables come from `model`.

pub mod decode;
pub mod encode;
pub mod schema;
mod seed;
pub mod service;
pub mod shape;
pub mod sigv4;
pub mod stored;
mod timestamp;
pub mod validate;
pub mod value;

pub use decode::{DecodeError, Form, decode};
pub use encode::Encoded;
pub use schema::Schema;
pub use service::{ErrorInfo, OperationInfo, Protocol, Service, ServiceInfo};
pub use shape::{Output, Shape, Unit, Writer};
pub use stored::Stored;
pub use validate::validate;
pub use value::Value;
