//! A proxy in this process, targets that do as a test says, and a client that shows every byte.
// each test file is a crate of its own and uses a part of this
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use proxy::{ProxyHandle, Statuses};
use routing::config::{
    Action, Attributes, Certificate, FixedResponse, Forward, HealthCheck, Listener, LoadBalancer, Node, Protocol, Rule,
    Target, TargetGroup, TargetGroupAttributes, TargetState, WeightedGroup,
};
use routing::health::State;
use routing::{ProxyConfig, Status};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy with its control connection.
pub struct Rig {
    pub run_dir: tempfile::TempDir,
    pub handle: ProxyHandle,
    pub seen: watch::Receiver<Seen>,
    generation: u64,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

/// What the proxy has told.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub applied: u64,
    pub failures: Vec<routing::status::ListenerFailure>,
    pub health: BTreeMap<(String, SocketAddr), routing::TargetHealth>,
    pub draining: BTreeMap<(String, SocketAddr), Vec<u64>>,
    pub counters: Option<Status>,
    pub hello: Option<u64>,
}

pub fn listen(mut statuses: Statuses) -> watch::Receiver<Seen> {
    let (send, receive) = watch::channel(Seen::default());
    tokio::spawn(async move {
        while let Ok(Some(status)) = statuses.next().await {
            send.send_modify(|seen| match status {
                Status::Hello { generation, .. } => seen.hello = Some(generation),
                Status::Applied { generation, failures } => {
                    seen.applied = generation;
                    seen.failures = failures;
                }
                Status::Health { target_group, target, health } => {
                    seen.health.insert((target_group, target), health);
                }
                Status::Draining { target_group, target, in_flight } => {
                    seen.draining.entry((target_group, target)).or_default().push(in_flight);
                }
                counters @ Status::Counters { .. } => seen.counters = Some(counters),
            });
        }
    });
    receive
}

impl Rig {
    pub async fn start() -> Self {
        let run_dir = tempfile::tempdir().unwrap();
        let path = run_dir.path().to_owned();
        let thread = std::thread::spawn(move || proxy::process::run(&path, Some(2)));
        let (handle, statuses) = ProxyHandle::connect_within(run_dir.path(), PATIENCE).await.unwrap();
        Self { run_dir, handle, seen: listen(statuses), generation: 0, thread: Some(thread) }
    }

    /// Applies a configuration and waits until it is in force.
    pub async fn apply(&mut self, load_balancers: Vec<LoadBalancer>, target_groups: Vec<TargetGroup>) {
        self.generation += 1;
        let generation = self.generation;
        self.handle
            .apply(ProxyConfig { generation, load_balancers, target_groups, ..ProxyConfig::default() })
            .await
            .unwrap();
        self.until("the configuration in force", |seen| seen.applied >= generation).await;
    }

    /// The same, and waits until every active target has passed a check.
    pub async fn serve(&mut self, load_balancers: Vec<LoadBalancer>, target_groups: Vec<TargetGroup>) {
        let active = |target: &&Target| target.state == TargetState::Active;
        let all: Vec<_> = target_groups
            .iter()
            .flat_map(|g| g.targets.iter().filter(active).map(|t| (g.arn.clone(), t.id())))
            .collect();
        self.apply(load_balancers, target_groups).await;
        for key in all {
            self.until_state(&key.0, key.1, State::Healthy).await;
        }
    }

    pub async fn until_state(&mut self, group: &str, target: SocketAddr, state: State) {
        let key = (group.to_owned(), target);
        self.until(&format!("{target} {}", state.as_str()), |seen| {
            seen.health.get(&key).is_some_and(|h| h.state == state)
        })
        .await;
    }

    pub async fn until(&mut self, what: &str, test: impl Fn(&Seen) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, self.seen.wait_for(|seen| test(seen))).await;
        let fine = matches!(waited, Ok(Ok(_)));
        drop(waited);
        assert!(fine, "expected {what}; the proxy told {:?}", self.seen.borrow());
    }

    pub async fn stop(mut self) {
        self.handle.shutdown().await.unwrap();
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join()).await.unwrap().unwrap().unwrap();
        assert!(!proxy::socket_path(self.run_dir.path()).exists(), "the control socket was left behind");
    }
}

/// A port of loopback that is free now.
pub async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

pub fn node() -> Node {
    Node { netns: None, address: [127, 0, 0, 1].into(), zone: "us-east-1a".to_owned() }
}

pub fn balancer(listeners: Vec<Listener>) -> LoadBalancer {
    LoadBalancer {
        arn: "arn:lb".to_owned(),
        name: "lb".to_owned(),
        dns_name: "lb.test".to_owned(),
        nodes: vec![node()],
        attributes: Attributes::default(),
        listeners,
    }
}

pub fn listener(port: u16, default_action: Action) -> Listener {
    Listener {
        arn: format!("arn:listener/{port}"),
        port,
        protocol: Protocol::Http,
        also_at: vec![],
        certificates: vec![],
        ssl_policy: None,
        rules: vec![],
        default_action,
        default_rule_arn: "arn:rule/default".to_owned(),
    }
}

pub fn https(port: u16, names: &[&[&str]], default_action: Action) -> Listener {
    let certificates = names
        .iter()
        .map(|names| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
            Certificate {
                arn: names[0].clone(),
                chain_pem: made.cert.pem(),
                key_pem: made.signing_key.serialize_pem(),
                names,
            }
        })
        .collect();
    Listener { protocol: Protocol::Https, certificates, ..listener(port, default_action) }
}

