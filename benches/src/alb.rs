//! The load balancer's proxy against nginx and haproxy, as reverse proxies before the same target: requests per
//! CPU-second of the proxy's own processes.
//!
//! Each proxy has one worker on the first core; the load and the target have the others. Health checks, forwarded headers and
//! rules are as a load balancer has them; access logs are off everywhere.

mod configs;

use crate::figures::{Aim, Better, Figures, OURS, Samples};
use crate::process::{Running, cores, cpu_ms, free_port, on_cores};
use crate::{Outcome, stop, world};
use configs::{Front, Ports};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const ROUNDS: usize = 7;
const NGINX: &str = "nginx";
const HAPROXY: &str = "haproxy";
/// How long our proxy may take to be configured and to find its target healthy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A name, the URL at a proxy, and how many connections.
type Case = (&'static str, fn(&Ports) -> String, &'static str);

pub(crate) fn run(figures: &mut Figures) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let files = configs::Files::write(folder.path())?;
    let target = free_port()?;
    let target_config = files.nginx("target", &configs::target(target, folder.path()))?;
    let (core, others) = cores();
    let start = |cores: &str, program: &str, arguments: &[&str]| {
        Running::start(on_cores(cores, program).args(arguments).stdout(Stdio::null()))
    };
    let _target = start(&others, NGINX, &["-c", &target_config])?;

    let [ours, theirs, third] = [Ports::free()?, Ports::free()?, Ports::free()?];
    let nginx_config = files.nginx("front", &files.nginx_front(&theirs, target))?;
    let haproxy_config = files.haproxy(&third, target)?;
    let mut command = on_cores(&core, world::binary()?);
    let fronts = [
        Front { name: OURS, process: Running::start(command.arg("__proxy").arg(folder.path()))?, ports: ours },
        Front { name: NGINX, process: start(&core, NGINX, &["-c", &nginx_config])?, ports: theirs },
        Front { name: HAPROXY, process: start(&core, HAPROXY, &["-f", &haproxy_config])?, ports: third },
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let config = files.ours(&fronts[0].ports, target);
    // The connection stays open: without it, the proxy is one whose daemon has gone.
    let _control = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, configure(folder.path(), config)).await })
        .map_err(|_| "our proxy does not find its target healthy".to_owned())?
        .map_err(|error| format!("our proxy: {error}"))?;

    let cases: [Case; 4] = [
        ("HTTP, 1 KiB", |ports| format!("http://127.0.0.1:{}/", ports.plain), "-c64"),
        ("HTTPS, 1 KiB", |ports| format!("https://127.0.0.1:{}/", ports.tls), "-c64"),
        ("HTTP, the last of 100 rules", |ports| format!("http://127.0.0.1:{}/service-100/x", ports.rules), "-c64"),
        ("HTTP, 1 MiB", |ports| format!("http://127.0.0.1:{}/big", ports.plain), "-c16"),
    ];
    for (name, url, connections) in cases {
        let mut samples = Samples::default();
        for round in 0..=ROUNDS {
            eprintln!("  {name}: round {round} of {ROUNDS}");
            for front in &fronts {
                let duration = if round == 0 { "-d1s" } else { "-d2s" };
                let rate = load(front.process.pid(), &url(&front.ports), connections, duration, &others)?;
                // The first round warms up.
                if round > 0 {
                    samples.add(front.name, rate);
                }
            }
        }
        let unit = "requests per CPU-second";
        figures.add(("alb", name, unit), Better::More, &samples, &[NGINX, HAPROXY], Aim::Times(0.8));
    }
    Ok(())
}

async fn configure(folder: &Path, config: routing::ProxyConfig) -> std::io::Result<proxy::ProxyHandle> {
    use routing::health::State::Healthy;
    let (mut handle, mut statuses) = proxy::ProxyHandle::connect_within(folder, PATIENCE).await?;
    handle.apply(config).await?;
    while let Some(status) = statuses.next().await? {
        if matches!(&status, routing::Status::Health { health, .. } if health.state == Healthy) {
            return Ok(handle);
        }
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}

/// Requests per CPU-second of the process under load.
fn load(pid: u32, url: &str, connections: &str, duration: &str, cores: &str) -> Outcome<f64> {
    stop::check()?;
    let before = cpu_ms(pid);
    let output = on_cores(cores, "wrk").args(["-t1", connections, duration, url]).output();
    let text = output.map_err(|error| format!("wrk: {error}"))?.stdout;
    stop::check()?;
    let seconds = (cpu_ms(pid) - before) / 1e3;
    let text = String::from_utf8_lossy(&text);
    let count = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<f64>().ok());
    match count {
        Some(requests) if !text.contains("Non-2xx") => Ok(requests / seconds.max(0.01)),
        _ => Err(format!("{url} fails under load: {text}")),
    }
}
