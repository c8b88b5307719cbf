//! The facts of a service: its listed operations, closed over their shapes.

use super::Outcome;
use super::facts::{Facts, Pairs, Shape};
use super::list::Service;
use super::wheel::Wheel;
use std::collections::HashSet;

/// Reads the service's model and keeps what the listed operations reach.
pub(super) fn extract(wheel: &Wheel, service: &Service) -> Outcome<Facts> {
    let mut facts = Facts::parse(&wheel.model(&service.name)?)?;
    facts.all = facts.operations.0.iter().map(|(name, _)| name.clone()).collect();
    facts.all.sort_unstable();
    if let Some(unknown) = service.operations.iter().find(|name| facts.operations.get(name).is_none()) {
        return Err(format!("{} has no operation {unknown}", service.name));
    }
    facts.operations.0.retain(|(name, _)| service.operations.contains(name));
    facts.operations.0.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut reached = HashSet::new();
    let mut ahead: Vec<String> = facts
        .operations
        .0
        .iter()
        .flat_map(|(_, operation)| {
            operation.input.iter().chain(&operation.output).map(|reference| reference.shape.clone())
        })
        .collect();
    while let Some(name) = ahead.pop() {
        let shape = facts.shapes.get(&name).ok_or_else(|| format!("{} has no shape {name}", service.name))?;
        if reached.insert(name) {
            ahead.extend(references(shape));
        }
    }
    // Of an error's members only the message stays, for its spelling: handlers say code and message.
    let errors: HashSet<String> = facts
        .operations
        .0
        .iter()
        .flat_map(|(_, operation)| &operation.errors)
        .map(|error| error.shape.clone())
        .collect();
    facts.shapes.0.retain(|(name, _)| reached.contains(name) || errors.contains(name));
    for (name, shape) in &mut facts.shapes.0 {
        if errors.contains(name) && !reached.contains(name) {
            let message = |(name, _): &(String, _)| name.eq_ignore_ascii_case("message");
            shape.members = shape.members.take().map(|members| Pairs(members.0.into_iter().filter(message).collect()));
            shape.required.clear();
        }
    }
    facts.shapes.0.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(facts)
}

fn references(shape: &Shape) -> Vec<String> {
    let members = shape.members.iter().flat_map(|members| members.0.iter().map(|(_, member)| member));
    members
        .chain(&shape.member)
        .chain(&shape.key)
        .chain(&shape.value)
        .map(|reference| reference.shape.clone())
        .collect()
}
