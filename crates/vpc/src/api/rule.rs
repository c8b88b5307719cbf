//! Rules of security groups: authorised and revoked as permissions, shown as permissions and one by one.

use super::describe::{self, one};
use super::{Ec2, begin, security_group, tags};
use crate::query;
use crate::rows::{ManagedPrefixList, Peer, PeeredGroup, PeeringState, Rule, SecurityGroup, Tags, Vpc};
use crate::texts;
use gateway::Context;
use ipnet::{Ipv4Net, Ipv6Net};
use model::ec2;
use store::View;
use types::arn::Arn;
use types::id::SecurityGroupRuleId;
use types::{ApiError, Scope};

/// How many rules a group may have in one direction for IPv4, and as many for IPv6. Source: VPC user guide, "Amazon VPC
/// quotas".
const MAX_RULES: usize = 60;

/// The rules of one direction, gathered as AWS shows them: one permission for each protocol and port range.
pub(crate) fn permissions(view: &View, scope: &Scope, group: &SecurityGroup, egress: bool) -> Vec<ec2::IpPermission> {
    let mut gathered: Vec<ec2::IpPermission> = Vec::new();
    for rule in group.rules.iter().filter(|rule| rule.egress == egress) {
        let (from, to) = shown_ports(rule);
        let same = |permission: &ec2::IpPermission| {
            permission.ip_protocol.as_deref() == Some(&rule.protocol)
                && permission.from_port == from
                && permission.to_port == to
        };
        let at = gathered.iter().position(same).unwrap_or(gathered.len());
        if at == gathered.len() {
            gathered.push(ec2::IpPermission {
                ip_protocol: Some(rule.protocol.clone()),
                from_port: from,
                to_port: to,
                user_id_group_pairs: Some(Vec::new()),
                ip_ranges: Some(Vec::new()),
                ipv6_ranges: Some(Vec::new()),
                prefix_list_ids: Some(Vec::new()),
            });
        }
        let permission = &mut gathered[at];
        let description = rule.description.clone();
        match &rule.peer {
            Peer::Ipv4(cidr) => {
                permission
                    .ip_ranges
                    .get_or_insert_default()
                    .push(ec2::IpRange { description, cidr_ip: Some(cidr.clone()) });
            }
            Peer::Ipv6(cidr) => {
                permission
                    .ipv6_ranges
                    .get_or_insert_default()
                    .push(ec2::Ipv6Range { description, cidr_ipv6: Some(cidr.clone()) });
            }
            Peer::PrefixList(id) => permission
                .prefix_list_ids
                .get_or_insert_default()
                .push(ec2::PrefixListId { description, prefix_list_id: Some(id.clone()) }),
            Peer::Group(id) => {
                permission.user_id_group_pairs.get_or_insert_default().push(ec2::UserIdGroupPair {
                    description,
                    user_id: Some(scope.account.to_string()),
                    group_id: Some(id.to_string()),
                    ..Default::default()
                });
            }
            Peer::Peered(peer) => {
                permission.user_id_group_pairs.get_or_insert_default().push(ec2::UserIdGroupPair {
                    description,
                    user_id: Some(peer.account.to_string()),
                    group_id: Some(peer.group.to_string()),
                    vpc_id: Some(peer.vpc.to_string()),
                    vpc_peering_connection_id: Some(peer.connection.to_string()),
                    peering_status: peering_status(view, scope, peer),
                    ..Default::default()
                });
            }
        }
    }
    gathered
}

/// What became of the connection to a group's VPC, while that is told.
fn peering_status(view: &View, scope: &Scope, peer: &PeeredGroup) -> Option<String> {
    query::peering(view, scope, peer.connection.as_str()).map(|row| row.state.code().to_owned())
}

/// Ports are absent where the protocol is all, or has none.
fn shown_ports(rule: &Rule) -> (Option<i32>, Option<i32>) {
    match rule.protocol.as_str() {
        "tcp" | "udp" | "icmp" | "icmpv6" => (Some(rule.from_port), Some(rule.to_port)),
        _ => (None, None),
    }
}

