//! Listeners, with their default rules and certificates.

use super::page::page;
use super::{LISTENER, actions, is_arn, listener, load_balancer, refuse, rules, tags};
use crate::rows::{Listener, Rule, Tags};
use crate::{Elb, texts};
use gateway::Context;
use model::elbv2::{
    Certificate, CreateListenerInput, CreateListenerOutput, DeleteListenerInput, DeleteListenerOutput,
    DescribeListenerAttributesInput, DescribeListenerAttributesOutput, DescribeListenerCertificatesInput,
    DescribeListenerCertificatesOutput, DescribeListenersInput, DescribeListenersOutput, Listener as Shown,
    ListenerAttribute, ModifyListenerAttributesInput, ModifyListenerAttributesOutput, ModifyListenerInput,
    ModifyListenerOutput, MutualAuthenticationAttributes,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Tx, View};
use types::id::random_hex;
use types::{ApiError, Scope};

/// How many a load balancer may have. Source: user guide, "Quotas for your Application Load Balancers".
const MOST: usize = 50;
/// What AWS takes where none is named.
const DEFAULT_POLICY: &str = "ELBSecurityPolicy-2016-08";

pub(super) fn create(_: &Elb, cx: &mut Context, input: CreateListenerInput) -> Result<CreateListenerOutput, ApiError> {
    let tags = tags::at_creation(input.tags)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let owner = load_balancer(tx, &scope, &input.load_balancer_arn)?;
    let protocol = protocol(input.protocol)?;
    let port = port(input.port)?;
    check_extras(input.alpn_policy.as_deref(), input.mutual_authentication.as_ref())?;
    let present: Vec<Arc<Listener>> = tx.by_index(&Listener::BY_LOAD_BALANCER, &scope, &owner.arn).cloned().collect();
    if present.iter().any(|other| other.port == port) {
        return Err(texts::duplicate_listener(&owner.arn));
    }
    if present.len() >= MOST {
        return Err(texts::too_many_listeners());
    }
    let certificates = certificates(tx, &scope, &protocol, input.certificates.unwrap_or_default())?;
    if protocol == "HTTPS" && certificates.is_empty() {
        return Err(texts::certificate_needed());
    }
    let ssl_policy = policy(&protocol, input.ssl_policy)?;
    let default_actions = actions::read(tx, &scope, &owner, input.default_actions)?;
    let arn = format!("{}/{}", owner.arn.replacen(":loadbalancer/", ":listener/", 1), random_hex(16));
    for certificate in &certificates {
        acm::intent::use_certificate(tx, &scope, certificate, &arn, &owner.arn);
    }
    let row = tx.put(
        &scope,
        Listener {
            default_rule: rules::fresh_arn(&arn),
            arn,
            load_balancer: owner.arn.clone(),
            port,
            protocol,
            certificates,
            ssl_policy,
            default_actions,
            default_rule_tags: Tags::new(),
            attributes: BTreeMap::new(),
            tags,
            loopback_port: None,
        },
    );
    Ok(CreateListenerOutput { listeners: Some(vec![show(&row)]) })
}

fn protocol(given: Option<String>) -> Result<String, ApiError> {
    match given {
        Some(protocol) if matches!(protocol.as_str(), "HTTP" | "HTTPS") => Ok(protocol),
        Some(other) => Err(texts::invalid(format!("Protocol '{other}' must be one of 'HTTPS, HTTP'"))),
        None => Err(texts::invalid("A listener protocol must be specified")),
    }
}

fn port(given: Option<i32>) -> Result<u16, ApiError> {
    let port = given.ok_or_else(|| texts::invalid("A listener port must be specified"))?;
    let fine = u16::try_from(port).ok().filter(|port| *port > 0);
    fine.ok_or_else(|| texts::invalid(format!("Listener port '{port}' must be between 1 and 65535")))
}

fn check_extras(alpn: Option<&[String]>, mutual: Option<&MutualAuthenticationAttributes>) -> Result<(), ApiError> {
    if alpn.is_some_and(|policies| policies.iter().any(|policy| policy != "None")) {
        return Err(texts::invalid("ALPN policies are not supported on listeners of application load balancers"));
    }
    let wanted = mutual.and_then(|mutual| mutual.mode.as_deref()).is_some_and(|mode| mode != "off");
    refuse(wanted, "mutual authentication of listeners")
}

