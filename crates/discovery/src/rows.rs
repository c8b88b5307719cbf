//! What Cloud Map keeps in the store.

use crate::ids;
use model::Stored;
use model::servicediscovery as shape;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::{Index, Row};
use types::{Scope, Timestamp};

/// Tags, by key.
pub type Tags = BTreeMap<String, String>;

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// `ns-…`.
    pub id: String,
    /// Its name, which is a domain where it has one.
    pub name: String,
    /// What answers its names besides DiscoverInstances.
    pub zone: Option<PrivateZone>,
    /// A description.
    pub description: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// `CreatorRequestId` of its creation.
    pub creator_request: Option<String>,
    /// The operation that made it.
    pub operation: String,
    /// Its tags.
    pub tags: Tags,
}

/// The zone of a namespace in its VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateZone {
    /// The VPC.
    pub vpc: String,
    /// The hosted zone's id.
    pub hosted_zone: String,
    /// The TTL of its SOA record: how long it is remembered that a name is not there.
    pub soa_ttl: u32,
}

impl Namespace {
    /// The namespaces with a zone in a VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |row| row.zone.iter().map(|zone| zone.vpc.clone()).collect());
    /// The namespaces of a name.
    pub const BY_NAME: Index<Self> = Index::new("name", |row| vec![row.name.clone()]);

    /// Its ARN.
    pub fn arn(&self, scope: &Scope) -> String {
        ids::namespace_arn(scope, &self.id)
    }

    /// `DNS_PRIVATE` or `HTTP`.
    pub fn kind(&self) -> &'static str {
        if self.zone.is_some() { "DNS_PRIVATE" } else { "HTTP" }
    }
}

impl Row for Namespace {
    const TABLE: &'static str = "servicediscovery-namespaces";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.id)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_VPC, Self::BY_NAME]
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// `srv-…`.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name, unique in the namespace.
    pub name: String,
    /// A description.
    pub description: Option<String>,
    /// Its records, of namespaces with a zone; none where it is for DiscoverInstances alone.
    pub dns: Option<Stored<shape::DnsConfig>>,
    /// Somebody tells the health of its instances.
    pub custom_health: bool,
    /// Its own attributes.
    pub attributes: BTreeMap<String, String>,
    /// Grows with every change of its instances.
    pub revision: i64,
    /// When it was made.
    pub created: Timestamp,
    /// `CreatorRequestId` of its creation.
    pub creator_request: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl Service {
    /// The services of a namespace.
    pub const BY_NAMESPACE: Index<Self> = Index::new("namespace", |row| vec![row.namespace.clone()]);

    /// Its ARN.
    pub fn arn(&self, scope: &Scope) -> String {
        ids::service_arn(scope, &self.id)
    }

    /// Its records.
    pub fn records(&self) -> &[shape::DnsRecord] {
        self.dns.as_ref().map_or(&[], |dns| &dns.0.dns_records)
    }

    /// The TTL of its records of a type, if it has such.
    pub fn ttl(&self, kind: &str) -> Option<u32> {
        let record = self.records().iter().find(|record| record.type_ == kind)?;
        Some(u32::try_from(record.ttl).unwrap_or(0))
    }

    /// Whether one instance is told at a time.
    pub fn is_weighted(&self) -> bool {
        self.dns.as_ref().is_some_and(|dns| dns.0.routing_policy.as_deref() == Some("WEIGHTED"))
    }

    /// `DNS_HTTP` or `HTTP`.
    pub fn kind(&self) -> &'static str {
        if self.dns.is_some() { "DNS_HTTP" } else { "HTTP" }
    }
}

impl Row for Service {
    const TABLE: &'static str = "servicediscovery-services";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.id)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_NAMESPACE]
    }
}

/// Whether an instance is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// It is.
    #[serde(rename = "HEALTHY")]
    Healthy,
    /// It is not.
    #[serde(rename = "UNHEALTHY")]
    Unhealthy,
}

impl Health {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }

    /// What AWS writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Healthy, Self::Unhealthy].into_iter().find(|health| health.as_str() == text)
    }
}

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The service.
    pub service: String,
    /// Its id, unique in the service.
    pub id: String,
    /// What is known of it: AWS's attributes and others.
    pub attributes: BTreeMap<String, String>,
    /// Its health, as far as somebody tells of it.
    pub health: Health,
    /// What was reported, and when it takes effect.
    pub reported: Option<(Health, Timestamp)>,
    /// `CreatorRequestId` of its registration.
    pub creator_request: Option<String>,
    /// The operation that registered it.
    pub operation: String,
}

impl Instance {
    /// The instances of a service.
    pub const BY_SERVICE: Index<Self> = Index::new("service", |row| vec![row.service.clone()]);

    /// The key of an instance.
    pub fn key(service: &str, id: &str) -> String {
        format!("{service} {id}")
    }
}

impl Row for Instance {
    const TABLE: &'static str = "servicediscovery-instances";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.service, &self.id))
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_SERVICE]
    }
}

/// What a request began. Here it is over when the request is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// `CREATE_NAMESPACE` and the like.
    pub kind: String,
    /// Why it failed, if it did: a code and a text.
    pub failure: Option<(String, String)>,
    /// When.
    pub at: Timestamp,
    /// What it was about: `NAMESPACE`, `SERVICE`, `INSTANCE` and their ids.
    pub targets: BTreeMap<String, String>,
}

impl Operation {
    /// `SUCCESS` or `FAIL`.
    pub fn status(&self) -> &'static str {
        if self.failure.is_some() { "FAIL" } else { "SUCCESS" }
    }
}

impl Row for Operation {
    const TABLE: &'static str = "servicediscovery-operations";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.id)
    }
}