fn show(view: &View, scope: &Scope, group: &SecurityGroup, rule: &Rule) -> ec2::SecurityGroupRule {
    let mut shown = ec2::SecurityGroupRule {
        security_group_rule_id: Some(rule.id.to_string()),
        security_group_rule_arn: Some(Arn::new("ec2", scope, format!("security-group-rule/{}", rule.id)).to_string()),
        group_id: Some(group.id.to_string()),
        group_owner_id: Some(scope.account.to_string()),
        is_egress: Some(rule.egress),
        ip_protocol: Some(rule.protocol.clone()),
        from_port: Some(rule.from_port),
        to_port: Some(rule.to_port),
        description: rule.description.clone(),
        tags: tags::shown(&rule.tags),
        ..Default::default()
    };
    match &rule.peer {
        Peer::Ipv4(cidr) => shown.cidr_ipv4 = Some(cidr.clone()),
        Peer::Ipv6(cidr) => shown.cidr_ipv6 = Some(cidr.clone()),
        Peer::PrefixList(id) => shown.prefix_list_id = Some(id.clone()),
        Peer::Group(id) => {
            shown.referenced_group_info = Some(ec2::ReferencedSecurityGroup {
                group_id: Some(id.to_string()),
                user_id: Some(scope.account.to_string()),
                vpc_id: view.get::<SecurityGroup>(scope, id.as_str()).map(|group| group.vpc.to_string()),
                ..Default::default()
            });
        }
        Peer::Peered(peer) => {
            shown.referenced_group_info = Some(ec2::ReferencedSecurityGroup {
                group_id: Some(peer.group.to_string()),
                user_id: Some(peer.account.to_string()),
                vpc_id: Some(peer.vpc.to_string()),
                vpc_peering_connection_id: Some(peer.connection.to_string()),
                peering_status: peering_status(view, scope, peer),
            });
        }
    }
    shown
}

/// The old way to say one permission: members of the request itself.
struct Flat {
    protocol: Option<String>,
    from_port: Option<i32>,
    to_port: Option<i32>,
    cidr: Option<String>,
    group_name: Option<String>,
    group_owner: Option<String>,
}

macro_rules! flat {
    ($input:ident) => {
        Flat {
            protocol: $input.ip_protocol.take(),
            from_port: $input.from_port,
            to_port: $input.to_port,
            cidr: $input.cidr_ip.take(),
            group_name: $input.source_security_group_name.take(),
            group_owner: $input.source_security_group_owner_id.take(),
        }
    };
}

impl Flat {
    /// All permissions that a request says, in whichever way.
    fn and(self, permissions: Option<Vec<ec2::IpPermission>>) -> Vec<ec2::IpPermission> {
        let mut all = permissions.unwrap_or_default();
        if self.protocol.is_some() || self.cidr.is_some() || self.group_name.is_some() {
            let owner = self.group_owner;
            let group = |name| ec2::UserIdGroupPair { group_name: Some(name), user_id: owner, ..Default::default() };
            all.push(ec2::IpPermission {
                // A source group alone means every protocol.
                ip_protocol: self.protocol.or_else(|| Some("-1".to_owned())),
                from_port: self.from_port,
                to_port: self.to_port,
                ip_ranges: self.cidr.map(|cidr| vec![ec2::IpRange { cidr_ip: Some(cidr), description: None }]),
                user_id_group_pairs: self.group_name.map(|name| vec![group(name)]),
                ..Default::default()
            });
        }
        all
    }
}

/// Permissions as requests have them.
pub(crate) type Permissions = Option<Vec<ec2::IpPermission>>;

