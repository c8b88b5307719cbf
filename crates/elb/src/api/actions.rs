//! What listeners and rules do: forward, redirect, or answer themselves. Checked, and put in the form that AWS shows.

use super::{refuse, target_group};
use crate::query;
use crate::rows::LoadBalancer;
use crate::texts;
use model::Stored;
use model::elbv2::{
    Action, FixedResponseActionConfig, ForwardActionConfig, RedirectActionConfig, TargetGroupStickinessConfig,
    TargetGroupTuple,
};
use std::collections::BTreeSet;
use store::View;
use types::{ApiError, Scope};

/// What a fixed response may say that it is.
const TYPES: [&str; 5] = ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

/// The actions of a listener or rule of `row`.
pub(super) fn read(
    view: &View,
    scope: &Scope,
    row: &LoadBalancer,
    actions: Vec<Action>,
) -> Result<Vec<Stored<Action>>, ApiError> {
    if actions.is_empty() {
        return Err(texts::invalid("At least one action must be specified"));
    }
    for action in &actions {
        refuse(action.type_.starts_with("authenticate-"), "authentication by load balancers")?;
        refuse(action.type_ == "jwt-validation", "validation of tokens by load balancers")?;
    }
    let [action] = <[Action; 1]>::try_from(actions).map_err(|_| {
        texts::invalid_action("You must specify exactly one action of type 'forward', 'redirect' or 'fixed-response'")
    })?;
    let order = action.order;
    let mut read = match action.type_.as_str() {
        "forward" => forward(view, scope, row, action)?,
        "redirect" => redirect(action.redirect_config)?,
        "fixed-response" => fixed(action.fixed_response_config)?,
        other => return Err(texts::invalid_action(format!("Action type '{other}' is not valid"))),
    };
    read.order = order.or((read.type_ != "forward").then_some(1));
    Ok(vec![Stored(read)])
}

fn forward(view: &View, scope: &Scope, row: &LoadBalancer, action: Action) -> Result<Action, ApiError> {
    let config = action.forward_config.unwrap_or_default();
    let mut tuples = config.target_groups.unwrap_or_default();
    if let Some(arn) = action.target_group_arn {
        if tuples.is_empty() {
            tuples.push(TargetGroupTuple { target_group_arn: Some(arn), weight: None });
        } else if tuples.len() > 1 || tuples[0].target_group_arn.as_ref() != Some(&arn) {
            return Err(texts::invalid_action(
                "You cannot specify both a target group ARN and a forward configuration that names others",
            ));
        }
    }
    if tuples.is_empty() {
        return Err(texts::invalid("A target group ARN must be specified"));
    }
    if tuples.len() > 5 {
        return Err(ApiError::new(
            "TooManyTargetGroups",
            "You can specify at most 5 target groups for a forward action",
        ));
    }
    let mut seen = BTreeSet::new();
    for tuple in &mut tuples {
        let arn = tuple.target_group_arn.clone().unwrap_or_default();
        let group = target_group(view, scope, &arn)?;
        if group.vpc != row.vpc {
            return Err(texts::group_of_other_vpc(&arn));
        }
        if query::load_balancers_of(view, scope, &arn).iter().any(|other| *other != row.arn) {
            return Err(texts::group_of_other_balancer(&arn));
        }
        let weight = *tuple.weight.get_or_insert(1);
        if !(0..=999).contains(&weight) {
            return Err(texts::invalid(format!("Target group weight '{weight}' must be between 0 and 999")));
        }
        if !seen.insert(arn) {
            return Err(texts::invalid_action("Target groups cannot be duplicated in a forward action"));
        }
    }
    let sticky = config.target_group_stickiness_config.unwrap_or_default();
    let enabled = sticky.enabled.unwrap_or(false);
    if enabled && !sticky.duration_seconds.is_some_and(|seconds| (1..=604_800).contains(&seconds)) {
        return Err(texts::invalid("Target group stickiness duration must be between 1 and 604800 seconds"));
    }
    let only = if tuples.len() == 1 { tuples[0].target_group_arn.clone() } else { None };
    Ok(Action {
        type_: "forward".to_owned(),
        target_group_arn: only,
        forward_config: Some(ForwardActionConfig {
            target_groups: Some(tuples),
            target_group_stickiness_config: Some(TargetGroupStickinessConfig {
                enabled: Some(enabled),
                duration_seconds: sticky.duration_seconds,
            }),
        }),
        ..Default::default()
    })
}

fn redirect(config: Option<RedirectActionConfig>) -> Result<Action, ApiError> {
    let config = config.ok_or_else(|| texts::invalid("A redirect configuration must be specified"))?;
    let or = |part: Option<String>, default: &str| {
        part.filter(|part| !part.is_empty()).unwrap_or_else(|| default.to_owned())
    };
    // An empty query is one that was asked for: it drops the request's.
    let query = config.query.unwrap_or_else(|| "#{query}".to_owned());
    let read = RedirectActionConfig {
        protocol: Some(or(config.protocol, "#{protocol}")),
        port: Some(or(config.port, "#{port}")),
        host: Some(or(config.host, "#{host}")),
        path: Some(or(config.path, "/#{path}")),
        query: Some(query),
        status_code: config.status_code,
    };
    let is = |part: &Option<String>, default: &str| part.as_deref() == Some(default);
    if is(&read.protocol, "#{protocol}")
        && is(&read.port, "#{port}")
        && is(&read.host, "#{host}")
        && is(&read.path, "/#{path}")
    {
        return Err(texts::redirect_loop());
    }
    let port = read.port.as_deref().unwrap_or_default();
    if port != "#{port}" && !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(texts::invalid(format!("The redirect port '{port}' must be from 1 to 65535 or #{{port}}")));
    }
    if !matches!(read.protocol.as_deref(), Some("HTTP" | "HTTPS" | "#{protocol}")) {
        return Err(texts::invalid("The redirect protocol must be HTTP, HTTPS or #{protocol}"));
    }
    if !read.path.as_deref().is_some_and(|path| path.starts_with('/')) {
        return Err(texts::invalid("The redirect path must start with '/'"));
    }
    Ok(Action { type_: "redirect".to_owned(), redirect_config: Some(read), ..Default::default() })
}

fn fixed(config: Option<FixedResponseActionConfig>) -> Result<Action, ApiError> {
    let config = config.ok_or_else(|| texts::invalid("A fixed-response configuration must be specified"))?;
    let code = config.status_code.parse::<u16>().unwrap_or_default();
    if !matches!(code, 200..=299 | 400..=599) {
        return Err(texts::invalid(format!(
            "The fixed-response status code '{}' must be 2XX, 4XX or 5XX",
            config.status_code
        )));
    }
    if let Some(kind) = config.content_type.as_deref().filter(|kind| !TYPES.contains(kind)) {
        return Err(texts::invalid(format!("The fixed-response content type '{kind}' is not valid")));
    }
    if config.message_body.as_ref().is_some_and(|body| body.len() > 1024) {
        return Err(texts::invalid("The fixed-response message body cannot be longer than '1024' characters"));
    }
    Ok(Action { type_: "fixed-response".to_owned(), fixed_response_config: Some(config), ..Default::default() })
}
