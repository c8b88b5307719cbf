//! Reachability Analyzer: paths that are asked for, and analyses of them.
//!
//! An analysis is `netplan::walk` over the rows as they are when it is started, which is also what the kernel's rules are
//! compiled from. It is done before its request is answered.

mod analysis;
mod components;

use super::describe::{self, Kind, Selection, Values, maybe, one};
use super::{Ec2, begin, refuse, tags};
use crate::rows::{NetworkInsightsAnalysis, NetworkInsightsPath};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::net::IpAddr;
use types::id::{NetworkInsightsAnalysisId, NetworkInsightsPathId};
use types::{ApiError, Scope};

fn address(given: Option<&str>, parameter: &str) -> Result<Option<IpAddr>, ApiError> {
    let parse =
        |text: &str| text.parse().map_err(|_| texts::invalid_value(text, parameter, "This is not a valid IP address."));
    given.map(parse).transpose()
}

pub(crate) fn create_path(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateNetworkInsightsPathRequest,
) -> Result<ec2::CreateNetworkInsightsPathResult, ApiError> {
    let filters = input.filter_at_source.is_some() || input.filter_at_destination.is_some();
    refuse(filters, "filters of network insights paths")?;
    let source_ip = address(input.source_ip.as_deref(), "sourceIp")?;
    let destination_ip = address(input.destination_ip.as_deref(), "destinationIp")?;
    if input.destination.is_none() && destination_ip.is_none() {
        return Err(texts::missing("destination"));
    }
    if !matches!(input.protocol.as_str(), "tcp" | "udp") {
        return Err(texts::invalid_value(&input.protocol, "protocol", "Expecting tcp or udp."));
    }
    let port = |port: i32| {
        let known = u16::try_from(port).ok().filter(|port| *port > 0);
        known.ok_or_else(|| texts::invalid_value(port, "destinationPort", "A port is a number from 1 to 65535."))
    };
    let destination_port = input.destination_port.map(port).transpose()?;
    let tags = tags::at_creation(input.tag_specifications, "network-insights-path")?;
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let source = analysis::End::find(tx, &scope, &input.source)?.id().to_owned();
    let destination = match &input.destination {
        Some(named) => Some(analysis::End::find(tx, &scope, named)?.id().to_owned()),
        None => None,
    };
    let made = NetworkInsightsPath {
        id: NetworkInsightsPathId::generate(),
        source,
        source_ip,
        destination,
        destination_ip,
        protocol: input.protocol,
        destination_port,
        client_token: input.client_token,
        created: now,
        tags,
    };
    let standing = tx.scan::<NetworkInsightsPath>(&scope).find(|row| row.client_token == made.client_token).cloned();
    let path = match standing {
        None => tx.put(&scope, made),
        Some(row) => {
            // Tags may have changed since.
            let tags = row.tags.clone();
            let again = NetworkInsightsPath { id: row.id.clone(), created: row.created, tags, ..made };
            if *row != again {
                return Err(texts::token_used_otherwise(&again.client_token));
            }
            row
        }
    };
    Ok(ec2::CreateNetworkInsightsPathResult { network_insights_path: Some(show_path(&scope, &path)) })
}

fn arn(scope: &Scope, kind: &str, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:{kind}/{id}", scope.region, scope.account)
}

fn show_path(scope: &Scope, path: &NetworkInsightsPath) -> ec2::NetworkInsightsPath {
    let end_arn = |id: &str| arn(scope, components::kind_of(id), id);
    ec2::NetworkInsightsPath {
        network_insights_path_id: Some(path.id.to_string()),
        network_insights_path_arn: Some(arn(scope, "network-insights-path", path.id.as_str())),
        created_date: Some(path.created),
        source: Some(path.source.clone()),
        source_arn: Some(end_arn(&path.source)),
        destination: path.destination.clone(),
        destination_arn: path.destination.as_deref().map(end_arn),
        source_ip: path.source_ip.map(|ip| ip.to_string()),
        destination_ip: path.destination_ip.map(|ip| ip.to_string()),
        protocol: Some(path.protocol.clone()),
        destination_port: path.destination_port.map(i32::from),
        tags: tags::shown(&path.tags),
        ..ec2::NetworkInsightsPath::default()
    }
}

pub(crate) fn delete_path(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteNetworkInsightsPathRequest,
) -> Result<ec2::DeleteNetworkInsightsPathResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = input.network_insights_path_id;
    if tx.by_index(&NetworkInsightsAnalysis::BY_PATH, &scope, &id).next().is_some() {
        return Err(texts::path_has_analyses(&id));
    }
    if tx.delete::<NetworkInsightsPath>(&scope, &id).is_none() {
        return Err(texts::insights_path_not_found(&id));
    }
    Ok(ec2::DeleteNetworkInsightsPathResult { network_insights_path_id: Some(id) })
}

const PATHS: Kind<NetworkInsightsPath> =
    Kind { not_found: texts::insights_path_not_found, tags: |_, path| &path.tags, filter: path_filter };

