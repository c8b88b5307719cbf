//! Placement constraints and strategies as requests give them: checked in AWS's words, and shown again.

use crate::rows::PlacementRow;
use crate::texts;
use model::ecs::{PlacementConstraint, PlacementStrategy, TaskDefinitionPlacementConstraint};
use rollout::placement::Expression;
use types::ApiError;

/// Source: API reference, `CreateService`.
const MOST_CONSTRAINTS: usize = 10;
const MOST_STRATEGIES: usize = 5;

/// A type with its expression or field.
type Pair = (String, Option<String>);

/// Constraints as given.
pub(super) fn constraints(given: &[PlacementConstraint]) -> Result<Vec<Pair>, ApiError> {
    if given.len() > MOST_CONSTRAINTS {
        return Err(texts::invalid("placementConstraints can have at most 10 items."));
    }
    given.iter().map(|item| constraint(item.type_.as_deref(), item.expression.as_ref())).collect()
}

fn constraint(kind: Option<&str>, expression: Option<&String>) -> Result<Pair, ApiError> {
    match (kind.unwrap_or_default(), expression) {
        ("distinctInstance", None) => Ok(("distinctInstance".to_owned(), None)),
        ("distinctInstance", Some(_)) => Err(texts::invalid(texts::DISTINCT_WITH_EXPRESSION)),
        ("memberOf", Some(text)) => {
            Expression::parse(text).map_err(|why| texts::invalid(texts::expression_malformed(&why)))?;
            Ok(("memberOf".to_owned(), Some(text.clone())))
        }
        ("memberOf", None) => Err(texts::invalid("memberOf expression should not be empty.")),
        (other, _) => Err(texts::invalid(texts::constraint_unsupported(other))),
    }
}

/// Checks a constraint of a task definition, which cannot be `distinctInstance`.
pub(super) fn of_definition(given: &TaskDefinitionPlacementConstraint) -> Result<(), ApiError> {
    let kind = given.type_.as_deref().unwrap_or_default();
    if kind != "memberOf" {
        return Err(texts::client(texts::constraint_unsupported(kind)));
    }
    match constraint(Some(kind), given.expression.as_ref()) {
        Ok(_) => Ok(()),
        Err(error) => Err(texts::client(error.message)),
    }
}

/// Strategies as given.
pub(super) fn strategies(given: &[PlacementStrategy]) -> Result<Vec<Pair>, ApiError> {
    if given.len() > MOST_STRATEGIES {
        return Err(texts::invalid("placementStrategy can have at most 5 items."));
    }
    let strategy = |item: &PlacementStrategy| {
        let (kind, field) = (item.type_.as_deref().unwrap_or_default(), item.field.clone());
        let fits = match (kind, field.as_deref()) {
            ("random", None | Some("")) | ("spread", Some("instanceId" | "host")) => true,
            ("spread", Some(field)) => field.strip_prefix("attribute:").is_some_and(|name| !name.is_empty()),
            ("binpack", Some(field)) => field.eq_ignore_ascii_case("cpu") || field.eq_ignore_ascii_case("memory"),
            _ => false,
        };
        // AWS shows these fields in capitals no more.
        let field = field.filter(|field| !field.is_empty());
        let field = field.map(|field| if kind == "binpack" { field.to_ascii_lowercase() } else { field });
        if fits {
            Ok((kind.to_owned(), field))
        } else {
            Err(texts::invalid(texts::strategy_invalid(kind, item.field.as_deref().unwrap_or_default())))
        }
    };
    given.iter().map(strategy).collect()
}

pub(super) fn shown_constraints(row: &PlacementRow) -> Vec<PlacementConstraint> {
    let shown =
        |(kind, expression): &Pair| PlacementConstraint { type_: Some(kind.clone()), expression: expression.clone() };
    row.constraints.iter().map(shown).collect()
}

pub(super) fn shown_strategies(row: &PlacementRow) -> Vec<PlacementStrategy> {
    let shown = |(kind, field): &Pair| PlacementStrategy { type_: Some(kind.clone()), field: field.clone() };
    row.strategies.iter().map(shown).collect()
}