/// The rules that permissions stand for, checked.
pub(crate) fn rules(
    view: &View,
    scope: &Scope,
    group: &SecurityGroup,
    egress: bool,
    permissions: Vec<ec2::IpPermission>,
) -> Result<Vec<Rule>, ApiError> {
    let mut rules = Vec::new();
    for permission in permissions {
        let named = permission.ip_protocol.as_deref().ok_or_else(|| texts::missing("ipProtocol"))?;
        let protocol = protocol(named)?;
        let (from_port, to_port) = ports(&protocol, permission.from_port, permission.to_port)?;
        let mut add = |peer, description: Option<String>| {
            if description.as_ref().is_some_and(|text| text.len() > 255 || !security_group::allowed(text)) {
                return Err(texts::bad_rule_description());
            }
            let id = SecurityGroupRuleId::generate();
            // AWS takes an empty description for none.
            let description = description.filter(|text| !text.is_empty());
            rules.push(Rule {
                id,
                egress,
                protocol: protocol.clone(),
                from_port,
                to_port,
                peer,
                description,
                tags: Tags::new(),
            });
            Ok(())
        };
        for range in permission.ip_ranges.unwrap_or_default() {
            let text = range.cidr_ip.unwrap_or_default();
            let cidr: Ipv4Net = text.parse().map_err(|_| malformed(&text))?;
            add(Peer::Ipv4(cidr.trunc().to_string()), range.description)?;
        }
        for range in permission.ipv6_ranges.unwrap_or_default() {
            let text = range.cidr_ipv6.unwrap_or_default();
            let cidr: Ipv6Net = text.parse().map_err(|_| malformed(&text))?;
            add(Peer::Ipv6(cidr.trunc().to_string()), range.description)?;
        }
        for list in permission.prefix_list_ids.unwrap_or_default() {
            let id = list.prefix_list_id.unwrap_or_default();
            if !query::is_prefix_list(view, scope, &id) {
                return Err(texts::prefix_list_not_found(&id));
            }
            add(Peer::PrefixList(id), list.description)?;
        }
        for pair in permission.user_id_group_pairs.unwrap_or_default() {
            let own = pair.user_id.as_deref().is_none_or(|owner| owner == scope.account.as_str());
            let peer = match (&pair.group_id, &pair.group_name) {
                (Some(id), _) => match view.get::<SecurityGroup>(scope, id) {
                    Some(peer) if peer.vpc == group.vpc && own => peer,
                    _ => {
                        add(peered(view, scope, group, id, pair.user_id.as_deref())?, pair.description)?;
                        continue;
                    }
                },
                // Of another account's groups only ids are known.
                (None, Some(name)) if !own => return Err(texts::group_not_found(name)),
                (None, Some(name)) => view
                    .by_index(&SecurityGroup::BY_VPC, scope, group.vpc.as_str())
                    .find(|other| other.name == *name)
                    .cloned()
                    .ok_or_else(|| texts::group_not_found(name))?,
                (None, None) => return Err(texts::missing("groupId")),
            };
            add(Peer::Group(peer.id.clone()), pair.description)?;
        }
    }
    if rules.is_empty() {
        return Err(texts::missing("ipPermissions"));
    }
    if rules.iter().enumerate().any(|(at, rule)| rules[..at].iter().any(|other| other.same(rule))) {
        return Err(texts::same_permission_twice());
    }
    Ok(rules)
}

/// The group of that id beyond a peering connection of `group`'s VPC. Groups are not known in other regions.
fn peered(view: &View, scope: &Scope, group: &SecurityGroup, id: &str, owner: Option<&str>) -> Result<Peer, ApiError> {
    let connections = query::peerings(view, scope);
    let beyond = connections.iter().filter(|row| row.state == PeeringState::Active).filter_map(|row| {
        let side = row.beyond(&group.vpc)?;
        let peer = view.get::<SecurityGroup>(&side.scope, id)?;
        let wanted = owner.is_none_or(|owner| owner == side.scope.account.as_str());
        (wanted && side.scope.region == scope.region && peer.vpc == side.vpc).then(|| PeeredGroup {
            group: peer.id.clone(),
            account: side.scope.account.clone(),
            vpc: side.vpc.clone(),
            connection: row.id.clone(),
        })
    });
    let found = beyond.map(Peer::Peered).next();
    found.ok_or_else(|| {
        let own = owner.is_none_or(|owner| owner == scope.account.as_str());
        if own && view.contains::<SecurityGroup>(scope, id) {
            ApiError::new(
                "InvalidGroup.NotFound",
                "You have specified two resources that belong to different networks.",
            )
        } else {
            texts::no_group(id)
        }
    })
}

fn malformed(cidr: &str) -> ApiError {
    ApiError::new("InvalidParameterValue", format!("CIDR block {cidr} is malformed"))
}

/// A protocol as it is stored: the four that have names by name, all others by number.
fn protocol(named: &str) -> Result<String, ApiError> {
    let lower = named.to_ascii_lowercase();
    let known = match lower.as_str() {
        "tcp" | "6" => "tcp",
        "udp" | "17" => "udp",
        "icmp" | "1" => "icmp",
        "icmpv6" | "58" => "icmpv6",
        "-1" | "all" => "-1",
        other if other.parse::<u8>().is_ok() => other,
        _ => {
            return Err(ApiError::new(
                "InvalidPermission.Malformed",
                format!("Unsupported IP protocol \"{named}\" - supported: [udp, icmpv6, icmp, tcp, -1]"),
            ));
        }
    };
    Ok(known.to_owned())
}

