//! Managed prefix lists: the account's own with their versions, and those of AWS, which cannot be changed.

use super::describe::{self, Kind, Selection, Values, one};
use super::{Ec2, begin, refuse, tags};
use crate::query;
use crate::rows::{ManagedPrefixList, Peer, PrefixListEntry, PrefixListState, RouteTable, SecurityGroup, Tags};
use crate::texts;
use gateway::Context;
use ipnet::{IpNet, Ipv4Net};
use model::ec2;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::View;
use types::id::PrefixListId;
use types::{ApiError, Scope};

/// How many entries a list may have. Source: VPC user guide, "Amazon VPC quotas".
const MAX_ENTRIES: i32 = 1000;
/// How many entries a request may add or remove. Source: EC2 API reference, CreateManagedPrefixList.
const MAX_PER_REQUEST: usize = 100;
/// What the names of AWS's own lists begin with, and no other's.
const RESERVED: [&str; 3] = ["com.amazonaws.", "com.amazon.", "com.aws."];

/// Whether it is one of AWS's own.
fn is_aws(list: &ManagedPrefixList) -> bool {
    RESERVED.iter().any(|start| list.name.starts_with(start))
}

fn block(text: &str, ipv6: bool) -> Result<IpNet, ApiError> {
    let block = text.parse::<IpNet>().map_err(|_| texts::invalid_value(text, "Cidr", "This is not a valid CIDR."))?;
    if matches!(block, IpNet::V6(_)) != ipv6 {
        return Err(texts::invalid_value(text, "Cidr", "It is not of the prefix list's address family."));
    }
    Ok(block.trunc())
}

/// The entries after `new` ones have joined them.
fn joined(
    mut entries: Vec<PrefixListEntry>,
    new: Vec<ec2::AddPrefixListEntry>,
    ipv6: bool,
) -> Result<Vec<PrefixListEntry>, ApiError> {
    if new.len() > MAX_PER_REQUEST {
        return Err(texts::too_many_entries_in_request());
    }
    for entry in new {
        let block = block(&entry.cidr, ipv6)?;
        if let Some(standing) = entries.iter().find(|standing| standing.block == block) {
            return Err(texts::entry_exists(block, &standing.description));
        }
        entries.push(PrefixListEntry { block, description: entry.description.unwrap_or_default() });
    }
    Ok(entries)
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if RESERVED.iter().any(|start| name.starts_with(start)) {
        return Err(texts::reserved_prefix_list_name(&RESERVED.join(", ")));
    }
    if name.is_empty() || name.chars().count() > 255 {
        return Err(texts::invalid_value(name, "PrefixListName", "It has 1 to 255 characters."));
    }
    Ok(())
}

fn check_size(max: i32, entries: usize) -> Result<(), ApiError> {
    if !(1..=MAX_ENTRIES).contains(&max) {
        return Err(texts::invalid_value(max, "MaxEntries", "Must be between 1 and 1000."));
    }
    if usize::try_from(max).is_ok_and(|max| entries > max) { Err(texts::prefix_list_full()) } else { Ok(()) }
}

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateManagedPrefixListRequest,
) -> Result<ec2::CreateManagedPrefixListResult, ApiError> {
    let ipv6 = match input.address_family.as_str() {
        "IPv4" => false,
        "IPv6" => true,
        other => return Err(texts::invalid_value(other, "AddressFamily", "Expecting IPv4 or IPv6.")),
    };
    check_name(&input.prefix_list_name)?;
    let entries = joined(Vec::new(), input.entries.unwrap_or_default(), ipv6)?;
    check_size(input.max_entries, entries.len())?;
    let tags = tags::at_creation(input.tag_specifications, "prefix-list")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let list = ManagedPrefixList {
        id: PrefixListId::generate(),
        name: input.prefix_list_name,
        ipv6,
        max_entries: input.max_entries,
        versions: BTreeMap::from([(1, entries)]),
        state: PrefixListState::Created,
        tags,
    };
    let list = cx.tx().put(&scope, list);
    let shown = ec2::ManagedPrefixList { state: Some("create-in-progress".to_owned()), ..show(&scope, &list) };
    Ok(ec2::CreateManagedPrefixListResult { prefix_list: Some(shown) })
}

