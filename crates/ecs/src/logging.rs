//! The log driver's options: where output goes, what becomes of it while nobody takes it, and where one event ends and the
//! next begins. Pure.
//!
//! Source: developer guide, "Send Amazon ECS logs to CloudWatch"; what the driver itself refuses: Docker's, `awslogs/cloudwatchlogs.go`
//! and `logger/factory.go`.

use crate::rows::LogTarget;
use model::ecs::{ContainerDefinition, LogConfiguration};
use regex::bytes::{Regex, RegexBuilder};
use runtime::{LogBuffer, LogRecord};
use types::Scope;

/// The options that ECS takes of the awslogs driver.
pub(crate) const AWSLOGS: [&str; 8] = [
    "awslogs-create-group",
    "awslogs-datetime-format",
    "awslogs-group",
    "awslogs-multiline-pattern",
    "awslogs-region",
    "awslogs-stream-prefix",
    "max-buffer-size",
    "mode",
];
/// The log driver's buffer where the task definition names none.
const LOG_BUFFER: u64 = 10 << 20;
/// The largest event, as the driver counts.
const MAX_EVENT: usize = 262_118;

fn option<'a>(log: &'a LogConfiguration, name: &str) -> Option<&'a str> {
    log.options.as_ref().and_then(|options| options.get(name)).map(String::as_str)
}

/// The stream `prefix/container/task` of the awslogs driver; without a prefix it is the container's id.
pub(crate) fn target(
    scope: &Scope,
    container: &ContainerDefinition,
    task: &str,
    runtime_id: &str,
) -> Option<LogTarget> {
    let log = container.log_configuration.as_ref().filter(|log| log.log_driver == "awslogs")?;
    let option = |name: &str| option(log, name).map(str::to_owned);
    let name = container.name.as_deref().unwrap_or_default();
    let stream = match option("awslogs-stream-prefix") {
        Some(prefix) => format!("{prefix}/{name}/{task}"),
        None => runtime_id.to_owned(),
    };
    let pattern = option("awslogs-multiline-pattern");
    Some(LogTarget {
        region: option("awslogs-region").unwrap_or_else(|| scope.region.to_string()),
        group: option("awslogs-group").unwrap_or_default(),
        stream,
        create_group: option("awslogs-create-group").is_some_and(|text| boolean(&text) == Some(true)),
        event_start: pattern.or_else(|| option("awslogs-datetime-format").map(|format| moment(&format))),
    })
}

/// What the driver refuses when the task starts, in its words.
pub(crate) fn check(container: &ContainerDefinition) -> Result<(), String> {
    let Some(log) = container.log_configuration.as_ref().filter(|log| log.log_driver == "awslogs") else {
        return Ok(());
    };
    let option = |name: &str| option(log, name);
    let mode = option("mode").unwrap_or_default();
    if !["", "blocking", "non-blocking"].contains(&mode) {
        return Err(format!("logger: logging mode not supported: {mode}"));
    }
    if let Some(size) = option("max-buffer-size") {
        if mode == "blocking" {
            return Err("logger: max-buffer-size option is only supported with 'mode=non-blocking'".to_owned());
        }
        if bytes(size).is_none() {
            return Err(format!("error parsing option max-buffer-size: invalid size: '{size}'"));
        }
    }
    if let Some(text) = option("awslogs-create-group").filter(|text| boolean(text).is_none()) {
        return Err(format!("must specify valid value for log opt 'awslogs-create-group': {text}"));
    }
    let (pattern, format) = (option("awslogs-multiline-pattern"), option("awslogs-datetime-format"));
    if pattern.is_some() && format.is_some() {
        return Err(
            "you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same \
                    time"
                .to_owned(),
        );
    }
    if let Some(pattern) = pattern.filter(|pattern| compile(pattern).is_none()) {
        return Err(format!("awslogs could not parse multiline pattern key {pattern:?}"));
    }
    if let Some(format) = format.filter(|format| compile(&moment(format)).is_none()) {
        return Err(format!("awslogs could not parse datetime format key {format:?}"));
    }
    Ok(())
}

/// Go's words for yes and no.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The awslogs driver does not block the application unless asked to (the account's default since 2025).
pub(crate) fn buffer(container: &ContainerDefinition) -> LogBuffer {
    let option = |name: &str| container.log_configuration.as_ref().and_then(|log| option(log, name));
    if option("mode") == Some("blocking") {
        return LogBuffer::default();
    }
    LogBuffer::Dropping { bytes: option("max-buffer-size").and_then(bytes).unwrap_or(LOG_BUFFER) }
}

/// `25m` in bytes.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok().filter(|n| *n > 0 && *n < 1 << 24).map(|n| n << shift)
}

/// The expression for a moment in this format of strftime. What else is in it counts as an expression, as in the driver:
/// brackets want a backslash.
fn moment(format: &str) -> String {
    let mut pattern = String::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            pattern.push(character);
            continue;
        }
        match rest.next() {
            Some('a') => pattern.push_str("(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"),
            Some('A') => pattern.push_str("(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"),
            Some('w') => pattern.push_str("[0-6]"),
            Some('d') => pattern.push_str("(?:0[1-9]|[12][0-9]|3[01])"),
            Some('b') => pattern.push_str("(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"),
            Some('B') => pattern
                .push_str("(?:January|February|March|April|May|June|July|August|September|October|November|December)"),
            Some('m') => pattern.push_str("(?:0[1-9]|1[0-2])"),
            Some('Y') => pattern.push_str("[0-9]{4}"),
            Some('y') => pattern.push_str("[0-9]{2}"),
            Some('H') => pattern.push_str("(?:[01][0-9]|2[0-3])"),
            Some('I') => pattern.push_str("(?:0[0-9]|1[0-2])"),
            Some('p') => pattern.push_str("[AP]M"),
            Some('M' | 'S') => pattern.push_str("[0-5][0-9]"),
            Some('f') => pattern.push_str("[0-9]{6}"),
            Some('L') => pattern.push_str("\\.[0-9]{3}"),
            Some('z') => pattern.push_str("[+-][0-9]{4}"),
            Some('Z') => pattern.push_str("[A-Z]{1,4}T"),
            Some('j') => pattern.push_str("(?:0[0-9][1-9]|[12][0-9][0-9]|3[0-5][0-9]|36[0-6])"),
            Some(other) => pattern.extend(['%', other]),
            None => pattern.push('%'),
        }
    }
    pattern
}