pub fn rule(priority: u32, conditions: Vec<routing::config::Condition>, action: Action) -> Rule {
    Rule { arn: format!("arn:rule/{priority}"), priority, conditions, action }
}

pub fn forward(group: &str) -> Action {
    weighted(&[(group, 1)])
}

pub fn weighted(groups: &[(&str, u32)]) -> Action {
    let groups =
        groups.iter().map(|(arn, weight)| WeightedGroup { target_group: (*arn).to_owned(), weight: *weight }).collect();
    Action::Forward(Forward { groups, stickiness_seconds: None })
}

pub fn fixed(status: u16, body: &str) -> Action {
    Action::FixedResponse(FixedResponse { status, content_type: None, body: body.to_owned() })
}

pub fn group(arn: &str, targets: &[SocketAddr]) -> TargetGroup {
    TargetGroup {
        arn: arn.to_owned(),
        name: arn.to_owned(),
        protocol: Protocol::Http,
        protocol_version: routing::config::ProtocolVersion::Http1,
        health_check: HealthCheck {
            path: "/health".to_owned(),
            interval_ms: 50,
            timeout_ms: 5_000,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            ..HealthCheck::default()
        },
        attributes: TargetGroupAttributes::default(),
        targets: targets.iter().map(|at| target(*at)).collect(),
    }
}

pub fn target(at: SocketAddr) -> Target {
    Target { address: at.ip(), port: at.port(), zone: None, state: TargetState::Active }
}

/// A target. `/health` answers 200; everything else is answered by what it was made with.
pub struct Backend {
    pub address: SocketAddr,
    pub requests: Arc<Mutex<Vec<String>>>,
    pub connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection to a backend, with what was read too much.
pub struct Peer {
    pub stream: TcpStream,
    pub held: Vec<u8>,
}

impl Peer {
    /// A message's head, or `None` at the end.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.held.drain(..at + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            let Ok(1..) = self.stream.read_buf(&mut self.held).await else { return None };
        }
    }

    pub async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.held.len() < count {
            let got = self.stream.read_buf(&mut self.held).await.unwrap();
            assert!(got > 0, "the connection ended after {} of {count} bytes", self.held.len());
        }
        self.held.drain(..count).collect()
    }

    pub async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.held.windows(end.len()).position(|part| part == end) {
                return self.held.drain(..at + end.len()).collect();
            }
            let got = self.stream.read_buf(&mut self.held).await.unwrap();
            assert!(got > 0, "the connection ended before {:?}", String::from_utf8_lossy(end));
        }
    }

    pub async fn body(&mut self, head: &str) -> Vec<u8> {
        match field(head, "content-length") {
            Some(length) => self.exactly(length.parse().unwrap()).await,
            None if field(head, "transfer-encoding").is_some() => self.until(b"0\r\n\r\n").await,
            None => Vec::new(),
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub async fn rest(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.held);
        let _ = self.stream.read_to_end(&mut out).await;
        out
    }
}

/// A header's value.
pub fn field(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

impl Backend {
    /// Answers every request with `name`, and says what it got.
    pub async fn named(name: &'static str) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), move |mut peer, head| async move {
            let body = peer.body(&head).await;
            let text = format!("{name} {}", String::from_utf8_lossy(&body));
            peer.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Name: {name}\r\n\r\n{text}", text.len()))
                .await;
            Some(peer)
        })
        .await
    }

    pub async fn with<F, R>(answer: F) -> Self
    where
        F: Fn(Peer, String) -> R + Send + Sync + 'static,
        R: Future<Output = Option<Peer>> + Send + 'static,
    {
        Self::at("127.0.0.1:0".parse().unwrap(), answer).await
    }

    pub async fn at<F, R>(address: SocketAddr, answer: F) -> Self
    where
        F: Fn(Peer, String) -> R + Send + Sync + 'static,
        R: Future<Output = Option<Peer>> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (log, count, answer) = (Arc::clone(&requests), Arc::clone(&connections), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, count, answer) = (Arc::clone(&log), Arc::clone(&count), Arc::clone(&answer));
                serving.spawn(async move {
                    let mut peer = Peer { stream, held: Vec::new() };
                    let mut counted = false;
                    while let Some(head) = peer.head().await {
                        if head.starts_with("GET /health ") {
                            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
                            return;
                        }
                        if !counted {
                            counted = true;
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        log.lock().unwrap().push(head.clone());
                        match answer(peer, head).await {
                            Some(back) => peer = back,
                            None => return,
                        }
                    }
                });
            }
        });
        Self { address, requests, connections, task }
    }

    pub fn heads(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A connection to the proxy.
pub async fn client(port: u16) -> Peer {
    Peer { stream: TcpStream::connect(("127.0.0.1", port)).await.unwrap(), held: Vec::new() }
}

/// One request on a connection of its own: head and body of the answer.
pub async fn get(port: u16, path: &str) -> (String, String) {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: lb.test\r\n\r\n")).await
}

pub async fn ask(port: u16, request: &str) -> (String, String) {
    let mut peer = client(port).await;
    peer.send(request).await;
    let head = tokio::time::timeout(PATIENCE, peer.head()).await.expect("an answer in time").expect("an answer");
    let body = tokio::time::timeout(PATIENCE, peer.body(&head)).await.expect("a body in time");
    (head, String::from_utf8(body).unwrap())
}
