//! The loopback port of a load balancer: printed, stable, under the same rules as the internet, and there whatever is killed.

use crate::harness::clients::succeed;
use crate::harness::host::Process;
use crate::harness::http::request;
use crate::harness::network::{self, Source, allow, revoke, vpc};
use crate::harness::server::Server;
use crate::harness::{eventually, possible, seconds};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{SocketAddr, TcpStream};

/// The load balancer's own answer where it has no targets.
const UNAVAILABLE: u16 = 503;

#[test]
fn a_load_balancer_is_reached_by_its_loopback_port_under_the_same_rules() {
    if !possible(&[]) {
        return;
    }
    let mut server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let group = vpc.group(&api, "balancer");
    allow(&api, &group, 80, Source::World);
    let balancer = network::balancer(&api, &vpc, "web", &group);
    let port = balancer.loopback;
    assert!(port.ip().is_loopback(), "expected a port of this machine alone: {port}");
    answers(port);

    let line = format!("windtunnel load-balancer name=web listener=HTTP:80 url=http://{port}/");
    server.await_line("windtunnel serve", &line, seconds(5));
    let status = succeed(&mut server.command(&["status"]));
    assert!(status.contains(&format!("http://{port}/")), "expected status to tell the URL, but: {status}");

    // What the security group does not let in from the internet does not come in this way either.
    revoke(&api, &group, 80, Source::World);
    eventually("the security group keeps requests from the loopback port out", seconds(5), || {
        let mut probe = TcpStream::connect(port).unwrap();
        probe.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        std::io::Write::write_all(&mut probe, b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").unwrap();
        match std::io::Read::read(&mut probe, &mut [0; 16]) {
            Ok(count) => Err(count),
            Err(_) => Ok(()),
        }
    });
    allow(&api, &group, 80, Source::World);
    answers(port);

    let keeper = |server: &Server| {
        let all = server.traces.processes_in("companions");
        all.into_iter().find(|process| process.command().contains("__loopback")).expect("the keeper of the ports runs")
    };
    let first = keeper(&server);
    kill_9(&first);
    answers(port);
    let second = keeper(&server);
    assert_ne!(first, second);

    server.kill();
    answers(port);
    server.serve();
    answers(port);
    assert_eq!(keeper(&server), second, "expected the next server to take the keeper over");

    // Both gone, and the port taken by somebody else meanwhile: the listener gets another.
    server.kill();
    kill_9(&second);
    let taken = eventually("the dead keeper's port is free", seconds(5), || std::net::TcpListener::bind(port));
    server.serve();
    let other = network::loopback(&api, &balancer.dns_name, |now| *now != port);
    answers(other);
    drop(taken);
    server.leave();
}

fn answers(port: SocketAddr) {
    eventually("the load balancer answers at its loopback port", seconds(10), || {
        match request(port, "GET", "/", &[("host", "web")], b"") {
            Ok(answer) if answer.status == UNAVAILABLE => Ok(()),
            other => Err(other.map(|answer| answer.status).map_err(|error| error.to_string())),
        }
    });
}

fn kill_9(process: &Process) {
    kill(Pid::from_raw(process.pid), Signal::SIGKILL).unwrap();
    eventually("a killed process is gone", seconds(5), || if process.is_alive() { Err(()) } else { Ok(()) });
}
