//! A download over the task's own network: one GET, answered by whoever has the host's address there.
//!
//! The agent asks nobody in this process: the connection leaves by the task's interface and comes in by a door, which knows
//! what may pass.

use super::reach::{LOOKS, PAUSE, Reach};
use crate::texts;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use types::Scope;

/// How long an answer may take. Whoever answers is a busy program, not AWS: no pace makes it faster.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was answered.
pub(super) struct Fetched {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Reach {
    /// The answer to a GET of `target` at `host`, of at most `limit` bytes. The error is what Go's HTTP library says behind
    /// the address.
    pub(super) async fn fetch(
        &self,
        scope: &Scope,
        netns: &str,
        (host, target): (&str, &str),
        limit: usize,
    ) -> Result<Fetched, String> {
        let mut refused = String::new();
        for _ in 0..LOOKS {
            let (address, stream) = self.dial(scope, netns, host).await?;
            let Some(stream) = stream else {
                // A door opens a moment after its endpoint is there.
                refused = texts::dial(address, "connect: connection refused");
                self.clock().sleep(PAUSE).await;
                continue;
            };
            return tokio::select! {
                answer = ask(stream, host, target, limit) => answer.ok_or_else(|| texts::EOF.to_owned()),
                () = self.clock().sleep(PATIENCE) => Err(texts::NO_HEADERS.to_owned()),
            };
        }
        Err(refused)
    }
}

/// None if the connection or the answer broke off, or the answer is too long.
async fn ask(stream: TcpStream, host: &str, target: &str, limit: usize) -> Option<Fetched> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get(target).header(header::HOST, host).body(Empty::<Bytes>::new()).ok()?;
    // It ends with the sender.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.ok()?;
    let status = response.status();
    let body = Limited::new(response.into_body(), limit).collect().await.ok()?;
    Some(Fetched { status, body: body.to_bytes() })
}
