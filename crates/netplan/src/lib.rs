//! From VPCs, subnets, route tables, groups and interfaces to namespaces, links, routes and packet filters: the network
//! as a plan.
//!
//! [`NetworkState`] holds AWS's nouns. [`compile`] turns it into a [`FabricPlan`], which is what the kernel must hold,
//! as plain data: it can be printed, compared and stored. [`FabricPlan::diff`] is the ordered list of [`Step`]s from one
//! plan to another. Nothing here does I/O or knows netlink: crate `fabric` carries the steps out and has no choice left.
//!
//! The plan is built so that a mistake fails closed: every router's filter drops what no rule accepts, keys are names of
//! interfaces rather than their numbers, and so a filter may be in force before its interfaces exist.

mod boxes;
mod compile;
mod diff;
mod family;
mod ground;
mod index;
mod name;
mod parts;
mod plan;
mod rules;
mod ruleset;
mod state;
pub mod verdicts;
pub mod walk;

pub use compile::{Planner, compile, link_name, router_netns};
pub use diff::{FilterChange, Step};
pub use family::Family;
pub use ground::Ground;
pub use parts::{PlanParts, is_router};
pub use plan::{
    Address, Cable, End, FabricPlan, INTERNET, Namespace, Neighbour, OUTBOUND, OUTBOUND_DEVICE, Place, Route,
    RouteAction, RoutingRule,
};
pub use ruleset::{
    Action, Chain, ChainHook, Element, Field, Match, Range, Rule, Ruleset, Selector, Set, Value, ValueKind, Verdict,
};
pub use state::{
    AclEntry, Attachment, Behind, Destination, EgressOnlyInternetGateway, ForwardedPort, GatewayEndpoint, GroupRule,
    InterfaceAddress, InternetGateway, MacAddress, NatGateway, NetworkAcl, NetworkInterface, NetworkState, Peer,
    PortRange, RouteEntry, RouteTable, RouteTarget, SecurityGroup, Subnet, Traffic, Vpc, VpcPeering,
};
