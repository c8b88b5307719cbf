//! `windtunnel demo`: the reference deployment, built through the AWS API, checked, and kept until Ctrl-C.

use crate::cli::ServeOptions;
use crate::daemon::{self, Daemon};
use crate::paths::Paths;
use deploy::client::Clients;
use deploy::reference::{self, Deployment, Progress, SERVICES};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::io::IsTerminal;
use std::time::Duration;

/// Builds the deployment on the server that runs, or on one of its own; with `once`, exits when it has answered.
pub(crate) fn run(paths: &Paths, options: &ServeOptions, once: bool) -> Result<(), String> {
    daemon::log_to_stderr();
    daemon::block_on(async {
        let (own, endpoint) = if let Some(beacon) = daemon::running(paths) {
            println!("Using the server at {} (pid {}).", beacon.endpoint, beacon.pid);
            (None, beacon.endpoint)
        } else {
            let own = Daemon::start(paths, options).await?;
            println!("{}", own.ready_line());
            let endpoint = own.beacon.endpoint.clone();
            (Some(own), endpoint)
        };
        let built = show(paths, &endpoint).await;
        let outcome = match built {
            Ok(()) if once => Ok(()),
            Ok(()) => {
                println!(
                    "\nCtrl-C ends {}.",
                    if own.is_some() { "the demo and its server" } else { "the demo; the server stays" }
                );
                daemon::wait_for_signal().await
            }
            Err(text) => Err(text),
        };
        if let Some(own) = own {
            own.stop().await?;
        }
        outcome
    })
}

async fn show(paths: &Paths, endpoint: &str) -> Result<(), String> {
    let clients = Clients::new(endpoint, types::Region::DEFAULT);
    let mut steps = Steps::new();
    let deployment = tokio::select! {
        built = reference::build(&clients, &mut steps) => built.map_err(|failure| failure.to_string())?,
        stopped = daemon::wait_for_signal() => {
            stopped?;
            return Err("interrupted".to_owned());
        }
    };
    let certificate = paths.data.join("demo-ca.pem");
    fs::write(&certificate, &deployment.certificate)
        .map_err(|error| format!("cannot write {}: {error}", certificate.display()))?;
    for service in SERVICES {
        steps.begin(&format!("GET https://{}{}/1", deployment.dns_name, service.path));
        let answer = reference::check(&deployment, service).await.map_err(|failure| failure.to_string())?;
        steps.done(&answer);
    }
    explain(endpoint, &deployment);
    Ok(())
}

fn explain(endpoint: &str, deployment: &Deployment) {
    let name = &deployment.dns_name;
    let address = deployment.addresses.first().map_or_else(|| "<address>".to_owned(), ToString::to_string);
    println!("\nReach it:");
    for service in SERVICES {
        println!("  curl -k --resolve {name}:443:{address} https://{name}{}/1", service.path);
    }
    println!("  curl -i --resolve {name}:80:{address} http://{name}/      # redirects to HTTPS");
    println!("\nInspect it:");
    println!("  eval \"$(windtunnel env)\"            # points the aws command line at {endpoint}");
    println!("  aws ecs describe-services --cluster {} --services user-service", reference::CLUSTER);
    println!("  aws ec2 describe-vpcs --vpc-ids {}", deployment.vpc);
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
        println!("✓ {} · {result}", self.step);
    }
}