fn path_filter(name: &str) -> Option<Values<NetworkInsightsPath>> {
    Some(match name {
        "destination" => Box::new(|_, _, path| maybe(path.destination.as_ref())),
        "protocol" => Box::new(|_, _, path| one(&path.protocol)),
        "source" => Box::new(|_, _, path| one(&path.source)),
        _ => return None,
    })
}

pub(crate) fn describe_paths(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeNetworkInsightsPathsRequest,
) -> Result<ec2::DescribeNetworkInsightsPathsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.network_insights_path_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &PATHS, selection)?;
    let shown = rows.iter().map(|row| show_path(&cx.scope, row)).collect();
    Ok(ec2::DescribeNetworkInsightsPathsResult { network_insights_paths: Some(shown), next_token })
}

pub(crate) fn start(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::StartNetworkInsightsAnalysisRequest,
) -> Result<ec2::StartNetworkInsightsAnalysisResult, ApiError> {
    refuse(input.additional_accounts.is_some(), "additional accounts of network insights analyses")?;
    let filters = input.filter_in_arns.is_some() || input.filter_out_arns.is_some();
    refuse(filters, "filters of network insights analyses")?;
    let tags = tags::at_creation(input.tag_specifications, "network-insights-analysis")?;
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let id = &input.network_insights_path_id;
    // Nobody waits for the walk: it is done before the transaction begins.
    let view = cx.view();
    let path = view.get::<NetworkInsightsPath>(&scope, id).ok_or_else(|| texts::insights_path_not_found(id))?;
    let found = analysis::analyse(view, &scope, &service.ground, &path);
    let tx = cx.tx();
    let token = input.client_token;
    let standing = tx.scan::<NetworkInsightsAnalysis>(&scope).find(|row| row.client_token == token).cloned();
    let row = match standing {
        Some(row) if row.path != path.id => return Err(texts::token_used_otherwise(&token)),
        Some(row) => row,
        None => {
            if !tx.contains::<NetworkInsightsPath>(&scope, id) {
                return Err(texts::insights_path_not_found(id));
            }
            let row = NetworkInsightsAnalysis {
                id: NetworkInsightsAnalysisId::generate(),
                path: path.id.clone(),
                client_token: token,
                started: now,
                found: found.into(),
                tags,
            };
            tx.put(&scope, row)
        }
    };
    Ok(ec2::StartNetworkInsightsAnalysisResult { network_insights_analysis: Some(show_analysis(&scope, &row)) })
}

fn show_analysis(scope: &Scope, row: &NetworkInsightsAnalysis) -> ec2::NetworkInsightsAnalysis {
    ec2::NetworkInsightsAnalysis {
        network_insights_analysis_id: Some(row.id.to_string()),
        network_insights_analysis_arn: Some(arn(scope, "network-insights-analysis", row.id.as_str())),
        network_insights_path_id: Some(row.path.to_string()),
        start_date: Some(row.started),
        tags: tags::shown(&row.tags),
        ..(*row.found).clone()
    }
}

const ANALYSES: Kind<NetworkInsightsAnalysis> =
    Kind { not_found: texts::insights_analysis_not_found, tags: |_, analysis| &analysis.tags, filter: analysis_filter };

fn analysis_filter(name: &str) -> Option<Values<NetworkInsightsAnalysis>> {
    Some(match name {
        "path-found" => Box::new(|_, _, row| maybe(row.found.network_path_found)),
        "status" => Box::new(|_, _, row| maybe(row.found.status.as_ref())),
        _ => return None,
    })
}

pub(crate) fn describe_analyses(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeNetworkInsightsAnalysesRequest,
) -> Result<ec2::DescribeNetworkInsightsAnalysesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let ids = input.network_insights_analysis_ids;
    let scope = cx.scope.clone();
    // Ids are looked up first, so that one that is not there is told; then all that is asked for has to hold.
    let every = Selection { ids, ..Selection::default() };
    let (mut found, _) = describe::rows(cx, &ANALYSES, every)?;
    found.retain(|row| {
        input.network_insights_path_id.as_ref().is_none_or(|path| row.path.as_str() == path)
            && input.analysis_start_time.is_none_or(|from| row.started >= from)
            && input.analysis_end_time.is_none_or(|to| row.started <= to)
    });
    let selection = Selection { ids: None, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::of(cx.view(), &scope, &ANALYSES, found, selection)?;
    let shown = rows.iter().map(|row| show_analysis(&scope, row)).collect();
    Ok(ec2::DescribeNetworkInsightsAnalysesResult { network_insights_analyses: Some(shown), next_token })
}

pub(crate) fn delete_analysis(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteNetworkInsightsAnalysisRequest,
) -> Result<ec2::DeleteNetworkInsightsAnalysisResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let id = input.network_insights_analysis_id;
    if cx.tx().delete::<NetworkInsightsAnalysis>(&scope, &id).is_none() {
        return Err(texts::insights_analysis_not_found(&id));
    }
    Ok(ec2::DeleteNetworkInsightsAnalysisResult { network_insights_analysis_id: Some(id) })
}
