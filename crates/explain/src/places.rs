//! What people call the ends of a path, and which interfaces and addresses that is.

use crate::Error;
use crate::names::{find, owner, task_title};
use ecs::rows::{DefinitionRow, ServiceRow, TASKS_BY_SERVICE, TaskRow};
use elb::rows::{Listener, LoadBalancer};
use netplan::Ground;
use resolver::{Kind, Zone};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use store::View;
use types::Scope;
use types::id::{EniId, VpcId};
use vpc::rows::{Address, NetworkInterface};

/// The shortest beginning of a task's id that stands for it.
const SHORTEST: usize = 6;
/// What a name in front of a slash says of what follows.
const KINDS: [&str; 3] = ["task", "service", "alb"];

/// An interface of whoever was named.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) scope: Scope,
    pub(crate) interface: Arc<NetworkInterface>,
    /// Whose it is.
    pub(crate) what: String,
}

/// What a name means.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// The world outside of all VPCs.
    Internet,
    /// An address.
    Address(IpAddr),
    /// Somebody in a VPC.
    Somebody(Somebody),
    /// A name of DNS's, which the resolver of the VPC where a path starts knows.
    Name(String),
}

/// A port that nobody named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownPort {
    pub(crate) number: u16,
    /// How it is known.
    pub(crate) why: &'static str,
}

/// Somebody in a VPC, with one interface or several.
#[derive(Debug, Clone)]
pub(crate) struct Somebody {
    pub(crate) title: String,
    /// How the name can be written so that it means nothing else.
    sure: String,
    pub(crate) members: Vec<Member>,
    /// Where it listens, as far as rows tell.
    pub(crate) port: Option<KnownPort>,
    /// Whether it is called by a name of DNS's, which means public addresses if it has any.
    pub(crate) by_dns: bool,
}

/// What is called `text`.
pub(crate) fn find_end(view: &View, text: &str) -> Result<Found, Error> {
    if text.eq_ignore_ascii_case("internet") {
        return Ok(Found::Internet);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Ok(Found::Address(address));
    }
    if let Some(id) = EniId::parse(text) {
        return interface(view, &id).map(Found::Somebody);
    }
    let (kind, name) = match text.split_once('/') {
        Some((kind, name)) if KINDS.contains(&kind) => (Some(kind), name),
        _ => (None, text),
    };
    let asked = |what: &str| kind.is_none_or(|kind| kind == what);
    let mut found = Vec::new();
    if asked("task") {
        found.extend(tasks(view, name)?);
    }
    if asked("service") {
        found.extend(services(view, name)?);
    }
    if asked("alb") {
        found.extend(balancers(view, name));
    }
    let candidates: Vec<String> = found.iter().map(|somebody| somebody.sure.clone()).collect();
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(Found::Somebody(one)),
        (Some(_), false) => Err(Error::Ambiguous { text: text.to_owned(), candidates }),
        (None, _) if text.contains('.') && !text.contains(['/', ':']) => Ok(Found::Name(text.to_owned())),
        (None, _) => Err(not_found(text)),
    }
}

fn not_found(text: &str) -> Error {
    let next = match text.split_once('-').map(|(prefix, _)| prefix) {
        Some("sg" | "subnet" | "vpc" | "rtb" | "acl" | "igw" | "eigw" | "nat" | "vpce" | "pl" | "pcx") => {
            "A path goes between interfaces: name a task, a load balancer, an eni or an address."
        }
        Some("i") => "There are no instances here: name a task, a load balancer, an eni or an address.",
        _ => {
            "List what there is with `aws ecs list-tasks`, `aws elbv2 describe-load-balancers` or \
             `aws ec2 describe-network-interfaces`."
        }
    };
    Error::NotFound { what: format!("task, service, load balancer or interface {text:?}"), next: next.to_owned() }
}

fn interface(view: &View, id: &EniId) -> Result<Somebody, Error> {
    let Some((scope, row)) = find::<NetworkInterface>(view, id.as_str()) else {
        return Err(Error::NotFound {
            what: format!("network interface {id}"),
            next: "List them with `aws ec2 describe-network-interfaces`.".to_owned(),
        });
    };
    Ok(of_interface(view, scope, row))
}

/// The interface itself, by its id.
fn of_interface(view: &View, scope: &Scope, interface: &Arc<NetworkInterface>) -> Somebody {
    let what = owner(view, scope, interface);
    Somebody {
        title: if what.is_empty() { interface.id.to_string() } else { format!("{} ({what})", interface.id) },
        sure: interface.id.to_string(),
        members: vec![Member { scope: scope.clone(), interface: interface.clone(), what }],
        port: None,
        by_dns: false,
    }
}

/// Who has an address, so that packets can start there; nobody if it is outside of all VPCs.
pub(crate) fn at_address(view: &View, address: IpAddr) -> Result<Option<Somebody>, Error> {
    let elastic = view.scan_all::<Address>().filter(|(_, row)| IpAddr::V4(row.public_ip) == address);
    let elastic: Vec<EniId> = elastic.filter_map(|(_, row)| Some(row.association.as_ref()?.1.clone())).collect();
    let has = |row: &NetworkInterface| {
        let automatic = row.auto_public_ip.map(IpAddr::V4) == Some(address);
        row.addresses().any(|own| own == address) || automatic || elastic.contains(&row.id)
    };
    let mut found = view.scan_all::<NetworkInterface>().filter(|(_, row)| has(row));
    let Some((scope, row)) = found.next() else { return Ok(None) };
    let others: Vec<String> = found.map(|(_, row)| row.id.to_string()).collect();
    if others.is_empty() {
        return Ok(Some(of_interface(view, scope, row)));
    }
    let candidates = std::iter::once(row.id.to_string()).chain(others).collect();
    Err(Error::Ambiguous { text: address.to_string(), candidates })
}

