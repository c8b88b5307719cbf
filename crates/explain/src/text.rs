//! An answer as a person reads it: a line a hop, then what refuses and what to change.

use crate::answer::{Answer, Place, Way};
use crate::probe::{Outcome, Probed};
use crate::remedy::{peer, target, traffic};
use netplan::RouteEntry;
use netplan::walk::{Direction, GroupDecision, Hop, Reason, RouteTaken, Station};
use std::collections::BTreeMap;
use std::fmt::Write;

/// How wide the column of stations is.
const WIDTH: usize = 22;

/// The answer in words; with `colours` for a terminal that shows them.
pub fn render(answer: &Answer, colours: bool) -> String {
    Page { answer, colours, out: String::new() }.write()
}

struct Page<'a> {
    answer: &'a Answer,
    colours: bool,
    out: String,
}

/// SGR parameters. Source: ECMA-48, 8.3.117.
#[derive(Clone, Copy)]
enum Colour {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
}

impl Page<'_> {
    fn write(mut self) -> String {
        let Answer { from, to, protocol, port, port_because, ways, more, .. } = self.answer;
        let sent = match port {
            Some(port) => format!("{} {port}", protocol.as_str()),
            None => "ping".to_owned(),
        };
        let title = self.paint(Colour::Bold, &format!("{from} → {to}, {sent}"));
        let because = port_because.as_ref().map(|why| self.paint(Colour::Dim, &format!(" ({why})")));
        self.line(&format!("{title}{}", because.unwrap_or_default()));
        // One way is told whole: the first that does not pass, for it is what people ask for.
        let told = ways.iter().position(|way| !way.walk.passes()).unwrap_or(0);
        if let Some(way) = ways.get(told) {
            self.way(way);
        }
        if ways.len() > 1 {
            self.line("");
            let passing = ways.iter().filter(|way| way.walk.passes()).count();
            let count = format!("{passing} of {} ways pass", ways.len());
            self.line(&match more {
                0 => format!("{count}:"),
                more => format!("{count}, and {more} more were not tried:"),
            });
            for way in ways {
                self.summary(way);
            }
        }
        self.out
    }

    fn way(&mut self, way: &Way) {
        self.line("");
        self.hops(&way.walk.request);
        if !way.walk.reply.is_empty() {
            self.line(&self.paint(Colour::Dim, "  and the answer"));
            self.hops(&way.walk.reply);
        }
        self.line("");
        match &way.walk.refusal {
            None => {
                let verdict = self.paint(Colour::Green, "It passes, and so does the answer.");
                self.line(&verdict);
            }
            Some(refusal) => {
                let what = if way.walk.reply.is_empty() { "It is refused" } else { "The answer is refused" };
                let packet = way.walk.reply.last().or(way.walk.request.last()).map(|hop| hop.packet.to_string());
                let verdict = self.paint(Colour::Red, what);
                self.line(&format!("{verdict}: {}.", self.named(&refusal.reason.to_string())));
                if let Some(packet) = packet {
                    self.pair("Packet", &packet);
                }
                self.changes(way);
            }
        }
        if let Some(probe) = &way.probe {
            self.probe(probe);
        }
    }

    fn changes(&mut self, way: &Way) {
        for (n, change) in way.changes.iter().enumerate() {
            self.pair(if n == 0 { "Fix" } else { "Then" }, &self.named(&change.text));
            if let Some(command) = &change.command {
                self.pair("", command);
            }
        }
        if way.changes.is_empty() {
            let hint = self.named(&hint(way));
            self.pair("Fix", &hint);
        } else if !way.then_passes {
            self.pair("", "Ask again after that: more may stand in the way.");
        }
    }

    fn probe(&mut self, probe: &Probed) {
        let packet = probe.packet.as_ref().map(|packet| format!("{packet}: ")).unwrap_or_default();
        let text = format!("{packet}{}", outcome(&probe.outcome));
        let (colour, verdict) = match probe.agrees {
            Some(true) => (Colour::Green, "as explained"),
            Some(false) => (Colour::Red, "NOT as explained: please report this"),
            None => (Colour::Yellow, "which proves nothing"),
        };
        let verdict = self.paint(colour, verdict);
        self.pair("Probe", &format!("{text}, {verdict}"));
    }

    fn summary(&mut self, way: &Way) {
        let mark = self.mark(way.walk.passes());
        let place = |place: &Place| match (&place.interface, place.what.as_str()) {
            (Some(interface), _) => format!("{} {interface}", place.address),
            (None, "") => place.address.to_string(),
            (None, what) => format!("{} {what}", place.address),
        };
        let why = way.walk.refusal.as_ref().map(|refusal| format!(": {}", self.named(&refusal.reason.to_string())));
        let probe = way.probe.as_ref().map(|probe| match probe.agrees {
            Some(true) => " (probed)".to_owned(),
            Some(false) => " (the probe DISAGREES)".to_owned(),
            None => String::new(),
        });
        let ends = format!("{} → {}", place(&way.from), place(&way.to));
        self.line(&format!("  {mark} {ends}{}{}", why.unwrap_or_default(), probe.unwrap_or_default()));
    }

    fn hops(&mut self, hops: &[Hop]) {
        for hop in hops {
            let mark = self.mark(hop.passes);
            let (station, detail) = match &hop.station {
                Station::LocalService { vpc } if !hop.passes => {
                    ("local service", format!("does not answer it in {}", self.named(vpc.as_str())))
                }
                station => self.station(station),
            };
            let station = format!("{station:<WIDTH$}");
            let station = if hop.passes { station } else { self.paint(Colour::Red, &station) };
            self.line(&format!("  {mark} {station}{detail}"));
        }
    }

    fn station(&self, what: &Station) -> (&'static str, String) {
        station(what, |text| self.named(text))
    }

    /// The text, with each id's name behind it.
    fn named(&self, text: &str) -> String {
        with_names(text, &self.answer.names, |name| self.paint(Colour::Dim, name))
    }

    fn mark(&self, passes: bool) -> String {
        if passes { self.paint(Colour::Green, "✓") } else { self.paint(Colour::Red, "✗") }
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        // A colour within ends the one around it.
        if self.colours && !text.contains('\x1b') {
            format!("\x1b[{}m{text}\x1b[0m", colour as u8)
        } else {
            text.to_owned()
        }
    }

    fn pair(&mut self, name: &str, text: &str) {
        self.line(&format!("{name:<8}{text}"));
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }
}

