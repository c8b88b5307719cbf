//! What other services may ask of logs and alarms.

use crate::alarms::Alarm;
use crate::rows::{LogGroup, LogStream};
use std::sync::Arc;
use store::View;
use types::Scope;

/// The log group of that name.
pub fn group(view: &View, scope: &Scope, name: &str) -> Option<Arc<LogGroup>> {
    view.get::<LogGroup>(scope, name)
}

/// The log stream of that name in a group.
pub fn stream(view: &View, scope: &Scope, group: &str, name: &str) -> Option<Arc<LogStream>> {
    view.get::<LogStream>(scope, &LogStream::key(group, name))
}

/// The alarm of that name.
pub fn alarm(view: &View, scope: &Scope, name: &str) -> Option<Arc<Alarm>> {
    view.get::<Alarm>(scope, name)
}
