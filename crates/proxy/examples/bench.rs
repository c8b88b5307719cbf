//! Requests per CPU-second of the load balancer, of nginx and of haproxy, as reverse proxies before the same target.
//!
//! `cargo run --release -p proxy --example bench [seconds]` needs `nginx`, `haproxy` and `wrk`. Each proxy has one worker on the first core; the load
//! and the target have the others. The proxies take turns, so that a noisy machine harms all alike; what is compared is the CPU time that
//! the proxy's own processes took. One line a case: `case proxy requests-per-cpu-second ratio-to-nginx`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a measuring tool starts processes and reads the time

use routing::ProxyConfig;
use routing::config::{
    Action, Attributes, Certificate, Condition, Forward, HealthCheck, Listener, LoadBalancer, Node, Protocol, Rule,
    Target, TargetGroup, TargetGroupAttributes, TargetState, WeightedGroup,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ROUNDS: usize = 3;
const TARGET: u16 = 18_080;

/// Ends its process when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn start(core: &str, program: &Path, arguments: &[&str]) -> Running {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::inherit());
    Running(command.spawn().unwrap())
}

/// CPU time of a process and its children, in ticks.
fn ticks(pid: u32) -> u64 {
    let of = |pid: u32| -> Option<(u32, u64)> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some((
            fields.get(1)?.parse().ok()?,
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?,
        ))
    };
    let mut sum = of(pid).map_or(0, |(_, ticks)| ticks);
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        if let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some((parent, ticks)) = of(child)
            && parent == pid
        {
            sum += ticks;
        }
    }
    sum
}