/// A station's kind, and what it is or says there; `named` puts names behind ids.
pub(crate) fn station(station: &Station, named: impl Fn(&str) -> String) -> (&'static str, String) {
    let id = |id: &dyn ToString| named(&id.to_string());
    match station {
        Station::Interface { interface, subnet } => {
            let subnet = subnet.as_ref().map(|subnet| format!(" in {}", id(subnet))).unwrap_or_default();
            ("interface", format!("{}{subnet}", id(interface)))
        }
        Station::SecurityGroups { groups, direction, decision, .. } => {
            let station = match direction {
                Direction::Egress => "security group, out",
                Direction::Ingress => "security group, in",
            };
            let ids = || groups.iter().map(|group| id(group)).collect::<Vec<_>>().join(", ");
            let detail = match decision {
                GroupDecision::Rule { group, rule } => {
                    let preposition = if *direction == Direction::Ingress { "from" } else { "to" };
                    let who = named(&peer(&rule.peer));
                    format!("{} allows {} {preposition} {who}", id(group), traffic(rule.traffic))
                }
                GroupDecision::Known => format!("{} knows the connection", ids()),
                GroupDecision::NoRule if groups.is_empty() => "there is none".to_owned(),
                GroupDecision::NoRule => format!("{} has no rule for it", ids()),
            };
            (station, detail)
        }
        Station::NetworkAcl { acl, direction, entry, .. } => {
            let station = match direction {
                Direction::Egress => "network ACL, out",
                Direction::Ingress => "network ACL, in",
            };
            let detail = match entry {
                Some(entry) => {
                    let verb = if entry.allow { "allows" } else { "denies" };
                    let preposition = if *direction == Direction::Ingress { "from" } else { "to" };
                    let what = traffic(entry.traffic);
                    format!("{} entry {} {verb} {what} {preposition} {}", id(acl), entry.number, entry.cidr)
                }
                None => format!("{} entry * denies all", id(acl)),
            };
            (station, detail)
        }
        Station::RouteTable { table, route, .. } => {
            let detail = match route {
                RouteTaken::Route { block, route: RouteEntry { target: to, .. } } => {
                    format!("{}: {block} → {}", id(table), named(&target(to)))
                }
                RouteTaken::Local { block } => format!("{}: {block} → local", id(table)),
                RouteTaken::None => format!("{} has no route", id(table)),
            };
            ("route table", detail)
        }
        Station::InternetGateway { gateway, private, public, .. } => {
            let detail = match public {
                Some(public) if public == private => format!("{}: {private} is the same outside", id(gateway)),
                Some(public) => format!("{}: {private} is {public} outside", id(gateway)),
                None => format!("{}: {private} has no public address", id(gateway)),
            };
            ("internet gateway", detail)
        }
        Station::EgressOnlyInternetGateway { gateway, .. } => {
            ("egress-only gateway", format!("{}: out, and answers back", id(gateway)))
        }
        Station::NatGateway { nat_gateway, address, .. } => {
            ("NAT gateway", format!("{}: its {address} stands for the sender", id(nat_gateway)))
        }
        Station::Peering { connection, vpc } => ("peering connection", format!("{} to {}", id(connection), id(vpc))),
        Station::GatewayEndpoint { endpoint } => ("gateway endpoint", id(endpoint)),
        Station::LocalService { vpc } => ("local service", format!("answers in {}, whatever its rules say", id(vpc))),
        Station::Outside => ("outside", "beyond all VPCs".to_owned()),
    }
}

