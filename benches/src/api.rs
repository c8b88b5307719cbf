//! Reads through the API: requests per CPU-second of the server, and per second.
//!
//! `wrk` sends one request, signed once, over several connections; we verify the signature each time, moto never does. The
//! CPU time is that of the server's whole process tree, kernel included. The server has the first core, the load generator
//! the others.

use crate::aws::{Api, EC2, ECS, Prepared};
use crate::figures::{Aim, Better, Figures, OURS, Samples};
use crate::process::{cores, cpu_ms, on_cores};
use crate::world::{self, MOTO, SERVICES, Server};
use crate::{Outcome, stop};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

const ROUNDS: usize = 7;
const CONNECTIONS: &str = "-c16";

pub(crate) fn run(figures: &mut Figures) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (core, _) = cores();
    let ours = world::ours(&folder.path().join("data"), Some(&core))?;
    let servers = [(OURS, ours), (MOTO, world::moto(&folder.path().join("moto"), Some(&core))?)];
    for (_, server) in &servers {
        world::fill(server.api)?;
    }
    let names: Vec<String> = (0..SERVICES).map(|number| format!("service-{number}")).collect();
    let services =
        |api: Api| api.prepare_json(ECS, "DescribeServices", &json!({ "cluster": "bench", "services": names }));
    let vpcs = |api: Api| api.prepare_query(EC2, "DescribeVpcs", &[]);
    case(figures, folder.path(), &servers, ["DescribeServices of 10", "DescribeServices of 10, CPU"], services)?;
    case(figures, folder.path(), &servers, ["DescribeVpcs of 20", "DescribeVpcs of 20, CPU"], vpcs)
}

fn case(
    figures: &mut Figures,
    folder: &Path,
    servers: &[(&'static str, Server)],
    [name, name_cpu]: [&'static str; 2],
    prepare: impl Fn(Api) -> Outcome<Prepared>,
) -> Outcome {
    let (mut cpu, mut rate, mut each) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..=ROUNDS {
        eprintln!("  {name}: round {round} of {ROUNDS}");
        for (who, server) in servers {
            let script = folder.join("request.lua");
            std::fs::write(&script, lua(&prepare(server.api)?)).map_err(|error| error.to_string())?;
            let before = cpu_ms(server.process.pid());
            let (requests, seconds) = load(server.api, &script, if round == 0 { "-d1s" } else { "-d3s" })?;
            let spent = cpu_ms(server.process.pid()) - before;
            // The first round warms both up.
            if round > 0 {
                cpu.add(who, requests / (spent / 1e3));
                each.add(who, spent / requests);
                rate.add(who, requests / seconds);
            }
        }
    }
    figures.add(("api", name, "requests per CPU-second"), Better::More, &cpu, &[MOTO], Aim::Times(100.0));
    figures.add(("api", name_cpu, "ms per request"), Better::Less, &each, &[MOTO], Aim::None);
    figures.add(("api", name, "requests per second"), Better::More, &rate, &[MOTO], Aim::None);
    Ok(())
}

/// The request as wrk takes it.
fn lua(request: &Prepared) -> String {
    let mut script = format!("wrk.method = \"POST\"\nwrk.body = [==[{}]==]\n", request.body);
    for (name, value) in &request.headers {
        // By this spelling wrk knows that the host is given.
        let name = if name == "host" { "Host" } else { name };
        let _ = writeln!(script, "wrk.headers[\"{name}\"] = [==[{value}]==]");
    }
    script
}

/// How many requests were answered, and in how many seconds.
fn load(api: Api, script: &Path, duration: &str) -> Outcome<(f64, f64)> {
    let url = format!("http://{}/", api.0);
    stop::check()?;
    let mut wrk = on_cores(&cores().1, "wrk");
    let output = wrk.args(["-t1", CONNECTIONS, duration, "-s"]).arg(script).arg(&url).output();
    let text = output.map_err(|error| format!("wrk: {error}"))?.stdout;
    stop::check()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    if text.contains("Non-2xx") {
        return Err(format!("answers are refused under load: {text}"));
    }
    let line = text.lines().find_map(|line| line.trim().split_once(" requests in "));
    let found = line.and_then(|(count, rest)| {
        let seconds = rest.split_once("s,")?.0;
        Some((count.parse().ok()?, seconds.parse().ok()?))
    });
    found.ok_or_else(|| format!("wrk says nothing of requests: {text}"))
}
