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

/// The alarms that have an action as one of theirs when they go off, or a longer one that begins with it and a colon.
pub fn alarms_with_action<'a>(view: &'a View, scope: &Scope, action: &str) -> impl Iterator<Item = &'a Arc<Alarm>> {
    let is_it =
        move |given: &String| given.strip_prefix(action).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    view.scan::<Alarm>(scope).filter(move |alarm| alarm.actions.alarm.iter().any(is_it))
}