/// The text, with each id's name behind it, painted.
pub(crate) fn with_names(text: &str, names: &BTreeMap<String, String>, paint: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        out.push_str(before);
        out.push_str(word);
        if let Some(name) = names.get(word) {
            let _ = write!(out, " {}", paint(&format!("({name})")));
        }
        rest = after;
    }
    out + rest
}

/// What to do where no change is known that can be told as a command.
fn hint(way: &Way) -> String {
    let from = way.walk.request.first().map(|hop| &hop.station);
    let hint = match way.walk.refusal.as_ref().map(|refusal| &refusal.reason) {
        Some(Reason::NobodyOutside { .. }) => "none is needed for AWS, where this way goes on into the internet",
        Some(Reason::PrivateOutside { .. }) => {
            "reach it through a load balancer that faces the internet, or give it a public address"
        }
        Some(Reason::NoInstance { .. }) => {
            "none: a task's own metadata and credentials are where ECS_CONTAINER_METADATA_URI_V4 and \
             AWS_CONTAINER_CREDENTIALS_RELATIVE_URI say"
        }
        Some(Reason::NatGatewayLoop { nat_gateway, subnet }) => {
            let senders = matches!(from, Some(Station::Interface { subnet: Some(from), .. }) if from == subnet);
            return if senders {
                format!(
                    "{nat_gateway} cannot serve its own subnet: make one in another subnet, whose route table sends \
                     0.0.0.0/0 to the VPC's internet gateway, and have the route here lead to that"
                )
            } else {
                format!(
                    "create a route table that sends 0.0.0.0/0 to the VPC's internet gateway, and associate {subnet} \
                     with it"
                )
            };
        }
        _ => "no rule or route would help here",
    };
    hint.to_owned()
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Connected => "it connected".to_owned(),
        Outcome::PortClosed => "it arrived, and nobody listens on that port".to_owned(),
        Outcome::Reset => "it arrived, and the connection was reset".to_owned(),
        Outcome::Answered => "it was answered".to_owned(),
        Outcome::Silence => "nothing came back".to_owned(),
        Outcome::NotSent { why } => format!("not sent, {why}"),
    }
}
