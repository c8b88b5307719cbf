//! What other services may ask of logs.

use crate::rows::LogGroup;
use std::sync::Arc;
use store::View;
use types::Scope;

/// The log group of that name.
pub fn group(view: &View, scope: &Scope, name: &str) -> Option<Arc<LogGroup>> {
    view.get::<LogGroup>(scope, name)
}