/// The ARNs of the certificates that a request names; at most one, and only for HTTPS.
fn certificates(view: &View, scope: &Scope, protocol: &str, given: Vec<Certificate>) -> Result<Vec<String>, ApiError> {
    if given.len() > 1 {
        return Err(texts::one_certificate());
    }
    if protocol == "HTTP" && !given.is_empty() {
        return Err(texts::invalid("Certificates cannot be specified for HTTP listeners"));
    }
    let mut arns = Vec::new();
    for certificate in given {
        let arn = certificate.certificate_arn.unwrap_or_default();
        if acm::certificate(view, scope, &arn).is_none() {
            return Err(texts::certificate_not_found(&arn));
        }
        arns.push(arn);
    }
    Ok(arns)
}

/// Source: user guide, "Security policies for your Application Load Balancer".
fn policy(protocol: &str, given: Option<String>) -> Result<Option<String>, ApiError> {
    const POLICIES: [&str; 19] = [
        "ELBSecurityPolicy-2016-08",
        "ELBSecurityPolicy-TLS13-1-3-2021-06",
        "ELBSecurityPolicy-TLS13-1-2-2021-06",
        "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
        "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
        "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
        "ELBSecurityPolicy-TLS13-1-1-2021-06",
        "ELBSecurityPolicy-TLS13-1-0-2021-06",
        "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
        "ELBSecurityPolicy-TLS13-1-2-PQ-2025-09",
        "ELBSecurityPolicy-TLS-1-2-2017-01",
        "ELBSecurityPolicy-TLS-1-2-Ext-2018-06",
        "ELBSecurityPolicy-TLS-1-1-2017-01",
        "ELBSecurityPolicy-FS-2018-06",
        "ELBSecurityPolicy-FS-1-1-2019-08",
        "ELBSecurityPolicy-FS-1-2-2019-08",
        "ELBSecurityPolicy-FS-1-2-Res-2019-08",
        "ELBSecurityPolicy-FS-1-2-Res-2020-10",
        "ELBSecurityPolicy-2015-05",
    ];
    match (protocol, given.filter(|name| !name.is_empty())) {
        ("HTTPS", None) => Ok(Some(DEFAULT_POLICY.to_owned())),
        ("HTTPS", Some(name)) if POLICIES.contains(&name.as_str()) => Ok(Some(name)),
        ("HTTPS", Some(name)) => Err(texts::ssl_policy_not_found(&name)),
        (_, Some(_)) => Err(texts::invalid("A security policy cannot be specified for HTTP listeners")),
        (_, None) => Ok(None),
    }
}

fn show(row: &Listener) -> Shown {
    let https = row.protocol == "HTTPS";
    let default =
        row.certificates.first().map(|arn| vec![Certificate { certificate_arn: Some(arn.clone()), is_default: None }]);
    Shown {
        listener_arn: Some(row.arn.clone()),
        load_balancer_arn: Some(row.load_balancer.clone()),
        port: Some(i32::from(row.port)),
        protocol: Some(row.protocol.clone()),
        certificates: default,
        ssl_policy: row.ssl_policy.clone(),
        default_actions: Some(row.default_actions.iter().map(|action| action.0.clone()).collect()),
        mutual_authentication: https
            .then(|| MutualAuthenticationAttributes { mode: Some("off".to_owned()), ..Default::default() }),
        ..Default::default()
    }
}

pub(super) fn describe(
    _: &Elb,
    cx: &mut Context,
    input: DescribeListenersInput,
) -> Result<DescribeListenersOutput, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let arns = input.listener_arns.unwrap_or_default();
    let rows: Vec<Arc<Listener>> = match &input.load_balancer_arn {
        Some(_) if !arns.is_empty() => {
            return Err(texts::invalid("Only one of a load balancer ARN and listener ARNs can be specified"));
        }
        Some(arn) => {
            let owner = load_balancer(view, &scope, arn)?;
            view.by_index(&Listener::BY_LOAD_BALANCER, &scope, &owner.arn).cloned().collect()
        }
        None if arns.is_empty() => {
            return Err(texts::invalid("A load balancer ARN or listener ARNs must be specified"));
        }
        None => arns.iter().map(|arn| listener(view, &scope, arn)).collect::<Result<_, _>>()?,
    };
    let (rows, next_marker) = page(rows, |row| row.arn.clone(), input.marker.as_deref(), input.page_size)?;
    Ok(DescribeListenersOutput { listeners: Some(rows.iter().map(|row| show(row)).collect()), next_marker })
}

