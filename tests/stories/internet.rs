//! The way into the real internet, which here is a namespace beyond a link of the machine's. The story is told in a
//! network and mounts of its own, so that neither the machine's own internet nor its name servers have a part in it.

use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks;
use crate::harness::{clients, eventually, image, possible, rooted, seconds};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, gettid};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::sync::mpsc;
use std::thread;

/// Says that the story is told inside.
const INSIDE: &str = "WINDTUNNEL_STORY_INSIDE";
/// The machine's neighbour, whom packets into the internet pass.
const NEIGHBOUR: &str = "192.168.77.1";
/// A server of the internet, and its name server.
const OUTSIDE: &str = "203.0.113.7";

/// What a task does: a name of the internet's is found and reached, the machine's neighbours are not, and names of AWS's
/// that are not here are not asked for there.
/// Busybox's nslookup speaks DNS itself, and its nc looks nothing up. What it sends must not end before the answer does: pasta
/// of 2023 then keeps the answer's end to itself.
const TRY: &str = "get() { { printf 'GET / HTTP/1.0\r\n\r\n'; sleep 1; } | timeout $2 nc $1 8080 | tail -n 1; }; \
                   nslookup -type=a www.example.com | grep -q 203.0.113.7 || exit 2; \
                   get 203.0.113.7 5 | grep internet || exit 3; \
                   get 192.168.77.1 2 | grep internet && exit 4; \
                   nslookup -type=a sqs.us-east-1.amazonaws.com | grep -q 203.0.113.7 && exit 5; exit 0";

#[test]
fn a_task_reaches_the_internet_and_not_the_machines_neighbours() {
    if !possible(&["skopeo", "pasta", "ip", "unshare"]) {
        return;
    }
    if let Err(error) = fs::File::options().read(true).write(true).open("/dev/net/tun") {
        println!("SKIPPED: pasta needs /dev/net/tun: {error}");
        return;
    }
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let mut again = clients::client("unshare");
    again.args(["--net", "--mount"]);
    if !rooted() {
        again.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    let name = thread::current().name().unwrap_or_default().to_owned();
    again.arg(std::env::current_exe().unwrap()).args(["--exact", &name, "--nocapture"]).env(INSIDE, "1");
    let told = again.output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && text.contains("1 passed"), "expected the story to be told inside, but:\n{text}");
}

/// Runs `ip`.
fn ip(words: &str) {
    clients::succeed(clients::client("ip").args(words.split(' ')));
}

fn inside() {
    ip("link set lo up");
    let (tell, told) = mpsc::channel();
    let (link, linked) = mpsc::channel();
    let world = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tell.send(gettid()).unwrap();
        linked.recv().unwrap();
        let addresses = [format!("address add {NEIGHBOUR}/24 dev far"), format!("address add {OUTSIDE}/32 dev lo")];
        ["link set lo up", "link set far up"].into_iter().chain(addresses.iter().map(String::as_str)).for_each(ip);
        let names = UdpSocket::bind((OUTSIDE, 53)).unwrap();
        let pages = TcpListener::bind(("0.0.0.0", 8080)).unwrap();
        thread::spawn(move || serve_names(&names));
        thread::spawn(move || serve_pages(&pages));
    });
    ip(&format!("link add uplink type veth peer name far netns {}", told.recv().unwrap()));
    ip("address add 192.168.77.2/24 dev uplink");
    ip("link set uplink up");
    ip(&format!("route add default via {NEIGHBOUR}"));
    link.send(()).unwrap();
    world.join().unwrap();
    let servers = tempfile::NamedTempFile::new().unwrap();
    fs::write(servers.path(), format!("nameserver {OUTSIDE}\n")).unwrap();
    mount(Some(servers.path()), "/etc/resolv.conf", None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();

    let mut server = Server::prepare();
    server.begin(&["serve", "--internet", "pasta", "--pace", "10"]);
    server.await_line("windtunnel serve", "windtunnel ready endpoint=", seconds(20));
    let api = server.api();
    let vpc = vpc(&api);
    let group = vpc.group(&api, "out");
    let image = image::push(&server, "out", image::busybox());
    let role = tasks::ground(&api, "out");
    let definition = tasks::register(&api, tasks::definition("out", &role, &image, TRY));
    let ends_well = |when: &str| {
        let task = tasks::run(&api, &vpc, &definition, &[&group]);
        let ended = eventually("the task ends", seconds(40), || {
            let found = tasks::describe(&api, &task);
            if found["lastStatus"] == "STOPPED" { Ok(found) } else { Err(found["lastStatus"].clone()) }
        });
        let said = tasks::log_lines(&api, "out");
        assert_eq!(ended["containers"][0]["exitCode"], 0, "{when}: {said:?}, {ended}");
        assert!(said.contains(&"the internet".to_owned()), "{when}: {said:?}");
    };
    ends_well("at first");

    // What carries packets is started again when it ends, and ends with the server.
    let carrier = || {
        fs::read_dir("/proc").unwrap().flatten().find_map(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            let ours = line.contains("pasta") && line.contains(&server.traces.netns("outbound").display().to_string());
            if ours { process.file_name().to_str()?.parse::<i32>().ok() } else { None }
        })
    };
    let first = carrier().expect("pasta runs");
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    let next =
        eventually("another pasta is started", seconds(10), || carrier().filter(|next| *next != first).ok_or(()));
    ends_well("with another pasta");
    assert_eq!(carrier(), Some(next), "one is enough");
    let netns = server.traces.netns("outbound");
    server.leave();
    assert!(!netns.exists());
}

/// Answers every question with [`OUTSIDE`]; the record is the question's own name, class and kind, as it was asked for A.
fn serve_names(socket: &UdpSocket) {
    let mut query = [0; 512];
    while let Ok((length, peer)) = socket.recv_from(&mut query) {
        let mut answer = query[..length].to_vec();
        // The question ends with its kind and class, after the name's last and empty label.
        let name = answer[12..].iter().position(|byte| *byte == 0).unwrap();
        answer.truncate(12 + name + 5);
        let asks_for_a = answer[12 + name + 2] == 1;
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(asks_for_a), 0, 0, 0, 0]);
        if asks_for_a {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 203, 0, 113, 7]);
        }
        socket.send_to(&answer, peer).unwrap();
    }
}

fn serve_pages(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        // As a server does that reads what it is sent: what is left unread would make the end a reset.
        thread::spawn(move || {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 13\r\n\r\nthe internet\n");
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        });
    }
}
