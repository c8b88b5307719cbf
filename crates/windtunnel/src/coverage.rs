//! `windtunnel coverage`: which operations of the AWS API are implemented.

use crate::output;
use serde_json::json;
use std::fmt::Write;

/// Prints the table, of one service or of all.
pub(crate) fn print(service: Option<&str>, as_json: bool) -> Result<(), String> {
    let known: Vec<_> = model::SERVICES.iter().filter(|info| service.is_none_or(|name| info.name == name)).collect();
    if known.is_empty() {
        let names: Vec<_> = model::SERVICES.iter().map(|info| info.name).collect();
        return Err(format!("there is no service {:?}; there are {}", service.unwrap_or_default(), names.join(", ")));
    }
    if as_json {
        let shown: Vec<_> = known
            .iter()
            .map(|info| {
                let implemented: Vec<_> = info.operations.iter().map(|operation| operation.name).collect();
                let missing: Vec<_> = info.all.iter().filter(|name| info.operation(name).is_none()).collect();
                json!({ "service": info.name, "implemented": implemented, "notImplemented": missing })
            })
            .collect();
        return output::say(serde_json::Value::from(shown));
    }
    let mut table = format!("{:<18}{:>12}{:>8}\n", "service", "implemented", "of");
    for info in &known {
        let _ = writeln!(table, "{:<18}{:>12}{:>8}", info.name, info.operations.len(), info.all.len());
    }
    if let (Some(_), [info]) = (service, known.as_slice()) {
        table.push('\n');
        for name in info.all {
            let _ = writeln!(table, "  {} {name}", if info.operation(name).is_some() { "yes" } else { " no" });
        }
    }
    output::print(&table)
}
