//! Steady traffic that notices each failure: clients that keep their connections, and clients that open one a request.

use super::http::{KeepAlive, request};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The pause of each client between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// Traffic stops by itself after this, whatever a story does.
const MOST: Duration = Duration::from_secs(240);

/// An answer that takes this long has hung, even on a machine with much else to do.
const HANGS: Duration = Duration::from_secs(4);

/// What traffic has met.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// When, and what came instead of 200.
    pub(crate) failed: Vec<(Instant, String)>,
    /// Connections that clients which keep them have opened.
    pub(crate) opened: u64,
    /// How long the slowest answer took, of all so far.
    pub(crate) slowest: Duration,
}

/// Traffic that goes on until it is stopped or dropped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Two clients that keep their connections and two that do not, all asking for `path` of `host` at `address`.
    pub(crate) fn start(address: SocketAddr, host: &str, path: &str) -> Self {
        let mut load = Self { stop: Arc::default(), tally: Arc::default(), clients: Vec::new() };
        for _ in 0..2 {
            let mut client = KeepAlive::new(address, host);
            let kept = path.to_owned();
            load.client(move || {
                let before = client.opened;
                let outcome = client.get(&kept).map(|answer| answer.status).map_err(|error| error.to_string());
                (outcome, client.opened - before)
            });
            let (host, path) = (host.to_owned(), path.to_owned());
            load.client(move || {
                let outcome = request(address, "GET", &path, &[("host", &host)], b"");
                (outcome.map(|answer| answer.status).map_err(|error| error.to_string()), 0)
            });
        }
        load
    }

    /// One more client; `ask` gives a status or why there is none, and how many connections it has opened anew.
    pub(crate) fn client(&mut self, mut ask: impl FnMut() -> (Result<u16, String>, u64) + Send + 'static) {
        let (stop, tally) = (self.stop.clone(), self.tally.clone());
        let begun = Instant::now();
        self.clients.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) && begun.elapsed() < MOST {
                let asked = Instant::now();
                let (outcome, opened) = ask();
                let mut tally = tally.lock().unwrap();
                tally.opened += opened;
                tally.slowest = tally.slowest.max(asked.elapsed());
                match outcome {
                    Ok(200) => tally.answered += 1,
                    Ok(status) => tally.failed.push((asked, format!("status {status}"))),
                    Err(why) => tally.failed.push((asked, why)),
                }
                drop(tally);
                std::thread::sleep(PAUSE);
            }
        }));
    }

    /// Traffic without clients yet.
    pub(crate) fn none() -> Self {
        Self { stop: Arc::default(), tally: Arc::default(), clients: Vec::new() }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    /// Lets traffic go on for `by` and gives what it has met in that time.
    pub(crate) fn for_another(&self, by: Duration) -> Tally {
        let before = self.tally();
        std::thread::sleep(by);
        self.since(&before)
    }

    /// What traffic has met since it had met `before`.
    pub(crate) fn since(&self, before: &Tally) -> Tally {
        let now = self.tally();
        Tally {
            answered: now.answered - before.answered,
            failed: now.failed[before.failed.len()..].to_vec(),
            opened: now.opened - before.opened,
            slowest: now.slowest,
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Tally {
    /// Expects that requests went on without one that failed or hung.
    pub(crate) fn assert_undisturbed(&self, meanwhile: &str) {
        assert!(self.failed.is_empty(), "expected no request to fail while {meanwhile}, but: {:#?}", self.failed);
        assert!(self.answered >= 8, "expected requests to be answered while {meanwhile}, but: {self:?}");
        assert!(self.slowest < HANGS, "expected no request to hang while {meanwhile}, but: {self:?}");
    }
}
