//! A node in a network namespace: its listener, its way to targets, and its end.
#![allow(missing_docs, clippy::unwrap_used)]
// bringing up a namespace's loopback is one ioctl that has no safe wrapper
#![allow(unsafe_code)]

mod support;

use nix::sched::{CloneFlags, unshare};
use routing::config::Node;
use routing::health::State;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::mpsc;
use support::*;

/// A network namespace that lives as long as its thread; work is done inside it.
struct Place {
    path: PathBuf,
    work: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Place {
    /// `None` where namespaces may not be made.
    fn new() -> Option<Self> {
        let (work, jobs) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (told, made) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let path = unshare(CloneFlags::CLONE_NEWNET).ok().and_then(|()| {
                loopback_up();
                let thread = std::fs::read_link("/proc/thread-self").ok()?;
                Some(PathBuf::from("/proc").join(thread).join("ns/net"))
            });
            let alive = path.is_some();
            told.send(path).unwrap();
            if alive {
                for job in jobs {
                    job();
                }
            }
        });
        let path = made.recv().unwrap()?;
        Some(Self { path, work: Some(work), thread: Some(thread) })
    }

    fn inside<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (send, receive) = mpsc::channel();
        self.work.as_ref().unwrap().send(Box::new(move || send.send(job()).unwrap())).unwrap();
        receive.recv().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.work = None;
        let _ = self.thread.take().unwrap().join();
    }
}

fn loopback_up() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: an all-zero ifreq is a valid one
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request lives through the call, and the descriptor is a socket's
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) };
    assert_eq!(done, 0, "loopback does not come up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_serves_and_connects_in_its_own_namespace() {
    let Some(place) = Place::new() else {
        eprintln!("SKIPPED: network namespaces need root");
        return;
    };
    // the target exists in the namespace alone
    let target: SocketAddr = place.inside(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(1..) = stream.read(&mut buffer) {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ninside").unwrap();
                    }
                });
            }
        });
        address
    });
    let mut rig = Rig::start().await;
    let (port, outside) = (8080, free_port().await);
    let mut front = listener(port, forward("g"));
    front.also_at = vec![SocketAddr::from(([127, 0, 0, 1], outside))];
    let mut lb = balancer(vec![front]);
    lb.nodes = vec![Node { netns: Some(place.path.clone()), ..node() }];
    rig.serve(vec![lb.clone()], vec![group("g", &[target])]).await;
    let ask = move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        std::io::Result::Ok(text)
    };
    assert!(place.inside(ask).unwrap().ends_with("inside"), "the node does not answer in its namespace");
    assert!(ask().is_err(), "the node is open outside of its namespace");
    assert_eq!(get(outside, "/").await.1, "inside", "the address outside leads through the node");
    // the namespace goes, its listener closes, and the rest lives on
    let path = place.path.clone();
    drop(place);
    rig.until("a listener that failed", |seen| !seen.failures.is_empty()).await;
    assert!(!path.exists());
    lb.nodes = vec![node()];
    lb.listeners[0].also_at.clear();
    lb.listeners[0].port = free_port().await;
    lb.listeners[0].default_action = fixed(200, "still here");
    let port = lb.listeners[0].port;
    rig.apply(vec![lb], vec![group("g", &[target])]).await;
    assert_eq!(get(port, "/").await.1, "still here");
    assert!(rig.seen.borrow().health.values().any(|health| health.state != State::Draining));
    rig.stop().await;
}