/// AWS's lists are told without versions and sizes.
fn show(scope: &Scope, list: &ManagedPrefixList) -> ec2::ManagedPrefixList {
    let own = !is_aws(list);
    let owner = if own { scope.account.to_string() } else { "aws".to_owned() };
    ec2::ManagedPrefixList {
        prefix_list_id: Some(list.id.to_string()),
        address_family: Some(if list.ipv6 { "IPv6" } else { "IPv4" }.to_owned()),
        state: Some(
            match &list.state {
                PrefixListState::Created => "create-complete",
                PrefixListState::Modified => "modify-complete",
                PrefixListState::ModifyFailed(_) => "modify-failed",
                PrefixListState::Restored => "restore-complete",
            }
            .to_owned(),
        ),
        state_message: match &list.state {
            PrefixListState::ModifyFailed(groups) => Some(texts::no_room_for_prefix_list(groups)),
            _ => None,
        },
        prefix_list_arn: Some(format!("arn:aws:ec2:{}:{owner}:prefix-list/{}", scope.region, list.id)),
        prefix_list_name: Some(list.name.clone()),
        max_entries: own.then_some(list.max_entries),
        version: own.then(|| list.version()),
        tags: tags::shown(&list.tags),
        owner_id: Some(owner_of(scope, list)),
        ..Default::default()
    }
}

fn owner_of(scope: &Scope, list: &ManagedPrefixList) -> String {
    if is_aws(list) { "AWS".to_owned() } else { scope.account.to_string() }
}

/// AWS's own lists in the account's terms.
fn of_aws(service: &Ec2, scope: &Scope) -> Vec<Arc<ManagedPrefixList>> {
    let block = Ipv4Net::from(service.ground.gateway_endpoint_address()).into();
    let list = |list: query::PrefixList, entries: Vec<PrefixListEntry>| {
        Some(Arc::new(ManagedPrefixList {
            id: PrefixListId::parse(&list.id)?,
            name: list.name,
            ipv6: false,
            max_entries: 1,
            versions: BTreeMap::from([(1, entries)]),
            state: PrefixListState::Created,
            tags: Tags::new(),
        }))
    };
    let of_endpoints = query::prefix_lists(&scope.region).into_iter();
    let of_endpoints = of_endpoints.map(|it| list(it, vec![PrefixListEntry { block, description: String::new() }]));
    of_endpoints.chain([list(query::cloudfront(), Vec::new())]).flatten().collect()
}

/// The list of that id, whosever it is.
fn find(service: &Ec2, view: &View, scope: &Scope, id: &str) -> Result<Arc<ManagedPrefixList>, ApiError> {
    let own = view.get::<ManagedPrefixList>(scope, id);
    let found = own.or_else(|| of_aws(service, scope).into_iter().find(|list| list.id.as_str() == id));
    found.ok_or_else(|| texts::managed_prefix_list_not_found(id))
}

/// The list of that id, which must be the account's own.
fn find_own(service: &Ec2, view: &View, scope: &Scope, id: &str) -> Result<Arc<ManagedPrefixList>, ApiError> {
    let list = find(service, view, scope, id)?;
    if is_aws(&list) { Err(texts::prefix_list_of_aws(id)) } else { Ok(list) }
}

const KIND: Kind<ManagedPrefixList> =
    Kind { not_found: texts::managed_prefix_list_not_found, tags: |_, list| &list.tags, filter };

fn filter(name: &str) -> Option<Values<ManagedPrefixList>> {
    Some(match name {
        "owner-id" => Box::new(|_, scope, list| one(owner_of(scope, list))),
        "prefix-list-id" => Box::new(|_, _, list| one(&list.id)),
        "prefix-list-name" => Box::new(|_, _, list| one(&list.name)),
        _ => return None,
    })
}