fn ports(protocol: &str, from: Option<i32>, to: Option<i32>) -> Result<(i32, i32), ApiError> {
    let malformed = |text: String| Err(ApiError::new("InvalidPermission.Malformed", text));
    match protocol {
        "tcp" | "udp" => match (from, to) {
            (Some(-1) | None, Some(-1) | None) if from.is_some() || to.is_some() => Ok((0, 65535)),
            (Some(from), Some(to)) if !(0..=65535).contains(&from) || !(0..=65535).contains(&to) => Err(ApiError::new(
                "InvalidParameterValue",
                format!(
                    "Invalid value '{}' for portRange. Must specify both from and to ports with TCP/UDP.",
                    if (0..=65535).contains(&from) { to } else { from }
                ),
            )),
            (Some(from), Some(to)) if from > to => {
                Err(ApiError::new("InvalidParameterValue", format!("Invalid TCP/UDP port range ({from}:{to})")))
            }
            (Some(from), Some(to)) => Ok((from, to)),
            _ => Err(ApiError::new(
                "InvalidParameterValue",
                "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.",
            )),
        },
        "icmp" | "icmpv6" => {
            let (kind, code) = (from.unwrap_or(-1), to.unwrap_or(-1));
            if !(-1..=255).contains(&kind) || !(-1..=255).contains(&code) {
                return malformed(format!("ICMP type ({kind}) or code ({code}) out of range."));
            }
            Ok((kind, code))
        }
        _ => Ok((-1, -1)),
    }
}

fn authorize(
    cx: &mut Context,
    (id, name): (Option<&str>, Option<&str>),
    egress: bool,
    permissions: Vec<ec2::IpPermission>,
    tags: Tags,
) -> Result<Vec<ec2::SecurityGroupRule>, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let group = security_group::find(tx, &scope, id, name)?;
    let mut new = rules(tx, &scope, &group, egress, permissions)?;
    if let Some(standing) = new.iter().find(|rule| group.rules.iter().any(|other| other.same(rule))) {
        return Err(duplicate(standing));
    }
    check_room(tx, &scope, group.rules.iter().chain(&new))?;
    new.iter_mut().for_each(|rule| rule.tags = tags.clone());
    let shown = new.iter().map(|rule| show(tx, &scope, &group, rule)).collect();
    tx.update::<SecurityGroup>(&scope, group.id.as_str(), |group| group.rules.extend(new));
    Ok(shown)
}

/// Whether a group may have all these rules. What is not of one address family alone counts in both.
pub(crate) fn check_room<'a>(
    view: &View,
    scope: &Scope,
    rules: impl IntoIterator<Item = &'a Rule>,
) -> Result<(), ApiError> {
    let mut counts = [[0; 2]; 2];
    for rule in rules {
        let (ipv4, ipv6) = weight(view, scope, &rule.peer);
        let [of_ipv4, of_ipv6] = &mut counts[usize::from(rule.egress)];
        *of_ipv4 += ipv4;
        *of_ipv6 += ipv6;
    }
    if counts.iter().flatten().any(|count| *count > MAX_RULES) { Err(texts::too_many_rules()) } else { Ok(()) }
}

/// As how many rules one counts, for IPv4 and for IPv6. A prefix list counts as the entries that it may have.
fn weight(view: &View, scope: &Scope, peer: &Peer) -> (usize, usize) {
    match peer {
        Peer::Ipv4(_) => (1, 0),
        Peer::Ipv6(_) => (0, 1),
        Peer::Group(_) | Peer::Peered(_) => (1, 1),
        Peer::PrefixList(id) => match view.get::<ManagedPrefixList>(scope, id) {
            Some(list) if list.ipv6 => (0, usize::try_from(list.max_entries).unwrap_or_default()),
            Some(list) => (usize::try_from(list.max_entries).unwrap_or_default(), 0),
            None if *id == query::cloudfront().id => (query::CLOUDFRONT_WEIGHT, 0),
            None => (1, 1),
        },
    }
}

