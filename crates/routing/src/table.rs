//! A configuration compiled for routing: immutable, shared by every thread, swapped whole.
//!
//! A rule is filed under its exact or suffix host if it has one, and there under its exact path or path prefix. A request looks up
//! the few drawers that can hold a match: its host, the host's parent domains, and in each its path and the prefixes of it. Only
//! rules of other forms (`*.jpg`, a header) are tried one by one. The lowest priority among the matches wins, as if all rules had been
//! tried in order; a property test holds the two against each other.

use crate::config::{Action, Condition, Listener, ProxyConfig, QueryPair, Rule};
use crate::head::RequestHead;
use crate::pattern::{Pattern, Shape};
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;

/// All listeners of all load balancers, compiled.
#[derive(Debug, Default)]
pub struct RoutingTable {
    listeners: HashMap<String, ListenerTable>,
}

impl RoutingTable {
    /// Compiles a configuration.
    pub fn compile(config: &ProxyConfig) -> Self {
        let listeners = config.load_balancers.iter().flat_map(|lb| &lb.listeners);
        Self { listeners: listeners.map(|one| (one.arn.clone(), ListenerTable::compile(one))).collect() }
    }

    /// The table of the listener with this ARN.
    pub fn listener(&self, arn: &str) -> Option<&ListenerTable> {
        self.listeners.get(arn)
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'t> {
    /// The rule that matched.
    pub rule_arn: &'t str,
    /// Its priority; 0 for the default rule, as the access log writes it.
    pub priority: u32,
    /// What it does.
    pub action: &'t Action,
}

/// A listener's rules, compiled.
#[derive(Debug)]
pub struct ListenerTable {
    rules: Vec<Compiled>,
    exact_hosts: HashMap<Box<[u8]>, PathIndex>,
    /// Keyed by what follows the star, e.g. `.example.com`.
    suffix_hosts: HashMap<Box<[u8]>, PathIndex>,
    any_host: PathIndex,
    default_rule_arn: String,
    default_action: Action,
}

#[derive(Debug)]
struct Compiled {
    arn: String,
    priority: u32,
    tests: Vec<Test>,
    action: Action,
}

#[derive(Debug)]
enum Test {
    Host(Vec<Pattern>),
    Path(Vec<Pattern>),
    Header(String, Vec<Pattern>),
    Method(Vec<String>),
    Query(Vec<(Option<Pattern>, Pattern)>),
    Source(Vec<IpNet>),
}

impl ListenerTable {
    /// Compiles a listener's rules, whatever order they come in.
    pub fn compile(listener: &Listener) -> Self {
        let mut ordered: Vec<&Rule> = listener.rules.iter().collect();
        ordered.sort_by_key(|rule| rule.priority);
        let mut table = Self {
            rules: ordered.iter().map(|rule| Compiled::new(rule)).collect(),
            exact_hosts: HashMap::new(),
            suffix_hosts: HashMap::new(),
            any_host: PathIndex::default(),
            default_rule_arn: listener.default_rule_arn.clone(),
            default_action: listener.default_action.clone(),
        };
        for (at, rule) in table.rules.iter().enumerate() {
            let at = at as u32;
            let paths = rule.path_shapes();
            match rule.host_shapes() {
                None => table.any_host.file(at, paths.as_deref()),
                Some(hosts) => {
                    for host in hosts {
                        let index = match host {
                            Shape::Exact(host) => table.exact_hosts.entry(host.into()).or_default(),
                            Shape::Suffix(host) => table.suffix_hosts.entry(host.into()).or_default(),
                            Shape::Prefix(_) | Shape::Other => &mut table.any_host,
                        };
                        index.file(at, paths.as_deref());
                    }
                }
            }
        }
        table.any_host.finish();
        table.exact_hosts.values_mut().chain(table.suffix_hosts.values_mut()).for_each(PathIndex::finish);
        table
    }

    /// What becomes of a request.
    pub fn route(&self, head: &RequestHead<'_>) -> Decision<'_> {
        let mut best = u32::MAX;
        let mut consider = |index: &PathIndex| {
            index.each(head.path.as_bytes(), &mut |drawer| {
                for at in drawer.iter().take_while(|at| **at < best) {
                    if self.rules.get(*at as usize).is_some_and(|rule| rule.matches(head)) {
                        best = *at;
                        break;
                    }
                }
            });
        };
        consider(&self.any_host);
        if !(self.exact_hosts.is_empty() && self.suffix_hosts.is_empty()) {
            let host = head.host.to_ascii_lowercase();
            let host = host.as_bytes();
            if let Some(index) = self.exact_hosts.get(host) {
                consider(index);
            }
            if !self.suffix_hosts.is_empty() {
                // only suffixes that begin with a dot or are the whole host are filed
                for at in (0..host.len()).filter(|at| host[*at] == b'.') {
                    if let Some(index) = self.suffix_hosts.get(&host[at..]) {
                        consider(index);
                    }
                }
            }
        }
        self.rules.get(best as usize).map_or_else(
            || Decision { rule_arn: &self.default_rule_arn, priority: 0, action: &self.default_action },
            |rule| Decision { rule_arn: &rule.arn, priority: rule.priority, action: &rule.action },
        )
    }
}

impl Compiled {
    fn new(rule: &Rule) -> Self {
        Self {
            arn: rule.arn.clone(),
            priority: rule.priority,
            tests: rule.conditions.iter().map(Test::new).collect(),
            action: rule.action.clone(),
        }
    }

    fn matches(&self, head: &RequestHead<'_>) -> bool {
        self.tests.iter().all(|test| test.holds(head))
    }