/// The expression that an event begins with, if it is one.
pub(crate) fn compile(pattern: &str) -> Option<Regex> {
    // As in Go, a digit is one of ten.
    RegexBuilder::new(pattern).unicode(false).build().ok()
}

/// The records with which events begin, by their places. Without a pattern each record is one.
pub(crate) fn starts(records: &[LogRecord], pattern: Option<&Regex>) -> Vec<usize> {
    let Some(pattern) = pattern else { return (0..records.len()).collect() };
    let mut starts = Vec::new();
    let mut length = 0;
    for (place, record) in records.iter().enumerate() {
        // A newline is counted with each line.
        let longer = length + record.line.len() + 1;
        if starts.is_empty() || longer > MAX_EVENT || pattern.is_match(&record.line) {
            starts.push(place);
            length = record.line.len() + 1;
        } else {
            length = longer;
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Timestamp;

    fn container(options: &[(&str, &str)]) -> ContainerDefinition {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let log = LogConfiguration {
            log_driver: "awslogs".to_owned(),
            options: Some(options),
            ..LogConfiguration::default()
        };
        ContainerDefinition { log_configuration: Some(log), ..ContainerDefinition::default() }
    }

    #[test]
    fn buffer_sizes_have_dockers_units() {
        assert_eq!(bytes("25m"), Some(25 << 20));
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("1KB"), Some(1 << 10));
        assert_eq!((bytes(""), bytes("m"), bytes("0"), bytes("-1k")), (None, None, None, None));
    }

    #[test]
    fn output_is_lost_rather_than_the_application_held_up_unless_that_is_asked_for() {
        assert_eq!(buffer(&container(&[])), LogBuffer::Dropping { bytes: 10 << 20 });
        assert_eq!(buffer(&container(&[("max-buffer-size", "1m")])), LogBuffer::Dropping { bytes: 1 << 20 });
        assert_eq!(buffer(&container(&[("mode", "blocking")])), LogBuffer::default());
    }

    #[test]
    fn the_driver_refuses_what_it_cannot_do() {
        let refused = |options: &[(&str, &str)]| check(&container(options)).unwrap_err();
        assert_eq!(check(&container(&[("mode", "non-blocking"), ("max-buffer-size", "25m")])), Ok(()));
        assert_eq!(refused(&[("mode", "fast")]), "logger: logging mode not supported: fast");
        assert!(refused(&[("mode", "blocking"), ("max-buffer-size", "25m")]).contains("only supported with"));
        assert!(refused(&[("max-buffer-size", "lots")]).contains("invalid size: 'lots'"));
        assert!(refused(&[("awslogs-create-group", "yes")]).contains("'awslogs-create-group': yes"));
        assert!(refused(&[("awslogs-multiline-pattern", "(")]).contains("multiline pattern key \"(\""));
        assert!(refused(&[("awslogs-datetime-format", "[%Y")]).contains("datetime format key"));
        assert_eq!(
            refused(&[("awslogs-multiline-pattern", "x"), ("awslogs-datetime-format", "%Y")]),
            "you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time"
        );
    }

    #[test]
    fn a_moments_format_finds_moments() {
        let finds = |format: &str, text: &str| compile(&moment(format)).expect("it is one").is_match(text.as_bytes());
        assert!(finds("\\[%b %d, %Y %H:%M:%S\\]", "[Nov 26, 2026 08:15:00] up"));
        assert!(!finds("\\[%b %d, %Y %H:%M:%S\\]", "[Foo 26, 2026 08:15:00] up"));
        assert!(finds("%Y-%m-%dT%H:%M:%S%L%z", "at 2026-11-26T23:59:59.123+0000"));
        assert!(!finds("%Y-%m-%d", "2026-13-26"));
        assert!(finds("100%", "100%") && finds("%q", "%q"));
    }

    #[test]
    fn an_event_goes_on_until_the_next_begins_or_it_is_full() {
        let record = |line: &str| LogRecord {
            at: Timestamp(0),
            stream: runtime::LogStream::Stdout,
            partial: false,
            line: line.as_bytes().to_vec(),
            next: 0,
        };
        let pattern = compile("^ERROR").expect("it is one");
        let records = ["go on", "ERROR a", "  at x", "", "ERROR b"].map(record);
        assert_eq!(starts(&records, Some(&pattern)), [0, 1, 4]);
        assert_eq!(starts(&records, None), [0, 1, 2, 3, 4]);
        let long = [record("ERROR"), record(&"x".repeat(200_000)), record(&"y".repeat(100_000)), record("z")];
        assert_eq!(starts(&long, Some(&pattern)), [0, 2]);
        assert_eq!(starts(&[], Some(&pattern)), [0; 0]);
    }
}