/// A rule that stands already.
pub(crate) fn duplicate(rule: &Rule) -> ApiError {
    ApiError::new("InvalidPermission.Duplicate", format!("the specified rule \"{}\" already exists", in_words(rule)))
}

/// A rule that does not stand.
pub(crate) fn no_such_rule() -> ApiError {
    ApiError::new("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
}

/// A rule as AWS writes it in errors: `peer: 0.0.0.0/0, TCP, from port: 443, to port: 443, ALLOW`.
fn in_words(rule: &Rule) -> String {
    let peer = match &rule.peer {
        Peer::Ipv4(cidr) | Peer::Ipv6(cidr) => cidr.clone(),
        Peer::Group(id) => id.to_string(),
        Peer::Peered(peer) => peer.group.to_string(),
        Peer::PrefixList(id) => id.clone(),
    };
    match rule.protocol.as_str() {
        "-1" => format!("peer: {peer}, ALL, ALLOW"),
        "icmp" | "icmpv6" => format!(
            "peer: {peer}, {}, type: {}, code: {}, ALLOW",
            rule.protocol.to_ascii_uppercase(),
            rule.from_port,
            rule.to_port
        ),
        other => format!(
            "peer: {peer}, {}, from port: {}, to port: {}, ALLOW",
            other.to_ascii_uppercase(),
            rule.from_port,
            rule.to_port
        ),
    }
}

pub(crate) fn authorize_ingress(
    _: &Ec2,
    cx: &mut Context,
    mut input: ec2::AuthorizeSecurityGroupIngressRequest,
) -> Result<ec2::AuthorizeSecurityGroupIngressResult, ApiError> {
    let tags = tags::at_creation(input.tag_specifications.take(), "security-group-rule")?;
    begin(cx, input.dry_run)?;
    let permissions = flat!(input).and(input.ip_permissions.take());
    let rules = authorize(cx, (input.group_id.as_deref(), input.group_name.as_deref()), false, permissions, tags)?;
    Ok(ec2::AuthorizeSecurityGroupIngressResult { return_: Some(true), security_group_rules: Some(rules) })
}

pub(crate) fn authorize_egress(
    _: &Ec2,
    cx: &mut Context,
    mut input: ec2::AuthorizeSecurityGroupEgressRequest,
) -> Result<ec2::AuthorizeSecurityGroupEgressResult, ApiError> {
    let tags = tags::at_creation(input.tag_specifications.take(), "security-group-rule")?;
    begin(cx, input.dry_run)?;
    let permissions = flat!(input).and(input.ip_permissions.take());
    let rules = authorize(cx, (Some(&input.group_id), None), true, permissions, tags)?;
    Ok(ec2::AuthorizeSecurityGroupEgressResult { return_: Some(true), security_group_rules: Some(rules) })
}

/// What a revocation came to: the rules revoked, and what it named that did not stand.
type Revoked = (Vec<ec2::RevokedSecurityGroupRule>, Vec<ec2::IpPermission>);

/// Revokes by rule ids or by permissions. What does not stand is an error and all remains, but in the default VPC, where
/// it is told and the rest is revoked. Source: EC2 API reference, RevokeSecurityGroupIngress.
fn revoke(
    cx: &mut Context,
    (id, name): (Option<&str>, Option<&str>),
    egress: bool,
    ids: Option<Vec<String>>,
    permissions: Vec<ec2::IpPermission>,
) -> Result<Revoked, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let group = security_group::find(tx, &scope, id, name)?;
    if ids.as_ref().is_none_or(Vec::is_empty) && permissions.is_empty() {
        return Err(texts::no_permissions());
    }
    let lenient = tx.get::<Vpc>(&scope, group.vpc.as_str()).is_some_and(|vpc| vpc.is_default);
    let mut unknown = SecurityGroup { rules: Vec::new(), ..(*group).clone() };
    let mut doomed: Vec<Rule> = Vec::new();
    for id in ids.iter().flatten() {
        let found = group.rules.iter().find(|rule| rule.id.as_str() == id && rule.egress == egress);
        doomed.push(found.cloned().ok_or_else(|| texts::group_rule_not_found(id))?);
    }
    if !permissions.is_empty() {
        for wanted in rules(tx, &scope, &group, egress, permissions)? {
            match group.rules.iter().find(|rule| rule.same(&wanted)) {
                Some(found) => doomed.push(found.clone()),
                None if lenient => unknown.rules.push(wanted),
                None => return Err(no_such_rule()),
            }
        }
    }
    tx.update::<SecurityGroup>(&scope, group.id.as_str(), |group| {
        group.rules.retain(|rule| !doomed.iter().any(|gone| gone.id == rule.id));
    });
    let shown = doomed.iter().map(|rule| {
        let full = show(tx, &scope, &group, rule);
        ec2::RevokedSecurityGroupRule {
            security_group_rule_id: full.security_group_rule_id,
            group_id: full.group_id,
            is_egress: full.is_egress,
            ip_protocol: full.ip_protocol,
            from_port: full.from_port,
            to_port: full.to_port,
            cidr_ipv4: full.cidr_ipv4,
            cidr_ipv6: full.cidr_ipv6,
            prefix_list_id: full.prefix_list_id,
            referenced_group_id: full.referenced_group_info.and_then(|info| info.group_id),
            description: full.description,
        }
    });
    let shown = shown.collect();
    Ok((shown, self::permissions(tx, &scope, &unknown, egress)))
}

