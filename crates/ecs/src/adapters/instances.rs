//! The instances port on the `vpc` crate.

use crate::ports::{Ec2Instance, Instances, Standing};
use crate::rows::EniRow;
use store::{Row, View};
use types::Scope;
use vpc::query;
use vpc::rows::InstanceState;

/// The tag by which an Auto Scaling group's instances know it.
const GROUP: &str = "aws:autoscaling:groupName";

/// EC2's instances.
pub struct RealInstances;

impl Instances for RealInstances {
    fn standing(&self, view: &View, scope: &Scope, id: &str) -> Standing {
        let Some(row) = query::instance(view, scope, id) else { return Standing::Gone };
        match query::running_instance(view, scope, id).and_then(|running| ready(view, scope, running)) {
            Some(instance) => Standing::Ready(Box::new(instance)),
            None if matches!(row.state, InstanceState::ShuttingDown | InstanceState::Terminated) => Standing::Gone,
            None => Standing::Away,
        }
    }

    fn all(&self, view: &View) -> Vec<(Scope, String)> {
        view.scan_all::<vpc::rows::Instance>().map(|(scope, row)| (scope.clone(), row.id().into_owned())).collect()
    }

    fn tables(&self) -> &'static [&'static str] {
        &query::INSTANCE_TABLES
    }
}

fn ready(view: &View, scope: &Scope, running: query::RunningInstance) -> Option<Ec2Instance> {
    Some(Ec2Instance {
        eni: interface(view, scope, running.interface.as_str())?,
        id: running.id.to_string(),
        kind: running.instance_type,
        image: running.image.to_string(),
        agent_version: query::AGENT_VERSION.to_owned(),
        zone: running.zone,
        subnet: running.subnet.to_string(),
        cpu: running.cpu_units,
        memory: u32::try_from(running.memory_mib).unwrap_or(u32::MAX),
        interfaces: u32::try_from(running.most_interfaces.saturating_sub(1)).unwrap_or(u32::MAX),
        namespace: running.namespace,
        role: running.role,
        config: running.ecs_config,
        group: running.tags.get(GROUP).cloned(),
        booted: running.booted,
    })
}

/// An interface as tasks see their own.
fn interface(view: &View, scope: &Scope, id: &str) -> Option<EniRow> {
    let interface = query::interface(view, scope, id)?;
    let subnet = query::subnet(view, scope, interface.subnet.as_str())?;
    let ip = interface.private_ip()?;
    let dhcp = query::vpc(view, scope, interface.vpc.as_str()).map(|vpc| query::dhcp(view, scope, &vpc));
    let dhcp = dhcp.unwrap_or_default();
    Some(EniRow {
        id: interface.id.to_string(),
        ip,
        ipv6: interface.ipv6.first().copied(),
        mac: interface.mac_text(),
        private_dns: Some(vpc::names::private_name(&scope.region, ip)),
        vpc: interface.vpc.to_string(),
        subnet_cidr: subnet.cidr.to_string(),
        subnet_ipv6_cidr: subnet.ipv6.as_ref().map(|(_, cidr)| cidr.to_string()),
        dns_servers: dhcp.name_servers,
        dns_search: dhcp.domains,
    })
}