pub(super) fn modify(_: &Elb, cx: &mut Context, input: ModifyListenerInput) -> Result<ModifyListenerOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let before = listener(tx, &scope, &input.listener_arn)?;
    let owner = load_balancer(tx, &scope, &before.load_balancer)?;
    check_extras(input.alpn_policy.as_deref(), input.mutual_authentication.as_ref())?;
    let mut row = Listener::clone(&before);
    if input.port.is_some() {
        row.port = port(input.port)?;
        let mut others = tx.by_index(&Listener::BY_LOAD_BALANCER, &scope, &owner.arn);
        if others.any(|other| other.port == row.port && other.arn != row.arn) {
            return Err(texts::duplicate_listener(&owner.arn));
        }
    }
    if input.protocol.is_some() {
        row.protocol = protocol(input.protocol)?;
    }
    if row.protocol == "HTTP" {
        row.certificates.clear();
        row.ssl_policy = None;
    }
    if let Some(given) = input.certificates.filter(|given| !given.is_empty()) {
        row.certificates = certificates(tx, &scope, &row.protocol, given)?;
    }
    if row.protocol == "HTTPS" && row.certificates.is_empty() {
        return Err(texts::certificate_needed());
    }
    row.ssl_policy = policy(&row.protocol, input.ssl_policy.or(row.ssl_policy))?;
    if let Some(given) = input.default_actions {
        row.default_actions = actions::read(tx, &scope, &owner, given)?;
    }
    for certificate in before.certificates.iter().filter(|arn| !row.certificates.contains(arn)) {
        acm::intent::release_certificate(tx, &scope, certificate, &row.arn);
    }
    for certificate in row.certificates.iter().filter(|arn| !before.certificates.contains(arn)) {
        acm::intent::use_certificate(tx, &scope, certificate, &row.arn, &owner.arn);
    }
    let row = tx.put(&scope, row);
    Ok(ModifyListenerOutput { listeners: Some(vec![show(&row)]) })
}

pub(super) fn delete(_: &Elb, cx: &mut Context, input: DeleteListenerInput) -> Result<DeleteListenerOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = listener(tx, &scope, &input.listener_arn)?;
    remove(tx, &scope, &row);
    Ok(DeleteListenerOutput::default())
}

/// Deletes a listener with its rules, and lets go of its certificates.
pub(super) fn remove(tx: &mut Tx, scope: &Scope, row: &Listener) {
    let owned: Vec<String> = tx.by_index(&Rule::BY_LISTENER, scope, &row.arn).map(|rule| rule.arn.clone()).collect();
    for arn in owned {
        tx.delete::<Rule>(scope, &arn);
    }
    for certificate in &row.certificates {
        acm::intent::release_certificate(tx, scope, certificate, &row.arn);
    }
    tx.delete::<Listener>(scope, &row.arn);
}

pub(super) fn describe_certificates(
    _: &Elb,
    cx: &mut Context,
    input: DescribeListenerCertificatesInput,
) -> Result<DescribeListenerCertificatesOutput, ApiError> {
    let scope = cx.scope.clone();
    let row = listener(cx.view(), &scope, &input.listener_arn)?;
    let shown =
        |(at, arn): (usize, &String)| Certificate { certificate_arn: Some(arn.clone()), is_default: Some(at == 0) };
    let all: Vec<Certificate> = row.certificates.iter().enumerate().map(shown).collect();
    let id = |one: &Certificate| one.certificate_arn.clone().unwrap_or_default();
    let (certificates, next_marker) = page(all, id, input.marker.as_deref(), input.page_size)?;
    Ok(DescribeListenerCertificatesOutput { certificates: Some(certificates), next_marker })
}

pub(super) fn describe_attributes(
    _: &Elb,
    cx: &mut Context,
    input: DescribeListenerAttributesInput,
) -> Result<DescribeListenerAttributesOutput, ApiError> {
    let scope = cx.scope.clone();
    let row = listener(cx.view(), &scope, &input.listener_arn)?;
    Ok(DescribeListenerAttributesOutput { attributes: Some(attributes(&row.attributes)) })
}

pub(super) fn modify_attributes(
    _: &Elb,
    cx: &mut Context,
    input: ModifyListenerAttributesInput,
) -> Result<ModifyListenerAttributesOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = listener(tx, &scope, &input.listener_arn)?;
    let after = LISTENER.modified(&row.attributes, input.attributes.into_iter().map(|one| (one.key, one.value)))?;
    let shown = attributes(&after);
    tx.update::<Listener>(&scope, &row.arn, |row| row.attributes = after);
    Ok(ModifyListenerAttributesOutput { attributes: Some(shown) })
}

fn attributes(set: &BTreeMap<String, String>) -> Vec<ListenerAttribute> {
    let shown =
        |(key, value): (&str, &str)| ListenerAttribute { key: Some(key.to_owned()), value: Some(value.to_owned()) };
    LISTENER.values(set).map(shown).collect()
}

/// The listener whose default rule has that ARN.
pub(super) fn of_default_rule(view: &View, scope: &Scope, rule: &str) -> Option<Arc<Listener>> {
    if !is_arn(rule, "listener-rule") {
        return None;
    }
    view.by_index(&Listener::BY_DEFAULT_RULE, scope, rule).next().cloned()
}