pub(crate) fn describe(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeManagedPrefixListsRequest,
) -> Result<ec2::DescribeManagedPrefixListsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let ids = input.prefix_list_ids.unwrap_or_default();
    let found: Vec<Arc<ManagedPrefixList>> = if ids.is_empty() {
        let mut all = of_aws(service, &scope);
        all.extend(view.scan::<ManagedPrefixList>(&scope).cloned());
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    } else {
        ids.iter().map(|id| find(service, view, &scope, id)).collect::<Result<_, _>>()?
    };
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: None, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::of(view, &scope, &KIND, found, selection)?;
    let shown = rows.iter().map(|row| show(&scope, row)).collect();
    Ok(ec2::DescribeManagedPrefixListsResult { prefix_lists: Some(shown), next_token })
}

pub(crate) fn modify(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::ModifyManagedPrefixListRequest,
) -> Result<ec2::ModifyManagedPrefixListResult, ApiError> {
    refuse(input.ipam_prefix_list_resolver_sync_enabled.is_some(), "IPAM prefix list resolvers")?;
    let (add, remove) = (input.add_entries.unwrap_or_default(), input.remove_entries.unwrap_or_default());
    let changes = !add.is_empty() || !remove.is_empty();
    if let Some(both) = add.iter().find(|entry| remove.iter().any(|other| other.cidr == entry.cidr)) {
        return Err(texts::entry_added_and_removed(&both.cidr));
    }
    if changes && input.max_entries.is_some() {
        return Err(texts::entries_and_size_at_once());
    }
    if remove.len() > MAX_PER_REQUEST {
        return Err(texts::too_many_entries_in_request());
    }
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut list = (*find_own(service, tx, &scope, &input.prefix_list_id)?).clone();
    if input.current_version.is_some_and(|version| version != list.version()) {
        return Err(texts::prefix_list_version());
    }
    if let Some(name) = input.prefix_list_name {
        check_name(&name)?;
        list.name = name;
    }
    if let Some(max) = input.max_entries {
        check_size(max, list.entries().len())?;
        let before = std::mem::replace(&mut list.max_entries, max);
        tx.put(&scope, list.clone());
        let full = groups_without_room(tx, &scope, list.id.as_str());
        if !full.is_empty() {
            // The change fails after it has begun, and all stays as it was.
            (list.max_entries, list.state) = (before, PrefixListState::ModifyFailed(full));
            let list = tx.put(&scope, list);
            let state = Some("modify-in-progress".to_owned());
            let shown = ec2::ManagedPrefixList { state, state_message: None, ..show(&scope, &list) };
            return Ok(ec2::ModifyManagedPrefixListResult { prefix_list: Some(shown) });
        }
    }
    if changes {
        let mut entries = list.entries().to_vec();
        for entry in remove {
            let block = block(&entry.cidr, list.ipv6)?;
            let at = entries.iter().position(|standing| standing.block == block);
            entries.remove(at.ok_or_else(|| texts::no_such_entry(block))?);
        }
        let entries = joined(entries, add, list.ipv6)?;
        check_size(list.max_entries, entries.len())?;
        list.advance(entries);
    }
    list.state = PrefixListState::Modified;
    let list = tx.put(&scope, list);
    let shown = ec2::ManagedPrefixList { state: Some("modify-in-progress".to_owned()), ..show(&scope, &list) };
    Ok(ec2::ModifyManagedPrefixListResult { prefix_list: Some(shown) })
}

pub(crate) fn restore_version(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::RestoreManagedPrefixListVersionRequest,
) -> Result<ec2::RestoreManagedPrefixListVersionResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut list = (*find_own(service, tx, &scope, &input.prefix_list_id)?).clone();
    if input.current_version != list.version() {
        return Err(texts::prefix_list_version());
    }
    let entries = list.versions.get(&input.previous_version).filter(|_| input.previous_version != list.version());
    let entries = entries.ok_or_else(|| texts::no_such_version(input.previous_version))?.clone();
    check_size(list.max_entries, entries.len())?;
    list.advance(entries);
    list.state = PrefixListState::Restored;
    let list = tx.put(&scope, list);
    let shown = ec2::ManagedPrefixList { state: Some("restore-in-progress".to_owned()), ..show(&scope, &list) };
    Ok(ec2::RestoreManagedPrefixListVersionResult { prefix_list: Some(shown) })
}