/// Requests per CPU-second of the process `pid` under load.
fn load(pid: u32, url: &str, seconds: u64, core: &str) -> f64 {
    let run = |seconds: u64| {
        let duration = format!("-d{seconds}s");
        let out = Command::new("taskset").args(["-c", core, "wrk", "-t1", "-c64", &duration, url]).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    run(1);
    let before = ticks(pid);
    let text = run(seconds);
    let cpu = (ticks(pid) - before) as f64 / 100.0;
    assert!(!text.contains("Non-2xx"), "{url}: {text}");
    let requests: f64 = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ").map(|(count, _)| count.parse().unwrap()))
        .unwrap_or_else(|| panic!("{url}: {text}"));
    requests / cpu.max(0.01)
}

fn config(certificate: &Certificate) -> ProxyConfig {
    let forward = |group: &str| {
        Action::Forward(Forward {
            groups: vec![WeightedGroup { target_group: group.to_owned(), weight: 1 }],
            stickiness_seconds: None,
        })
    };
    let listener = |port: u16| Listener {
        arn: port.to_string(),
        port,
        protocol: Protocol::Http,
        also_at: vec![],
        certificates: vec![],
        ssl_policy: None,
        rules: vec![],
        default_action: forward("g"),
        default_rule_arn: String::new(),
    };
    let rules = (1..=100).map(|n| Rule {
        arn: n.to_string(),
        priority: n,
        conditions: vec![Condition::PathPattern(vec![format!("/service-{n}/*")])],
        action: forward("g"),
    });
    let node = Node { netns: None, address: [127, 0, 0, 1].into(), zone: "a".to_owned() };
    ProxyConfig {
        generation: 1,
        load_balancers: vec![LoadBalancer {
            arn: "lb".to_owned(),
            name: "lb".to_owned(),
            dns_name: "lb".to_owned(),
            nodes: vec![node],
            attributes: Attributes::default(),
            listeners: vec![
                listener(18_081),
                Listener { protocol: Protocol::Https, certificates: vec![certificate.clone()], ..listener(18_091) },
                Listener { rules: rules.collect(), ..listener(18_071) },
            ],
        }],
        target_groups: vec![TargetGroup {
            arn: "g".to_owned(),
            name: "g".to_owned(),
            protocol: Protocol::Http,
            protocol_version: routing::config::ProtocolVersion::Http1,
            health_check: HealthCheck::default(),
            attributes: TargetGroupAttributes::default(),
            targets: vec![Target {
                address: [127, 0, 0, 1].into(),
                port: TARGET,
                zone: None,
                state: TargetState::Active,
            }],
        }],
    }
}

fn nginx(dir: &Path, pid: &str, http: &str) -> String {
    let text = format!(
        "worker_processes 1; daemon off; pid {dir}/{pid}; error_log /dev/null;\nevents {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; \
         uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n{http} }}\n",
        dir = dir.display()
    );
    let path = dir.join(format!("{pid}.conf"));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("__proxy") {
        proxy::process::run(Path::new(&arguments[2]), Some(1)).unwrap();
        return;
    }
    let seconds: u64 = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(4);
    let others = match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => "0".to_owned(),
        cores => format!("1-{}", cores - 1),
    };
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = Certificate {
        arn: "c".to_owned(),
        chain_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
        names: vec!["localhost".to_owned()],
    };
    let (cert, key, both) = (dir.path().join("c.pem"), dir.path().join("k.pem"), dir.path().join("b.pem"));
    std::fs::write(&cert, &certificate.chain_pem).unwrap();
    std::fs::write(&key, &certificate.key_pem).unwrap();
    std::fs::write(&both, format!("{}{}", certificate.chain_pem, certificate.key_pem)).unwrap();

    let body = "x".repeat(1024);
    let target = nginx(
        dir.path(),
        "target",
        &format!("server {{ listen 127.0.0.1:{TARGET} backlog=4096; location / {{ return 200 \"{body}\"; }} }}"),
    );
    let _target = start(&others, Path::new("nginx"), &["-c", &target]);

    let rules =
        (1..=100).map(|n| format!("location /service-{n}/ {{ proxy_pass http://t; }}")).collect::<Vec<_>>().join("\n");
    let server = |listen: &str, locations: &str| format!("server {{ listen {listen}; {locations} }}\n");
    let all = "location / { proxy_pass http://t; }";
    let front = format!(
        "upstream t {{ server 127.0.0.1:{TARGET}; keepalive 128; keepalive_requests 100000000; }}\nproxy_http_version 1.1; proxy_set_header Connection \"\"; \
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; \
         proxy_set_header X-Forwarded-Port $server_port; ssl_certificate {}; ssl_certificate_key {};\n{}{}{}",
        cert.display(),
        key.display(),
        server("127.0.0.1:18082", all),
        server("127.0.0.1:18092 ssl", all),
        server("127.0.0.1:18072", &format!("{rules}{all}")),
    );
    let front = nginx(dir.path(), "front", &front);
    let nginx = start("0", Path::new("nginx"), &["-c", &front]);

    let rules =
        (1..=100).map(|n| format!("use_backend t if {{ path_beg /service-{n}/ }}\n")).collect::<Vec<_>>().concat();
    let haproxy_config = dir.path().join("haproxy.cfg");
    std::fs::write(
        &haproxy_config,
        format!(
            "global\n nbthread 1\n maxconn 4096\ndefaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 10s\n http-reuse always\n option forwardfor\n\
             frontend a\n bind 127.0.0.1:18083\n default_backend t\nfrontend s\n bind 127.0.0.1:18093 ssl crt {}\n default_backend t\n\
             frontend r\n bind 127.0.0.1:18073\n {rules} default_backend t\nbackend t\n server t 127.0.0.1:{TARGET}\n",
            both.display()
        ),
    )
    .unwrap();
    let haproxy = start("0", Path::new("haproxy"), &["-f", haproxy_config.to_str().unwrap()]);

    let ours = start("0", &std::env::current_exe().unwrap(), &["__proxy", dir.path().to_str().unwrap()]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let patience = Duration::from_secs(10);
        let (mut handle, mut statuses) = proxy::ProxyHandle::connect_within(dir.path(), patience).await.unwrap();
        handle.apply(config(&certificate)).await.unwrap();
        while let Some(status) = statuses.next().await.unwrap() {
            if matches!(&status, routing::Status::Health { health, .. } if health.state == routing::health::State::Healthy) {
                break;
            }
        }
    });

    let cases = [
        ("h1", "http", 18_080, "/"),
        ("tls-h1", "https", 18_090, "/"),
        ("100-rules", "http", 18_070, "/service-100/x"),
    ];
    let proxies = [("windtunnel", ours.0.id(), 1), ("nginx", nginx.0.id(), 2), ("haproxy", haproxy.0.id(), 3)];
    for (case, scheme, base, path) in cases {
        let mut best: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for (name, pid, offset) in proxies {
                let url = format!("{scheme}://127.0.0.1:{}{path}", base + offset);
                best.entry(name).or_default().push(load(pid, &url, seconds, &others));
            }
        }
        let median = |name: &str| {
            let mut all = best[name].clone();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let nginx = median("nginx");
        for (name, ..) in proxies {
            println!("{case} {name} {:.0} {:.2}", median(name), median(name) / nginx);
        }
    }
}