    /// The shapes of the first host condition, if an index can hold them all.
    fn host_shapes(&self) -> Option<Vec<Shape>> {
        let patterns =
            self.tests.iter().find_map(|test| if let Test::Host(patterns) = test { Some(patterns) } else { None })?;
        let shapes: Vec<Shape> = patterns.iter().map(Pattern::shape).collect();
        let filed = |shape: &Shape| match shape {
            Shape::Exact(_) => true,
            Shape::Suffix(suffix) => suffix.first() == Some(&b'.'),
            Shape::Prefix(_) | Shape::Other => false,
        };
        shapes.iter().all(filed).then_some(shapes)
    }

    /// The shapes of the first path condition, if an index can hold them all.
    fn path_shapes(&self) -> Option<Vec<Shape>> {
        let patterns =
            self.tests.iter().find_map(|test| if let Test::Path(patterns) = test { Some(patterns) } else { None })?;
        let shapes: Vec<Shape> = patterns.iter().map(Pattern::shape).collect();
        shapes.iter().all(|shape| matches!(shape, Shape::Exact(_) | Shape::Prefix(_))).then_some(shapes)
    }
}

impl Test {
    fn new(condition: &Condition) -> Self {
        let any_case = |values: &[String]| values.iter().map(|text| Pattern::any_case(text)).collect();
        match condition {
            Condition::HostHeader(values) => Self::Host(any_case(values)),
            Condition::PathPattern(values) => Self::Path(values.iter().map(|text| Pattern::exact_case(text)).collect()),
            Condition::HttpHeader { name, values } => Self::Header(name.clone(), any_case(values)),
            Condition::HttpRequestMethod(values) => Self::Method(values.clone()),
            Condition::QueryString(pairs) => {
                let pair =
                    |pair: &QueryPair| (pair.key.as_deref().map(Pattern::any_case), Pattern::any_case(&pair.value));
                Self::Query(pairs.iter().map(pair).collect())
            }
            Condition::SourceIp(nets) => Self::Source(nets.clone()),
        }
    }

    fn holds(&self, head: &RequestHead<'_>) -> bool {
        let any = |patterns: &[Pattern], text: &[u8]| patterns.iter().any(|pattern| pattern.matches(text));
        match self {
            Self::Host(patterns) => any(patterns, head.host.as_bytes()),
            Self::Path(patterns) => any(patterns, head.path.as_bytes()),
            Self::Header(name, patterns) => head.headers.any(name, &mut |value| any(patterns, value)),
            Self::Method(methods) => methods.iter().any(|method| method == head.method),
            Self::Query(pairs) => {
                let parameters = head.query.unwrap_or_default().split('&');
                parameters.filter(|parameter| !parameter.is_empty()).any(|parameter| {
                    let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                    pairs.iter().any(|(wanted, pattern)| {
                        wanted.as_ref().is_none_or(|wanted| wanted.matches(key.as_bytes()))
                            && pattern.matches(value.as_bytes())
                    })
                })
            }
            Self::Source(nets) => {
                let source = unmapped(head.source);
                nets.iter().any(|net| net.contains(&source))
            }
        }
    }
}

/// `::ffff:10.0.0.1`, as a socket for both families shows it, is `10.0.0.1`.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Rules by path. A drawer holds the numbers of rules, ascending.
#[derive(Debug, Default)]
struct PathIndex {
    exact: HashMap<Box<[u8]>, Vec<u32>>,
    /// Sorted by prefix.
    prefixes: Vec<Prefix>,
    others: Vec<u32>,
}

#[derive(Debug)]
struct Prefix {
    text: Box<[u8]>,
    rules: Vec<u32>,
    /// The longest other prefix that this one begins with.
    parent: Option<u32>,
}

impl PathIndex {
    fn file(&mut self, rule: u32, paths: Option<&[Shape]>) {
        let push = |drawer: &mut Vec<u32>| {
            // a rule with two values may come to the same drawer twice
            if drawer.last() != Some(&rule) {
                drawer.push(rule);
            }
        };
        for path in paths.unwrap_or(&[Shape::Other]) {
            match path {
                Shape::Exact(text) => push(self.exact.entry(text.as_slice().into()).or_default()),
                Shape::Prefix(text) => match self.prefixes.binary_search_by(|have| (*have.text).cmp(text.as_slice())) {
                    Ok(at) => push(&mut self.prefixes[at].rules),
                    Err(at) => self
                        .prefixes
                        .insert(at, Prefix { text: text.as_slice().into(), rules: vec![rule], parent: None }),
                },
                Shape::Suffix(_) | Shape::Other => push(&mut self.others),
            }
        }
    }

    /// Links each prefix to its parent, once all are filed.
    fn finish(&mut self) {
        let mut open: Vec<u32> = Vec::new();
        for at in 0..self.prefixes.len() {
            while let Some(last) = open.last() {
                if self.prefixes[at].text.starts_with(&self.prefixes[*last as usize].text) {
                    break;
                }
                open.pop();
            }
            self.prefixes[at].parent = open.last().copied();
            open.push(at as u32);
        }
    }

    /// Hands over every drawer that can hold a rule for `path`.
    fn each(&self, path: &[u8], take: &mut dyn FnMut(&[u32])) {
        if let Some(drawer) = self.exact.get(path) {
            take(drawer);
        }
        // all prefixes of the path are ancestors of the last prefix that is not after it
        let after = self.prefixes.partition_point(|prefix| *prefix.text <= *path);
        let mut next = after.checked_sub(1);
        while let Some(prefix) = next.and_then(|at| self.prefixes.get(at)) {
            if path.starts_with(&prefix.text) {
                take(&prefix.rules);
            }
            next = prefix.parent.map(|at| at as usize);
        }
        take(&self.others);
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