pub(crate) fn revoke_ingress(
    _: &Ec2,
    cx: &mut Context,
    mut input: ec2::RevokeSecurityGroupIngressRequest,
) -> Result<ec2::RevokeSecurityGroupIngressResult, ApiError> {
    begin(cx, input.dry_run)?;
    let permissions = flat!(input).and(input.ip_permissions.take());
    let ids = input.security_group_rule_ids.take();
    let (revoked, unknown) =
        revoke(cx, (input.group_id.as_deref(), input.group_name.as_deref()), false, ids, permissions)?;
    Ok(ec2::RevokeSecurityGroupIngressResult {
        return_: Some(true),
        unknown_ip_permissions: Some(unknown),
        revoked_security_group_rules: Some(revoked),
    })
}

pub(crate) fn revoke_egress(
    _: &Ec2,
    cx: &mut Context,
    mut input: ec2::RevokeSecurityGroupEgressRequest,
) -> Result<ec2::RevokeSecurityGroupEgressResult, ApiError> {
    begin(cx, input.dry_run)?;
    let permissions = flat!(input).and(input.ip_permissions.take());
    let ids = input.security_group_rule_ids.take();
    let (revoked, unknown) = revoke(cx, (Some(&input.group_id), None), true, ids, permissions)?;
    Ok(ec2::RevokeSecurityGroupEgressResult {
        return_: Some(true),
        unknown_ip_permissions: Some(unknown),
        revoked_security_group_rules: Some(revoked),
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeSecurityGroupRulesRequest,
) -> Result<ec2::DescribeSecurityGroupRulesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let known = ["group-id", "security-group-rule-id", "tag-key"];
    describe::check_filters(input.filters.as_deref(), |name| known.contains(&name) || name.starts_with("tag:"))?;
    let ids = input.security_group_rule_ids.filter(|ids| !ids.is_empty());
    let mut found = Vec::new();
    for group in view.scan::<SecurityGroup>(&scope) {
        for rule in &group.rules {
            if ids.as_ref().is_some_and(|ids| !ids.iter().any(|id| id == rule.id.as_str())) {
                continue;
            }
            let values = |name: &str| match name {
                "group-id" => Some(one(&group.id)),
                "security-group-rule-id" => Some(one(&rule.id)),
                "tag-key" => Some(rule.tags.keys().cloned().collect()),
                _ => Some(rule.tags.get(name.strip_prefix("tag:")?).cloned().into_iter().collect()),
            };
            if !describe::kept(input.filters.as_deref(), values)? {
                continue;
            }
            found.push(show(view, &scope, group, rule));
        }
    }
    for id in ids.iter().flatten() {
        if input.filters.is_none() && !found.iter().any(|rule| rule.security_group_rule_id.as_ref() == Some(id)) {
            return Err(texts::group_rule_not_found(id));
        }
    }
    found.sort_by(|a, b| a.security_group_rule_id.cmp(&b.security_group_rule_id));
    let key = |rule: &ec2::SecurityGroupRule| rule.security_group_rule_id.clone().unwrap_or_default();
    let (rules, next_token) = describe::page(found, input.max_results, input.next_token.as_deref(), key)?;
    Ok(ec2::DescribeSecurityGroupRulesResult { security_group_rules: Some(rules), next_token })
}
