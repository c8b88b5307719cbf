//! Events of one's own: PutEvents, TestEventPattern.

use super::check_bus;
use crate::pattern::Pattern;
use crate::{Event, Events, publish, texts};
use gateway::Context;
use model::events::{
    PutEventsRequest, PutEventsRequestEntry, PutEventsResponse, PutEventsResultEntry, TestEventPatternRequest,
    TestEventPatternResponse,
};
use serde_json::Value;
use types::{ApiError, Timestamp};

/// As large as the entries of a call are together. Source: EventBridge user guide, "Calculating PutEvents event entry size".
const LARGEST: usize = 256 * 1024;

pub(super) fn put(_: &Events, cx: &mut Context, input: PutEventsRequest) -> Result<PutEventsResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    if input.endpoint_id.is_some() {
        return Err(ApiError::not_implemented("EndpointId (global endpoints)"));
    }
    if input.entries.iter().map(size).sum::<usize>() > LARGEST {
        return Err(texts::entries_too_large());
    }
    let mut entries = Vec::with_capacity(input.entries.len());
    for entry in input.entries {
        let told = match check_bus(&scope, entry.event_bus_name.as_deref()) {
            // What goes to a bus that is not there is lost, as on AWS, and so told.
            Err(error) => Err((error.code, error.message)),
            Ok(()) => event(entry, now).map_err(|(code, message)| (code.to_owned(), message)),
        };
        entries.push(match told {
            Ok(event) => {
                let id = publish(cx.tx(), &scope, &event, now);
                PutEventsResultEntry { event_id: Some(id), ..Default::default() }
            }
            Err((code, message)) => {
                PutEventsResultEntry { error_code: Some(code), error_message: Some(message), ..Default::default() }
            }
        });
    }
    let failed = entries.iter().filter(|entry| entry.error_code.is_some()).count();
    Ok(PutEventsResponse { failed_entry_count: i32::try_from(failed).ok(), entries: Some(entries) })
}

fn size(entry: &PutEventsRequestEntry) -> usize {
    let texts = [&entry.source, &entry.detail_type, &entry.detail];
    let resources = entry.resources.iter().flatten().map(String::len).sum::<usize>();
    let time = if entry.time.is_some() { 14 } else { 0 };
    texts.into_iter().flatten().map(String::len).sum::<usize>() + resources + time
}

/// The event of an entry; or the code and the text that stand in its place.
fn event(entry: PutEventsRequestEntry, now: Timestamp) -> Result<Event, (&'static str, String)> {
    let needed = |name: &str, value: Option<String>| {
        let missing = || {
            let text = format!("Parameter {name} is not valid. Reason: {name} is a required argument.");
            ("InvalidArgument", text)
        };
        value.filter(|text| !text.is_empty()).ok_or_else(missing)
    };
    let source = needed("Source", entry.source)?;
    let detail_type = needed("DetailType", entry.detail_type)?;
    let detail = needed("Detail", entry.detail)?;
    if source.starts_with("aws.") {
        return Err(("NotAuthorizedForSourceException", "Not authorized for the source.".to_owned()));
    }
    let malformed = || ("MalformedDetail", "Detail is malformed.".to_owned());
    let detail: Value = serde_json::from_str(&detail).map_err(|_| malformed())?;
    if !detail.is_object() {
        return Err(malformed());
    }
    let resources = entry.resources.unwrap_or_default();
    Ok(Event { source, detail_type, resources, at: entry.time.unwrap_or(now), detail })
}

/// What an event must have to be one. Source: API reference, `TestEventPattern`.
const NEEDED: [&str; 7] = ["id", "account", "source", "time", "region", "resources", "detail-type"];

pub(super) fn test(
    _: &Events,
    _: &mut Context,
    input: TestEventPatternRequest,
) -> Result<TestEventPatternResponse, ApiError> {
    let pattern = Pattern::parse(&input.event_pattern).map_err(|reason| texts::pattern_invalid(&reason))?;
    let event: Value =
        serde_json::from_str(&input.event).map_err(|_| texts::event_invalid("Event is not valid JSON."))?;
    if let Some(missing) = NEEDED.into_iter().find(|name| event.get(name).is_none()) {
        return Err(texts::event_invalid(&format!("{missing} is a required argument.")));
    }
    Ok(TestEventPatternResponse { result: Some(pattern.matches(&event)) })
}