fn tasks(view: &View, name: &str) -> Result<Vec<Somebody>, Error> {
    // An ARN's last part is the id, and so is that of `cluster/id`.
    let is_arn = name.starts_with("arn:");
    if is_arn && !name.contains(":task/") {
        return Ok(Vec::new());
    }
    let id = if is_arn { name.rsplit('/').next().unwrap_or(name) } else { name };
    if id.len() < SHORTEST || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Vec::new());
    }
    let begins = view.scan_all::<TaskRow>().filter(|(_, row)| row.id.starts_with(id));
    let mut found = Vec::new();
    let mut gone = None;
    for (scope, task) in begins {
        match member(view, scope, task) {
            Ok(member) => found.push(Somebody {
                title: member.what.clone(),
                sure: format!("task/{}", task.id),
                members: vec![member],
                port: port_of(view, scope, task),
                by_dns: false,
            }),
            Err(error) => gone = Some(error),
        }
    }
    match gone {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// A task's interface.
fn member(view: &View, scope: &Scope, task: &TaskRow) -> Result<Member, Error> {
    let row = task.eni.as_ref().and_then(|eni| vpc::query::interface(view, scope, &eni.id));
    match row {
        Some(interface) => Ok(Member { scope: scope.clone(), interface, what: task_title(task) }),
        None if task.stopped_at.is_some() => Err(Error::Unfit(format!(
            "{} has stopped, and its interface is gone: name a running one",
            task_title(task)
        ))),
        None => Err(Error::Unfit(format!(
            "{} has no interface yet, it is {}: ask again in a moment",
            task_title(task),
            task.last.as_str()
        ))),
    }
}

/// The first port that the task's containers name.
fn port_of(view: &View, scope: &Scope, task: &TaskRow) -> Option<KnownPort> {
    let definition = view.get::<DefinitionRow>(scope, &DefinitionRow::key(&task.family, task.revision))?;
    let mut ports = definition.containers().iter().flat_map(|container| container.port_mappings.iter().flatten());
    let port = ports.find_map(|mapping| mapping.container_port)?;
    Some(KnownPort { number: u16::try_from(port).ok()?, why: "the first port of its containers" })
}

fn services(view: &View, name: &str) -> Result<Vec<Somebody>, Error> {
    let key = match name.split_once(":service/") {
        Some((_, key)) => key,
        None => name,
    };
    let called = |row: &ServiceRow| match key.split_once('/') {
        Some((cluster, name)) => row.cluster == cluster && row.name == name,
        None => row.name == key,
    };
    let mut found = Vec::new();
    for (scope, row) in view.scan_all::<ServiceRow>().filter(|(_, row)| row.deleted_at.is_none() && called(row)) {
        let tasks = view.by_index(&TASKS_BY_SERVICE, scope, &ServiceRow::key(&row.cluster, &row.name));
        let tasks: Vec<&Arc<TaskRow>> = tasks.filter(|task| task.stopped_at.is_none()).collect();
        let members: Vec<Member> = tasks.iter().filter_map(|task| member(view, scope, task).ok()).collect();
        if members.is_empty() {
            return Err(Error::Unfit(format!(
                "service {} of cluster {} has no task with an interface now: see `aws ecs describe-services`",
                row.name, row.cluster
            )));
        }
        found.push(Somebody {
            title: format!("service {}", row.name),
            sure: format!("service/{}/{}", row.cluster, row.name),
            members,
            port: tasks.iter().find_map(|task| port_of(view, scope, task)),
            by_dns: false,
        });
    }
    Ok(found)
}

fn balancers(view: &View, name: &str) -> Vec<Somebody> {
    let lower = name.trim_end_matches('.').to_ascii_lowercase();
    let dns = |row: &LoadBalancer| row.dns_name.to_ascii_lowercase() == lower;
    let called = view.scan_all::<LoadBalancer>().filter(|(_, row)| row.name == name || row.arn == name || dns(row));
    let one = |(scope, row): (&Scope, &Arc<LoadBalancer>)| {
        let interfaces =
            row.nodes.iter().filter_map(|node| vpc::query::interface(view, scope, node.interface.as_str()));
        let members = interfaces.map(|interface| Member {
            scope: scope.clone(),
            what: owner(view, scope, &interface),
            interface,
        });
        let listeners = view.by_index(&Listener::BY_LOAD_BALANCER, scope, &row.arn);
        Somebody {
            title: format!("load balancer {}", row.name),
            sure: row.arn.clone(),
            members: members.collect(),
            port: listeners
                .map(|listener| listener.port)
                .min()
                .map(|number| KnownPort { number, why: "the first of its listeners" }),
            by_dns: true,
        }
    };
    called.map(one).collect()
}

/// The addresses that a name means for an interface with the address `asker` in a VPC.
pub(crate) fn resolve(
    view: &View,
    ground: &Ground,
    (scope, vpc): (&Scope, &VpcId),
    asker: Ipv4Addr,
    name: &str,
) -> Result<Vec<Ipv4Addr>, Error> {
    let zone = Zone::of(view, scope, vpc.as_str(), ground).filter(Zone::answers);
    let Some(zone) = zone else {
        return Err(Error::Unfit(format!("nobody answers questions of names in {vpc}: its enableDnsSupport is off")));
    };
    zone.answer(asker, name, Kind::A, 0).addresses().ok_or_else(|| Error::NotFound {
        what: format!("address of {name} in {vpc}"),
        next: "Only AWS's names and the VPC's own exist here.".to_owned(),
    })
}
