//! `windtunnel demo`: the reference deployment, built through the AWS API, checked, and kept until Ctrl-C.

use crate::ask::ask;
use crate::cli::ServeOptions;
use crate::daemon::{self, Beacon, EndSignals, Own};
use crate::output::{print, say};
use crate::paths::Paths;
use crate::rootless::Inside;
use deploy::client::Clients;
use deploy::reference::{self, Deployment, Progress, SERVICES};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;

/// How long the server may take to open loopback ports, and to answer.
const PORTS: Duration = Duration::from_secs(10);

/// Builds the deployment on the server that runs, or on one of its own; with `once`, exits when it has answered.
pub(crate) fn run(paths: &Paths, options: &ServeOptions, once: bool) -> Result<(), String> {
    daemon::log_to_stderr();
    let beacon = daemon::running(paths);
    // The demo is a client like any other, and stays where the user is.
    let inside = if beacon.is_none() {
        daemon::hold_end_signals();
        Some(Inside::enter(paths)?)
    } else {
        None
    };
    daemon::block_on(async {
        let mut end = EndSignals::listen()?;
        if let Some(beacon) = beacon {
            say(format_args!("Using the server at {} (pid {}).", beacon.endpoint, beacon.pid))?;
            return stay(paths, &beacon, &mut end, once, "the demo; the server stays").await;
        }
        let Some(inside) = inside else { return Err("no server runs".to_owned()) };
        let own = Own::start(&inside, paths, options).await?;
        let outcome = match say(&own.ready_line) {
            Ok(()) => stay(paths, &own.beacon, &mut end, once, "the demo and its server").await,
            untold => untold,
        };
        own.stop().await?;
        outcome
    })
}

/// Builds and shows the deployment, and waits for Ctrl-C, which ends `what`.
async fn stay(paths: &Paths, beacon: &Beacon, end: &mut EndSignals, once: bool, what: &str) -> Result<(), String> {
    show(paths, beacon, end).await?;
    if !once {
        say(format_args!("\nCtrl-C ends {what}."))?;
        end.wait().await;
    }
    Ok(())
}

async fn show(paths: &Paths, beacon: &Beacon, end: &mut EndSignals) -> Result<(), String> {
    let clients = Clients::new(&beacon.endpoint, types::Region::DEFAULT);
    let mut steps = Steps::new();
    let deployment = tokio::select! {
        built = reference::build(&clients, &mut steps) => built.map_err(|failure| failure.to_string())?,
        () = end.wait() => return Err("interrupted".to_owned()),
    };
    let certificate = paths.data.join("demo-ca.pem");
    fs::write(&certificate, &deployment.certificate)
        .map_err(|error| format!("cannot write {}: {error}", certificate.display()))?;
    let way = Way::to(beacon, &deployment).await?;
    for service in SERVICES {
        steps.begin(&format!("GET https://{}{}/1", deployment.dns_name, service.path));
        let answer = reference::check(&deployment, way.secure, service).await.map_err(|failure| failure.to_string())?;
        steps.done(&answer);
    }
    print(&explain(&beacon.endpoint, &deployment, &way))
}

/// Where the load balancer's listeners are reached from here.
struct Way {
    secure: SocketAddr,
    plain: SocketAddr,
}

impl Way {
    /// By a public address where there is a route to it, else by loopback ports, which are there a moment after the listeners.
    async fn to(beacon: &Beacon, deployment: &Deployment) -> Result<Self, String> {
        if let Some(address) = deployment.addresses.first().filter(|_| beacon.routed) {
            return Ok(Self { secure: (*address, 443).into(), plain: (*address, 80).into() });
        }
        let deadline = tokio::time::Instant::now() + PORTS;
        loop {
            let asked = beacon.clone();
            let status = tokio::task::spawn_blocking(move || ask(&asked, "/_windtunnel/status", None, PORTS));
            let status = status.await.map_err(|error| error.to_string())??;
            let port = |listener: &str| -> Option<SocketAddr> {
                let mut reach = status["reach"].as_array()?.iter();
                let ours =
                    reach.find(|one| one["dnsName"] == deployment.dns_name.as_str() && one["listener"] == listener)?;
                ours["url"].as_str()?.split('/').nth(2)?.parse().ok()
            };
            if let (Some(secure), Some(plain)) = (port("HTTPS:443"), port("HTTP:80")) {
                return Ok(Self { secure, plain });
            }
            if tokio::time::Instant::now() >= deadline {
                return Err("the load balancer got no loopback ports; the server's log says why".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What curl needs to find `name` at `port` there.
    fn option(name: &str, port: u16, there: SocketAddr) -> String {
        if there.port() == port {
            format!("--resolve {name}:{port}:{}", there.ip())
        } else {
            format!("--connect-to {name}:{port}:{there}")
        }
    }
}

/// How it is reached and inspected.
fn explain(endpoint: &str, deployment: &Deployment, way: &Way) -> String {
    let name = &deployment.dns_name;
    let (secure, plain) = (Way::option(name, 443, way.secure), Way::option(name, 80, way.plain));
    let mut lines = vec![String::new(), "Reach it:".to_owned()];
    lines.extend(SERVICES.map(|service| format!("  curl -k {secure} https://{name}{}/1", service.path)));
    lines.extend([
        format!("  curl -i {plain} http://{name}/      # redirects to HTTPS"),
        String::new(),
        "Inspect it:".to_owned(),
        format!("  eval \"$(windtunnel env)\"            # points the aws command line at {endpoint}"),
        format!("  aws ecs describe-services --cluster {} --services user-service", reference::CLUSTER),
        format!("  aws ec2 describe-vpcs --vpc-ids {}", deployment.vpc),
        String::new(),
    ]);
    lines.join("\n")
}

/// Steps on a terminal with a spinner, elsewhere one line a step.
struct Steps {
    bar: Option<ProgressBar>,
    step: String,
}

impl Steps {
    fn new() -> Self {
        Self { bar: None, step: String::new() }
    }
}

impl Progress for Steps {
    fn begin(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        if std::io::stdout().is_terminal() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_message(step.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            self.bar = Some(bar);
        }
    }

    fn note(&mut self, note: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} · {note}", self.step));
        }
    }

    fn done(&mut self, result: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        // What cannot be said here is told where the demo says how it is reached.
        let _ = say(format_args!("✓ {} · {result}", self.step));
    }
}
