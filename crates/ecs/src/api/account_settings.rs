//! Account settings: PutAccountSetting, PutAccountSettingDefault, DeleteAccountSetting, ListAccountSettings.

use super::paging;
use crate::rows::AccountSettingRow;
use crate::{Ecs, texts};
use gateway::{Context, Principal, PrincipalKind};
use model::ecs::{
    DeleteAccountSettingRequest, DeleteAccountSettingResponse, ListAccountSettingsRequest, ListAccountSettingsResponse,
    PutAccountSettingDefaultRequest, PutAccountSettingDefaultResponse, PutAccountSettingRequest,
    PutAccountSettingResponse, Setting,
};
use store::View;
use types::{ApiError, Scope};

/// A setting that there is. Source: ECS developer guide, "Access Amazon ECS features with account settings".
struct Known {
    name: &'static str,
    /// What holds where nobody has said anything.
    default: &'static str,
    /// What may be said.
    values: &'static [&'static str],
}

const SWITCH: &[&str] = &["enabled", "disabled", "on", "off"];

const KNOWN: [Known; 11] = [
    Known { name: "awsvpcTrunking", default: "disabled", values: SWITCH },
    Known { name: CONTAINER_INSIGHTS, default: "disabled", values: &["enabled", "disabled", "enhanced", "on", "off"] },
    // The short format is gone.
    Known { name: "containerInstanceLongArnFormat", default: "enabled", values: &["enabled", "on"] },
    Known { name: "defaultLogDriverMode", default: "non-blocking", values: &["blocking", "non-blocking"] },
    Known { name: "fargateEventWindows", default: "disabled", values: SWITCH },
    Known { name: "fargateFIPSMode", default: "disabled", values: SWITCH },
    Known { name: "fargateTaskRetirementWaitPeriod", default: "7", values: &["0", "7", "14"] },
    // GuardDuty's, which is not here.
    Known { name: "guardDutyActivate", default: "off", values: &[] },
    Known { name: "serviceLongArnFormat", default: "enabled", values: &["enabled", "on"] },
    Known { name: "tagResourceAuthorization", default: "off", values: SWITCH },
    Known { name: "taskLongArnFormat", default: "enabled", values: &["enabled", "on"] },
];

pub(super) const CONTAINER_INSIGHTS: &str = "containerInsights";

/// `containerInsights` of a new cluster of a principal's, where the request is silent.
pub(super) fn container_insights(view: &View, scope: &Scope, principal: &Principal) -> String {
    let who = holder(scope, principal);
    let set = AccountSettingRow::in_effect(view, scope, &who, CONTAINER_INSIGHTS);
    set.unwrap_or_else(|| "disabled".to_owned())
}

/// Whose settings hold for a caller: a session's are its role's.
fn holder(scope: &Scope, principal: &Principal) -> String {
    match principal.kind {
        PrincipalKind::Root | PrincipalKind::User => principal.arn.clone(),
        PrincipalKind::AssumedRole => {
            let role = principal.arn.split('/').nth(1).unwrap_or_default();
            format!("arn:aws:iam::{}:role/{role}", scope.account)
        }
    }
}

/// Whom a request is about: somebody whom it names, or the caller. Only the root user may name others.
fn named(scope: &Scope, principal: &Principal, given: Option<String>) -> Result<String, ApiError> {
    let caller = holder(scope, principal);
    let Some(given) = given.filter(|arn| !arn.is_empty()) else { return Ok(caller) };
    if given == caller {
        return Ok(caller);
    }
    let kinds = [":root", ":user/", ":role/"];
    let rest = given.strip_prefix(&format!("arn:aws:iam::{}", scope.account));
    if !rest.is_some_and(|rest| kinds.iter().any(|kind| rest.starts_with(kind))) {
        return Err(texts::invalid(texts::PRINCIPAL_INVALID));
    }
    if principal.kind == PrincipalKind::Root { Ok(given) } else { Err(texts::setting_denied()) }
}

fn check(name: &str, value: &str) -> Result<String, ApiError> {
    let known = KNOWN.iter().find(|known| known.name == name);
    let known = known.ok_or_else(|| texts::invalid(texts::setting_unknown(name)))?;
    if !known.values.contains(&value) {
        return Err(texts::invalid(texts::setting_value(name, value)));
    }
    // One word each for on and off.
    let (on, off) = if matches!(known.default, "on" | "off") { ("on", "off") } else { ("enabled", "disabled") };
    let value = match value {
        "enabled" | "on" => on,
        "disabled" | "off" => off,
        other => other,
    };
    Ok(value.to_owned())
}

