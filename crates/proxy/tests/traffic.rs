//! Bodies, connections and targets in all their states.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use routing::config::{Attributes, TargetGroupAttributes, TargetState};
use routing::health::State;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::*;
use tokio::io::AsyncWriteExt;

async fn pass(mut peer: Peer, answer: &str) -> Option<Peer> {
    peer.send(answer).await;
    Some(peer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_every_framing_arrive_whole() {
    let mut rig = Rig::start().await;
    // answers with the body that it got, framed as the path says
    let echo = Backend::with(|mut peer, head| async move {
        let body = if field(&head, "transfer-encoding").is_some() {
            let mut whole = Vec::new();
            loop {
                let line = peer.until(b"\r\n").await;
                let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
                let chunk = peer.exactly(size + 2).await;
                if size == 0 {
                    break;
                }
                whole.extend_from_slice(&chunk[..size]);
            }
            whole
        } else {
            peer.body(&head).await
        };
        if head.contains("/chunked") {
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for part in body.chunks(70_000) {
                peer.send(&format!("{:x};x=y\r\n", part.len())).await;
                peer.stream.write_all(part).await.unwrap();
                peer.send("\r\n").await;
            }
            peer.send("0\r\nTrailer: t\r\n\r\n").await;
            return Some(peer);
        }
        if head.contains("/closed") {
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            peer.stream.write_all(&body).await.unwrap();
            return None;
        }
        peer.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        peer.stream.write_all(&body).await.unwrap();
        Some(peer)
    })
    .await;
    let port = free_port().await;
    rig.serve(vec![balancer(vec![listener(port, forward("g"))])], vec![group("g", &[echo.address])]).await;
    let mut peer = client(port).await;
    for size in [0, 1, 1000, 8192, 100_000, 3_000_000] {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        for path in ["/length", "/chunked", "/closed"] {
            for chunked in [false, true] {
                let (mut read, mut write) = peer.stream.into_split();
                let sent = body.clone();
                let writing = tokio::spawn(async move {
                    let framing = if chunked {
                        "Transfer-Encoding: chunked".to_owned()
                    } else {
                        format!("Content-Length: {size}")
                    };
                    write
                        .write_all(format!("POST {path} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n").as_bytes())
                        .await
                        .unwrap();
                    if chunked {
                        for part in sent.chunks(50_000) {
                            write.write_all(format!("{:X}\r\n", part.len()).as_bytes()).await.unwrap();
                            write.write_all(part).await.unwrap();
                            write.write_all(b"\r\n").await.unwrap();
                        }
                        write.write_all(b"0\r\n\r\n").await.unwrap();
                    } else {
                        write.write_all(&sent).await.unwrap();
                    }
                    write
                });
                // read while writing: the echo starts before all is sent
                let mut held = std::mem::take(&mut peer.held);
                let got = tokio::time::timeout(PATIENCE, read_answer(&mut read, &mut held)).await;
                let (head, got) = got.unwrap_or_else(|_| panic!("{path} {size} {chunked}: no answer"));
                assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
                assert!(got == body, "{path} {size} {chunked}: {} bytes came back", got.len());
                peer = Peer { stream: read.reunite(writing.await.unwrap()).unwrap(), held };
            }
        }
    }
    rig.stop().await;
}

async fn read_answer(read: &mut tokio::net::tcp::OwnedReadHalf, held: &mut Vec<u8>) -> (String, Vec<u8>) {
    use tokio::io::AsyncReadExt;
    let mut fill = async |held: &mut Vec<u8>| {
        let count = read.read_buf(held).await.unwrap();
        assert!(count > 0, "the proxy closed the connection");
    };
    let end = loop {
        match held.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(at) => break at + 4,
            None => fill(held).await,
        }
    };
    let head = String::from_utf8(held.drain(..end).collect()).unwrap();
    let mut body = Vec::new();
    if let Some(length) = field(&head, "content-length") {
        let length: usize = length.parse().unwrap();
        while held.len() < length {
            fill(held).await;
        }
        body.extend(held.drain(..length));
        return (head, body);
    }
    loop {
        let Some(at) = held.windows(2).position(|two| two == b"\r\n") else {
            fill(held).await;
            continue;
        };
        let size = usize::from_str_radix(std::str::from_utf8(&held[..at]).unwrap(), 16).unwrap();
        while held.len() < at + 2 + size + 2 {
            fill(held).await;
        }
        body.extend_from_slice(&held[at + 2..at + 2 + size]);
        held.drain(..at + 2 + size + 2);
        if size == 0 {
            return (head, body);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_bodies_and_interim_answers_pass() {
    let mut rig = Rig::start().await;
    let backend = Backend::with(|mut peer, head| async move {
        let path = head.split(' ').nth(1).unwrap();
        match path {
            "/204" => pass(peer, "HTTP/1.1 204 No Content\r\n\r\n").await,
            "/304" => pass(peer, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n").await,
            "/head" => pass(peer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").await,
            "/continue" => {
                assert!(peer.held.is_empty());
                peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
                let body = peer.body(&head).await;
                pass(
                    peer,
                    &format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
                        body.len(),
                        String::from_utf8_lossy(&body)
                    ),
                )
                .await
            }
            _ => pass(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await,
        }
    })
    .await;
    let port = free_port().await;
    rig.serve(vec![balancer(vec![listener(port, forward("g"))])], vec![group("g", &[backend.address])]).await;
    let mut peer = client(port).await;
    for (request, status) in [("GET /204", 204), ("GET /304", 304), ("HEAD /head", 200), ("GET /ok", 200)] {
        peer.send(&format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let head = peer.head().await.unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
        if request == "GET /ok" {
            assert_eq!(peer.body(&head).await, b"ok");
        }
    }
    peer.send("POST /continue HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert!(peer.head().await.unwrap().starts_with("HTTP/1.1 100 "));
    peer.send("hello").await;
    let head = peer.head().await.unwrap();
    assert_eq!(peer.body(&head).await, b"hello");
    // two at once
    peer.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    for _ in 0..2 {
        let head = peer.head().await.unwrap();
        assert_eq!(peer.body(&head).await, b"ok");
    }
    assert!(peer.rest().await.is_empty());
    // HTTP/1.0 gets no chunks
    let (head, body) = ask(port, "GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
    assert_eq!((field(&head, "connection").as_deref(), body.as_str()), (Some("close"), "ok"));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let mut rig = Rig::start().await;
    let backend = Backend::with(|mut peer, head| async move {
        assert_eq!(field(&head, "upgrade").as_deref(), Some("websocket"));
        assert_eq!(field(&head, "connection").as_deref(), Some("upgrade"));
        peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n").await;
        loop {
            let line = peer.until(b"\n").await;
            peer.stream.write_all(&line).await.unwrap();
            if line == b"bye\n" {
                return None;
            }
        }
    })
    .await;
    let port = free_port().await;
    rig.serve(vec![balancer(vec![listener(port, forward("g"))])], vec![group("g", &[backend.address])]).await;
    let mut peer = client(port).await;
    peer.send("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nearly\n").await;
    let head = peer.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert_eq!(field(&head, "sec-websocket-accept").as_deref(), Some("x"));
    assert_eq!(peer.until(b"\n").await, b"early\n");
    for text in ["one\n", "two\n", "bye\n"] {
        peer.send(text).await;
        assert_eq!(peer.until(b"\n").await, text.as_bytes());
    }
    assert!(peer.rest().await.is_empty(), "the end did not pass");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_target_is_passed_over() {
    let mut rig = Rig::start().await;
    let (alive, dying) = (Backend::named("alive").await, Backend::named("dying").await);
    let port = free_port().await;
    let (front, target) = (listener(port, forward("g")), dying.address);
    rig.serve(vec![balancer(vec![front])], vec![group("g", &[alive.address, target])]).await;
    drop(dying);
    // before and after detection: the refused connection is no client's trouble while another target lives
    for _ in 0..20 {
        assert!(get(port, "/").await.0.starts_with("HTTP/1.1 200 "), "a request failed");
    }
    rig.until_state("g", target, State::Unhealthy).await;
    let told = rig.seen.borrow().health[&("g".to_owned(), target)].clone();
    assert_eq!(told.reason.as_deref(), Some("Target.FailedHealthChecks"));
    for _ in 0..20 {
        assert_eq!(get(port, "/").await.1, "alive ");
    }
    let back = Backend::at(target, |peer, _| pass(peer, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback")).await;
    rig.until_state("g", target, State::Healthy).await;
    let mut bodies = vec![];
    for _ in 0..4 {
        bodies.push(get(port, "/").await.1);
    }
    assert!(bodies.contains(&"back".to_owned()), "the target that came back gets nothing: {bodies:?}");
    drop(back);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_target_does_wrong_has_its_status() {
    let mut rig = Rig::start().await;
    let backend = Backend::with(|mut peer, head| async move {
        let path = head.split(' ').nth(1).unwrap();
        match path {
            "/close" => None,
            "/garbage" => pass(peer, "not http\r\n\r\n").await,
            "/both" => pass(peer, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n").await,
            "/huge" => pass(peer, &format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(40_000))).await,
            "/short" => {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
                None
            }
            _ => pass(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await,
        }
    })
    .await;
    let port = free_port().await;
    let closed = std::net::SocketAddr::from(([127, 0, 0, 1], free_port().await));
    let mut front = listener(port, forward("g"));
    let path = |text: &str| vec![routing::config::Condition::PathPattern(vec![text.to_owned()])];
    front.rules = vec![rule(1, path("/refused"), forward("closed"))];
    let lb = balancer(vec![front]);
    let groups = vec![group("g", &[backend.address]), group("closed", &[closed])];
    rig.apply(vec![lb], groups).await;
    rig.until_state("g", backend.address, State::Healthy).await;
    for path in ["/close", "/garbage", "/both", "/huge", "/refused"] {
        let (head, body) = get(port, path).await;
        assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{path}: {head}");
        assert_eq!(body.len(), 122);
    }
    let mut peer = client(port).await;
    peer.send("GET /short HTTP/1.1\r\nHost: h\r\n\r\n").await;
    peer.head().await.unwrap();
    assert_eq!(peer.rest().await, b"abc", "a short answer must end the connection");
    assert!(get(port, "/").await.0.starts_with("HTTP/1.1 200 "));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_the_target_closed_is_no_clients_trouble() {
    let mut rig = Rig::start().await;
    // closes after each answer, without saying so
    let backend = Backend::with(|mut peer, _| async move {
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        None
    })
    .await;
    let port = free_port().await;
    rig.serve(vec![balancer(vec![listener(port, forward("g"))])], vec![group("g", &[backend.address])]).await;
    let mut peer = client(port).await;
    for at in 0..200 {
        peer.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let head = peer.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "request {at}: {head}");
        peer.body(&head).await;
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_target_finishes_what_it_has_begun() {
    let mut rig = Rig::start().await;
    let release = Arc::new(tokio::sync::Notify::new());
    let begun = Arc::new(AtomicUsize::new(0));
    let (wait, count) = (Arc::clone(&release), Arc::clone(&begun));
    let slow = Backend::with(move |peer, _| {
        let (wait, count) = (Arc::clone(&wait), Arc::clone(&count));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            wait.notified().await;
            pass(peer, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await
        }
    })
    .await;
    let other = Backend::named("other").await;
    let port = free_port().await;
    let front = || vec![balancer(vec![listener(port, forward("g"))])];
    rig.serve(front(), vec![group("g", &[slow.address])]).await;
    let pending = tokio::spawn(async move { get(port, "/").await });
    while begun.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let since = types_now();
    let mut after = group("g", &[slow.address, other.address]);
    after.targets[0].state = TargetState::Draining { since };
    rig.serve(front(), vec![after.clone()]).await;
    let key = ("g".to_owned(), slow.address);
    rig.until("one request in flight", |seen| seen.draining.get(&key).is_some_and(|n| n.contains(&1))).await;
    for _ in 0..10 {
        assert_eq!(get(port, "/").await.1, "other ", "a draining target got a new request");
    }
    release.notify_one();
    assert_eq!(pending.await.unwrap().1, "slow");
    rig.until("nothing in flight", |seen| seen.draining.get(&key).is_some_and(|n| n.last() == Some(&0))).await;

    // once more, with a delay that ends first
    rig.serve(front(), vec![group("g", &[slow.address])]).await;
    let pending = tokio::spawn(async move { get(port, "/").await });
    while begun.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    after.attributes = TargetGroupAttributes { deregistration_delay_ms: 1, ..TargetGroupAttributes::default() };
    rig.apply(front(), vec![after]).await;
    let (head, _) = pending.await.unwrap();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    rig.stop().await;
}

#[allow(clippy::disallowed_methods)] // the proxy under test lives by the machine's clock
fn types_now() -> types::Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    types::Timestamp(now.as_millis() as i64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_changes_under_load_without_a_failed_request() {
    let mut rig = Rig::start().await;
    let (a, b) = (Backend::named("a").await, Backend::named("b").await);
    let port = free_port().await;
    let front = |group: &str| vec![balancer(vec![listener(port, forward(group))])];
    let groups = || vec![group("ga", &[a.address]), group("gb", &[b.address])];
    let both = || {
        let mut front = front("ga");
        front[0].listeners[0].rules =
            vec![rule(1, vec![routing::config::Condition::PathPattern(vec!["/b".to_owned()])], forward("gb"))];
        front
    };
    rig.serve(both(), groups()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let mut load = tokio::task::JoinSet::new();
    for at in 0..4 {
        let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
        load.spawn(async move {
            let mut kept = client(port).await;
            while !stop.load(Ordering::SeqCst) {
                let head = if at % 2 == 0 {
                    kept.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
                    let head = kept.head().await.expect("a kept connection was dropped");
                    kept.body(&head).await;
                    head
                } else {
                    get(port, "/").await.0
                };
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                served.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for round in 0..40 {
        let mut front = both();
        front[0].listeners[0].default_action = forward(if round % 2 == 0 { "gb" } else { "ga" });
        rig.apply(front, groups()).await;
        let name = if round % 2 == 0 { "b " } else { "a " };
        assert_eq!(get(port, "/").await.1, name, "an applied configuration is not in force");
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(result) = load.join_next().await {
        result.unwrap();
    }
    assert!(served.load(Ordering::SeqCst) > 40);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_silent_meets_the_configuration_in_force() {
    let mut rig = Rig::start().await;
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    let port = free_port().await;
    let front = || vec![balancer(vec![listener(port, forward("g"))])];
    let mut targets = group("g", &[old.address, new.address]);
    targets.targets.pop();
    rig.serve(front(), vec![targets]).await;
    let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let (mut kept, fresh, mut halfway) = (client(port).await, client(port).await, client(port).await);
    kept.send(request).await;
    let head = kept.head().await.unwrap();
    assert_eq!(kept.body(&head).await, b"old ");
    halfway.send(&request[..20]).await;
    // long enough for the proxy to wait on all three
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut after = group("g", &[old.address, new.address]);
    after.targets[0].state = TargetState::Draining { since: types_now() };
    rig.serve(front(), vec![after]).await;
    for (mut peer, rest) in [(kept, request), (fresh, request), (halfway, &request[20..])] {
        peer.send(rest).await;
        let head = peer.head().await.expect("an answer");
        assert_eq!(peer.body(&head).await, b"new ", "a draining target got a new request");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_on_without_a_daemon_and_tells_the_next_one_all() {
    let mut rig = Rig::start().await;
    let backend = Backend::named("x").await;
    let port = free_port().await;
    rig.serve(vec![balancer(vec![listener(port, forward("g"))])], vec![group("g", &[backend.address])]).await;
    let Rig { run_dir, handle, seen, .. } = rig;
    drop((handle, seen));
    for _ in 0..5 {
        assert_eq!(get(port, "/").await.1, "x ");
    }
    let (mut handle, statuses) = proxy::ProxyHandle::connect(run_dir.path()).await.unwrap();
    let mut seen = support::listen(statuses);
    let key = ("g".to_owned(), backend.address);
    let told =
        seen.wait_for(|seen| seen.hello == Some(1) && seen.health.get(&key).is_some_and(|h| h.state == State::Healthy));
    tokio::time::timeout(PATIENCE, told).await.expect("the new daemon is told").unwrap();
    let counted = |seen: &Seen| {
        matches!(&seen.counters, Some(routing::Status::Counters { load_balancers, target_groups })
        if load_balancers[0].requests == 5 && target_groups[0].target_codes[1] == 5)
    };
    tokio::time::timeout(PATIENCE, seen.wait_for(counted)).await.expect("counters of 5 requests").unwrap();
    // nonsense on the control socket harms nobody
    let mut stray = tokio::net::UnixStream::connect(proxy::socket_path(run_dir.path())).await.unwrap();
    stray.write_all(&[255; 64]).await.unwrap();
    assert_eq!(get(port, "/").await.1, "x ");
    handle.shutdown().await.unwrap();
    tokio::time::timeout(PATIENCE, seen.wait_for(|_| false)).await.expect("the end of the process").unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_cannot_open_is_told_and_tried_again() {
    let mut rig = Rig::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    rig.apply(vec![balancer(vec![listener(port, fixed(200, "ok"))])], vec![]).await;
    assert_eq!(rig.seen.borrow().failures.len(), 1);
    drop(taken);
    rig.until("no failure", |seen| seen.failures.is_empty()).await;
    assert_eq!(get(port, "/").await.1, "ok");
    // a listener that is taken away closes, and its kept connections end
    let mut kept = client(port).await;
    kept.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let head = kept.head().await.unwrap();
    kept.body(&head).await;
    rig.apply(vec![], vec![]).await;
    let closed = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the port is still open");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_takes_its_request_along() {
    let mut rig = Rig::start().await;
    let gone = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&gone);
    let backend = Backend::with(move |mut peer, _| {
        let told = Arc::clone(&told);
        async move {
            peer.rest().await;
            told.notify_one();
            None
        }
    })
    .await;
    let port = free_port().await;
    let mut lb = balancer(vec![listener(port, forward("g"))]);
    lb.attributes = Attributes::default();
    rig.serve(vec![lb], vec![group("g", &[backend.address])]).await;
    let mut peer = client(port).await;
    peer.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    while backend.heads().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(peer);
    tokio::time::timeout(PATIENCE, gone.notified()).await.expect("the target's connection ends");
    rig.stop().await;
}
