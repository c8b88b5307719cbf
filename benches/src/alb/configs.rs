//! One way through each proxy, said in each proxy's own words.

use crate::Outcome;
use crate::process::{Running, free_port};
use routing::ProxyConfig;
use routing::config::{
    Action, Attributes, Certificate, Condition, Forward, HealthCheck, Listener, LoadBalancer, Node, Protocol,
    ProtocolVersion, Rule, Target, TargetGroup, TargetGroupAttributes, TargetState, WeightedGroup,
};
use std::fs;
use std::path::{Path, PathBuf};

/// A proxy that runs.
pub(super) struct Front {
    pub(super) name: &'static str,
    pub(super) process: Running,
    pub(super) ports: Ports,
}

/// Where a proxy listens, for each case.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) plain: u16,
    pub(super) tls: u16,
    pub(super) rules: u16,
}

impl Ports {
    pub(super) fn free() -> Outcome<Self> {
        Ok(Self { plain: free_port()?, tls: free_port()?, rules: free_port()? })
    }
}

/// The 100 paths that rules look for.
fn paths() -> impl Iterator<Item = (u32, String)> {
    (1..=100).map(|number| (number, format!("/service-{number}/")))
}

/// The target: 1 KiB at every path, 1 MiB at `/big`.
pub(super) fn target(port: u16, folder: &Path) -> String {
    let body = "x".repeat(1024);
    let folder = folder.display();
    format!(
        "sendfile on; server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 \"{body}\"; }} \
         location = /big {{ root {folder}; }} }}"
    )
}

/// What all of them read: the certificate, and the configurations' folder.
pub(super) struct Files {
    folder: PathBuf,
    certificate: Certificate,
}

impl Files {
    pub(super) fn write(folder: &Path) -> Outcome<Self> {
        let made =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(|error| error.to_string())?;
        let certificate = Certificate {
            arn: "c".to_owned(),
            chain_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
            names: vec!["localhost".to_owned()],
        };
        let files = Self { folder: folder.to_owned(), certificate };
        let Certificate { chain_pem, key_pem, .. } = &files.certificate;
        files.put("chain.pem", chain_pem)?;
        files.put("key.pem", key_pem)?;
        files.put("both.pem", &format!("{chain_pem}{key_pem}"))?;
        files.put("big", &"x".repeat(1 << 20))?;
        Ok(files)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn put(&self, name: &str, text: &str) -> Outcome<String> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|error| format!("{path}: {error}"))?;
        Ok(path)
    }

    /// nginx's configuration around the servers in `http`; gives its path.
    pub(super) fn nginx(&self, name: &str, http: &str) -> Outcome<String> {
        let folder = self.path(name);
        let text = format!(
            "worker_processes 1; daemon off; user root; pid {folder}.pid; error_log /dev/null;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}-b; \
             proxy_temp_path {folder}-p; fastcgi_temp_path {folder}-f; uwsgi_temp_path {folder}-u; \
             scgi_temp_path {folder}-s;\n{http} }}\n"
        );
        self.put(&format!("{name}.conf"), &text)
    }

    /// nginx as the proxy. Bodies do not touch its disk.
    pub(super) fn nginx_front(&self, ports: &Ports, target: u16) -> String {
        let server = |listen: &str, locations: &str| {
            format!("server {{ listen 127.0.0.1:{listen}; {locations} location / {{ proxy_pass http://t; }} }}\n")
        };
        let rules = paths().map(|(_, path)| format!("location {path} {{ proxy_pass http://t; }}\n"));
        format!(
            "upstream t {{ server 127.0.0.1:{target}; keepalive 128; keepalive_requests 100000000; }}\n\
             proxy_http_version 1.1; proxy_max_temp_file_size 0; proxy_set_header Connection \"\"; \
             proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
             proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Port $server_port; \
             ssl_certificate {}; ssl_certificate_key {};\n{}{}{}",
            self.path("chain.pem"),
            self.path("key.pem"),
            server(&ports.plain.to_string(), ""),
            server(&format!("{} ssl", ports.tls), ""),
            server(&ports.rules.to_string(), &rules.collect::<String>()),
        )
    }

    /// haproxy's configuration; gives its path.
    pub(super) fn haproxy(&self, ports: &Ports, target: u16) -> Outcome<String> {
        let Ports { plain, tls, rules } = ports;
        let matches = paths().map(|(_, path)| format!(" use_backend t if {{ path_beg {path} }}\n"));
        let text = format!(
            "global\n nbthread 1\n maxconn 4096\ndefaults\n mode http\n timeout client 60s\n timeout server 60s\n \
             timeout connect 10s\n http-reuse always\n option forwardfor\nfrontend a\n bind 127.0.0.1:{plain}\n \
             default_backend t\nfrontend s\n bind 127.0.0.1:{tls} ssl crt {}\n default_backend t\nfrontend r\n \
             bind 127.0.0.1:{rules}\n{} default_backend t\nbackend t\n server t 127.0.0.1:{target}\n",
            self.path("both.pem"),
            matches.collect::<String>(),
        );
        self.put("haproxy.cfg", &text)
    }

    /// Ours: one load balancer with a listener a case.
    pub(super) fn ours(&self, ports: &Ports, target: u16) -> ProxyConfig {
        let forward = || {
            let groups = vec![WeightedGroup { target_group: "g".to_owned(), weight: 1 }];
            Action::Forward(Forward { groups, stickiness_seconds: None })
        };
        let listener = |port: u16| Listener {
            arn: port.to_string(),
            port,
            protocol: Protocol::Http,
            also_at: vec![],
            certificates: vec![],
            ssl_policy: None,
            rules: vec![],
            default_action: forward(),
            default_rule_arn: String::new(),
        };
        let rules = paths().map(|(number, path)| Rule {
            arn: number.to_string(),
            priority: number,
            conditions: vec![Condition::PathPattern(vec![format!("{path}*")])],
            action: forward(),
        });
        let address = [127, 0, 0, 1].into();
        ProxyConfig {
            mesh: routing::connect::Mesh::default(),
            generation: 1,
            load_balancers: vec![LoadBalancer {
                arn: "lb".to_owned(),
                name: "lb".to_owned(),
                dns_name: "lb".to_owned(),
                nodes: vec![Node { netns: None, address, zone: "a".to_owned() }],
                attributes: Attributes::default(),
                listeners: vec![
                    listener(ports.plain),
                    Listener {
                        protocol: Protocol::Https,
                        certificates: vec![self.certificate.clone()],
                        ..listener(ports.tls)
                    },
                    Listener { rules: rules.collect(), ..listener(ports.rules) },
                ],
            }],
            target_groups: vec![TargetGroup {
                arn: "g".to_owned(),
                name: "g".to_owned(),
                protocol: Protocol::Http,
                protocol_version: ProtocolVersion::Http1,
                health_check: HealthCheck::default(),
                attributes: TargetGroupAttributes::default(),
                targets: vec![Target { address, port: target, zone: None, state: TargetState::Active }],
            }],
        }
    }
}