fn setting(principal: &str, name: &str, value: &str) -> Setting {
    let kind = if name == "guardDutyActivate" { "aws_managed" } else { "user" };
    Setting {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
        principal_arn: Some(principal.to_owned()),
        type_: Some(kind.to_owned()),
    }
}

pub(super) fn put(
    _: &Ecs,
    cx: &mut Context,
    input: PutAccountSettingRequest,
) -> Result<PutAccountSettingResponse, ApiError> {
    let principal = named(&cx.scope, &cx.principal, input.principal_arn)?;
    let setting = write(cx, &principal, &input.name, &input.value)?;
    Ok(PutAccountSettingResponse { setting: Some(setting) })
}

pub(super) fn put_default(
    _: &Ecs,
    cx: &mut Context,
    input: PutAccountSettingDefaultRequest,
) -> Result<PutAccountSettingDefaultResponse, ApiError> {
    let root = AccountSettingRow::root(&cx.scope.account);
    let setting = write(cx, &root, &input.name, &input.value)?;
    Ok(PutAccountSettingDefaultResponse { setting: Some(setting) })
}

fn write(cx: &mut Context, principal: &str, name: &str, value: &str) -> Result<Setting, ApiError> {
    let value = check(name, value)?;
    let scope = cx.scope.clone();
    let row = AccountSettingRow { principal: principal.to_owned(), name: name.to_owned(), value: value.clone() };
    cx.tx().put(&scope, row);
    Ok(setting(principal, name, &value))
}

pub(super) fn delete(
    _: &Ecs,
    cx: &mut Context,
    input: DeleteAccountSettingRequest,
) -> Result<DeleteAccountSettingResponse, ApiError> {
    let scope = cx.scope.clone();
    let principal = named(&scope, &cx.principal, input.principal_arn)?;
    // One that was never set is taken back all the same.
    cx.tx().delete::<AccountSettingRow>(&scope, &AccountSettingRow::key(&principal, &input.name));
    let deleted = Setting { name: Some(input.name), value: None, principal_arn: Some(principal), type_: None };
    Ok(DeleteAccountSettingResponse { setting: Some(deleted) })
}

pub(super) fn list(
    _: &Ecs,
    cx: &mut Context,
    input: ListAccountSettingsRequest,
) -> Result<ListAccountSettingsResponse, ApiError> {
    let scope = cx.scope.clone();
    let principal = named(&scope, &cx.principal, input.principal_arn)?;
    if input.value.is_some() && input.name.is_none() {
        return Err(texts::invalid(texts::SETTING_VALUE_WITHOUT_NAME));
    }
    let effective = input.effective_settings == Some(true);
    let view = cx.view();
    let found = KNOWN.iter().filter_map(|known| {
        if input.name.as_ref().is_some_and(|name| name != known.name) {
            return None;
        }
        let own = view.get::<AccountSettingRow>(&scope, &AccountSettingRow::key(&principal, known.name));
        let value = match own {
            Some(row) => row.value.clone(),
            None if effective => AccountSettingRow::in_effect(view, &scope, &principal, known.name)
                .unwrap_or_else(|| known.default.to_owned()),
            None => return None,
        };
        let wanted = input.value.as_ref().is_none_or(|wanted| *wanted == value);
        wanted.then(|| (known.name.to_owned(), setting(&principal, known.name, &value)))
    });
    let most = input.max_results.filter(|most| *most != 0);
    let (settings, next_token) = paging::page(found, input.next_token.as_deref(), most, 10)?;
    Ok(ListAccountSettingsResponse { settings: Some(settings), next_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_in_order_for_pages_and_their_defaults_are_what_may_be_said() {
        assert!(KNOWN.is_sorted_by_key(|known| known.name));
        for known in KNOWN.iter().filter(|known| !known.values.is_empty()) {
            assert_eq!(check(known.name, known.default).as_deref(), Ok(known.default));
        }
        assert_eq!(check("tagResourceAuthorization", "enabled").as_deref(), Ok("on"));
        assert_eq!(check(CONTAINER_INSIGHTS, "on").as_deref(), Ok("enabled"));
        assert!(check("taskLongArnFormat", "disabled").is_err() && check("guardDutyActivate", "on").is_err());
    }
}