/// The ids of what refers to a list: security groups and route tables.
fn referring(view: &View, scope: &Scope, id: &str) -> Vec<String> {
    let in_group = |group: &&Arc<SecurityGroup>| {
        group.rules.iter().any(|rule| matches!(&rule.peer, Peer::PrefixList(list) if list == id))
    };
    let in_table = |table: &&Arc<RouteTable>| {
        table.routes.iter().any(|route| matches!(&route.destination, Err(list) if list == id))
    };
    let tables = view.scan::<RouteTable>(scope).filter(in_table).map(|table| table.id.to_string());
    let groups = view.scan::<SecurityGroup>(scope).filter(in_group).map(|group| group.id.to_string());
    tables.chain(groups).collect()
}

/// The ids of the first ten groups that have more rules than they may, by a list that they refer to.
fn groups_without_room(view: &View, scope: &Scope, id: &str) -> Vec<String> {
    let refers = |group: &&Arc<SecurityGroup>| {
        group.rules.iter().any(|rule| matches!(&rule.peer, Peer::PrefixList(list) if list == id))
    };
    let full = |group: &&Arc<SecurityGroup>| super::rule::check_room(view, scope, &group.rules).is_err();
    view.scan::<SecurityGroup>(scope).filter(refers).filter(full).take(10).map(|group| group.id.to_string()).collect()
}

pub(crate) fn delete(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteManagedPrefixListRequest,
) -> Result<ec2::DeleteManagedPrefixListResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.prefix_list_id;
    let list = find_own(service, tx, &scope, id)?;
    if !referring(tx, &scope, id).is_empty() {
        return Err(texts::dependency("prefixList", id));
    }
    tx.delete::<ManagedPrefixList>(&scope, id);
    let shown = ec2::ManagedPrefixList { state: Some("delete-in-progress".to_owned()), ..show(&scope, &list) };
    Ok(ec2::DeleteManagedPrefixListResult { prefix_list: Some(shown) })
}

pub(crate) fn entries(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::GetManagedPrefixListEntriesRequest,
) -> Result<ec2::GetManagedPrefixListEntriesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let list = find(service, cx.view(), &scope, &input.prefix_list_id)?;
    let entries = match input.target_version {
        None => list.entries(),
        Some(version) => list.versions.get(&version).ok_or_else(|| texts::no_such_version(version))?,
    };
    let mut shown: Vec<ec2::PrefixListEntry> = entries
        .iter()
        .map(|entry| ec2::PrefixListEntry {
            cidr: Some(entry.block.to_string()),
            description: Some(entry.description.clone()),
        })
        .collect();
    let key = |entry: &ec2::PrefixListEntry| entry.cidr.clone().unwrap_or_default();
    shown.sort_by_key(key);
    let (entries, next_token) = describe::page(shown, input.max_results, input.next_token.as_deref(), key)?;
    Ok(ec2::GetManagedPrefixListEntriesResult { entries: Some(entries), next_token })
}

pub(crate) fn associations(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::GetManagedPrefixListAssociationsRequest,
) -> Result<ec2::GetManagedPrefixListAssociationsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let list = find_own(service, view, &scope, &input.prefix_list_id)?;
    let ids = referring(view, &scope, list.id.as_str());
    let (ids, next_token) = describe::page(ids, input.max_results, input.next_token.as_deref(), String::clone)?;
    let show =
        |id| ec2::PrefixListAssociation { resource_id: Some(id), resource_owner: Some(scope.account.to_string()) };
    Ok(ec2::GetManagedPrefixListAssociationsResult {
        prefix_list_associations: Some(ids.into_iter().map(show).collect()),
        next_token,
    })
}
