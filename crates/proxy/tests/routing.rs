//! Requests meet the rules: paths and hosts, redirects, fixed answers, weights, and what ALB itself answers.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use routing::config::{Action, Attributes, Condition, Redirect};
use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_goes_where_its_rule_says() {
    let mut rig = Rig::start().await;
    let (users, orders, other) =
        (Backend::named("users").await, Backend::named("orders").await, Backend::named("other").await);
    let port = free_port().await;
    let path = |text: &str| vec![Condition::PathPattern(vec![text.to_owned()])];
    let mut front = listener(port, forward("other"));
    front.rules = vec![
        rule(10, path("/users/*"), forward("users")),
        rule(20, vec![Condition::HostHeader(vec!["orders.*".to_owned()])], forward("orders")),
        rule(30, path("/teapot"), fixed(418, "short and stout")),
        rule(
            40,
            path("/secure/*"),
            Action::Redirect(Redirect { protocol: "HTTPS".to_owned(), port: "443".to_owned(), ..Redirect::default() }),
        ),
        rule(50, path("/nowhere"), forward("empty")),
    ];
    let groups = vec![
        group("users", &[users.address]),
        group("orders", &[orders.address]),
        group("other", &[other.address]),
        group("empty", &[]),
    ];
    rig.serve(vec![balancer(vec![front])], groups).await;

    let (head, body) = get(port, "/users/1?x=y").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body, "users ");
    assert_eq!(field(&head, "connection").as_deref(), Some("keep-alive"));
    assert_eq!(ask(port, "GET / HTTP/1.1\r\nHost: Orders.example\r\n\r\n").await.1, "orders ");
    assert_eq!(ask(port, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").await.1, "other abc");

    let (head, body) = get(port, "/teapot").await;
    assert!(head.starts_with("HTTP/1.1 418 "), "{head}");
    assert_eq!((field(&head, "server").as_deref(), body.as_str()), (Some("awselb/2.0"), "short and stout"));
    assert_eq!(field(&head, "content-type").as_deref(), Some("text/plain; charset=utf-8"));

    let (head, body) = get(port, "/secure/a?b=c").await;
    assert!(head.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{head}");
    assert_eq!(field(&head, "location").as_deref(), Some("https://lb.test:443/secure/a?b=c"));
    assert_eq!(body.len(), 134);

    let (head, body) = get(port, "/nowhere").await;
    assert!(head.starts_with("HTTP/1.1 503 Service Temporarily Unavailable\r\n"), "{head}");
    assert_eq!(body.len(), 162);

    let sent = &users.heads()[0];
    assert!(sent.starts_with("GET /users/1?x=y HTTP/1.1\r\n"), "{sent}");
    assert_eq!(field(sent, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(field(sent, "x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(field(sent, "x-forwarded-port"), Some(port.to_string()));
    assert!(field(sent, "x-amzn-trace-id").unwrap().starts_with("Root=1-"));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_share_requests_and_targets_take_turns() {
    let mut rig = Rig::start().await;
    let (a, b, c) = (Backend::named("a").await, Backend::named("b").await, Backend::named("c").await);
    let port = free_port().await;
    let groups = vec![group("pair", &[a.address, b.address]), group("one", &[c.address]), group("none", &[])];
    let front = listener(port, weighted(&[("pair", 2), ("one", 1), ("none", 0)]));
    rig.serve(vec![balancer(vec![front])], groups).await;
    let mut peer = client(port).await;
    let mut count = [0u32; 3];
    for _ in 0..300 {
        peer.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let head = peer.head().await.unwrap();
        let body = peer.body(&head).await;
        count[usize::from(body[0] - b'a')] += 1;
    }
    assert!(count[0].abs_diff(count[1]) <= 1, "targets did not take turns: {count:?}");
    assert!((60..140).contains(&count[2]), "a third belongs to the second group: {count:?}");
    assert!(a.connections.load(std::sync::atomic::Ordering::SeqCst) <= 1, "connections to targets were not kept");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_malformed_is_refused_with_the_right_page() {
    let mut rig = Rig::start().await;
    let backend = Backend::named("x").await;
    let port = free_port().await;
    rig.serve(vec![balancer(vec![listener(port, forward("g"))])], vec![group("g", &[backend.address])]).await;
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("garbage\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\nabc", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ];
    for (request, status) in cases {
        let (head, body) = ask(port, request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {head}");
        assert!(body.contains(&format!("<center><h1>{status} ")), "{request:?}: {body}");
        assert_eq!(field(&head, "server").as_deref(), Some("awselb/2.0"));
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(17_000));
    assert!(ask(port, &long).await.0.starts_with("HTTP/1.1 414 "));
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {}\r\n\r\n", ["1.1.1.1"; 31].join(", "));
    assert!(ask(port, &many).await.0.starts_with("HTTP/1.1 463"));
    assert!(get(port, "/").await.0.starts_with("HTTP/1.1 200 "), "the proxy lives on");
    for head in backend.heads() {
        assert!(head.starts_with("GET / ") || head.starts_with("POST / "), "something was smuggled: {head}");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_client_and_a_silent_target_have_their_time() {
    let mut rig = Rig::start().await;
    let silent = Backend::with(|peer, _| async move {
        let mut peer = peer;
        peer.rest().await;
        None
    })
    .await;
    let port = free_port().await;
    let mut lb = balancer(vec![listener(port, forward("g"))]);
    lb.attributes = Attributes { idle_timeout_ms: 300, ..Attributes::default() };
    rig.serve(vec![lb], vec![group("g", &[silent.address])]).await;
    let (head, _) = get(port, "/").await;
    assert!(head.starts_with("HTTP/1.1 504 Gateway Time-out\r\n"), "{head}");
    let mut half = client(port).await;
    half.send("GET / HT").await;
    let head = half.head().await.expect("an answer to half a request");
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    let mut idle = client(port).await;
    assert!(idle.rest().await.is_empty(), "a connection without a request is closed without a word");
    rig.stop().await;
}
