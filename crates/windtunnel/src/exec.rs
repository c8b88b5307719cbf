//! `windtunnel exec`: a command in a running container, for those who have no Session Manager plugin.
//!
//! It is a client as any other: `ExecuteCommand` is asked as AWS has it, signed, so that it is refused for the reasons for
//! which AWS would refuse it, and the data channel carries the rest. From a terminal the command has one too, of the same size;
//! otherwise it has three pipes. Where this and AWS's plugin differ is the exit code, which is passed on.

mod call;
mod terminal;

use crate::cli::ExecOptions;
use crate::daemon;
use crate::paths::Paths;
use call::{Caller, Promise};
use datachannel::payload::OpenDataChannel;
use datachannel::{Client, Millis, Told};
use futures_util::{SinkExt, StreamExt};
use std::io::{IsTerminal, Read, Write};
use std::time::Duration;
use terminal::Raw;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// How often it is looked whether something has to be repeated.
const TICK: Duration = Duration::from_millis(100);
/// What has been typed and waits, in pieces.
const WAITING: usize = 16;
/// One read's most.
const PIECE: usize = 4096;
/// The exit code of a program that wrote to a pipe which nobody reads.
const BROKEN_PIPE: i32 = 128 + 13;

/// Runs the command and gives its exit code.
pub(crate) fn exec(paths: &Paths, options: &ExecOptions) -> Result<i32, String> {
    let endpoint = match (&options.endpoint, daemon::running(paths)) {
        (Some(endpoint), _) => endpoint.clone(),
        (None, Some(beacon)) => beacon.endpoint,
        (None, None) => {
            return Err(format!("no server runs on {}. Start it with: windtunnel serve", paths.data.display()));
        }
    };
    let caller = Caller::from_environment(&endpoint)?;
    let promise = caller.execute_command(options)?;
    let in_terminal = std::io::stdin().is_terminal();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the async runtime: {error}"))?;
    let outcome = runtime.block_on(hold(&promise, in_terminal));
    // Somebody may still be reading what is typed.
    runtime.shutdown_background();
    outcome
}

async fn hold(promise: &Promise, in_terminal: bool) -> Result<i32, String> {
    let broken = |error: &dyn std::fmt::Display| {
        format!("the session cannot be opened: {error}. See whether the server runs with: windtunnel status")
    };
    let stream = TcpStream::connect(&promise.authority).await.map_err(|error| broken(&error))?;
    let manner = if in_terminal { "exit=told" } else { "exit=told&terminal=none" };
    let url = format!("{}&{manner}", promise.url);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.map_err(|error| broken(&error))?;
    let version = env!("CARGO_PKG_VERSION");
    let open = OpenDataChannel {
        message_schema_version: "1.0".to_owned(),
        request_id: types::id::random_uuid(),
        token_value: promise.token.clone(),
        client_id: types::id::random_uuid(),
        client_version: version.to_owned(),
    };
    let open = serde_json::to_string(&open).map_err(|error| broken(&error))?;
    socket.send(Message::Text(open.into())).await.map_err(|error| broken(&error))?;
    let mut seed = [0; 16];
    let _ = hex::decode_to_slice(types::id::random_hex(32), &mut seed);
    let signals = Signals::listen().map_err(|error| format!("cannot handle signals: {error}"))?;
    let (client, code, begun) = (Client::new(seed, version), None, Instant::now());
    let exchange = Exchange { socket, client, begun, in_terminal, signals, typed: None, raw: None, code };
    exchange.run().await
}

struct Exchange {
    socket: WebSocketStream<TcpStream>,
    client: Client,
    begun: Instant,
    in_terminal: bool,
    signals: Signals,
    /// What is typed, once the other end listens and as long as there is more.
    typed: Option<mpsc::Receiver<Vec<u8>>>,
    /// Gives the terminal its manners back.
    raw: Option<Raw>,
    code: Option<i32>,
}

/// Why a session is over before its command, and what to do.
fn broken_off(why: &str) -> String {
    format!("the session has broken off: {why}. Its command was killed; run windtunnel exec again to begin anew")
}

impl Exchange {
    async fn run(mut self) -> Result<i32, String> {
        loop {
            self.flush().await?;
            let room = self.client.has_room();
            tokio::select! {
                frame = self.socket.next() => {
                    let frame = match frame {
                        Some(Ok(Message::Binary(frame))) => frame,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => {
                            return Err(broken_off("the server has closed it"));
                        }
                        Some(Ok(_)) => continue,
                    };
                    let now = self.now();
                    let told = self.client.take(&frame, true, now).map_err(|error| error.to_string())?;
                    for told in told {
                        if let Some(end) = self.heed(told) {
                            // What was heard is acknowledged, as far as that still matters.
                            let _ = self.flush().await;
                            return end;
                        }
                    }
                }
                piece = next_of(&mut self.typed), if room => {
                    if let Some(bytes) = piece {
                        self.client.input(&bytes, self.now());
                    } else {
                        self.typed = None;
                        if !self.in_terminal {
                            self.client.end_input(self.now());
                        }
                    }
                }
                number = self.signals.next() => self.signalled(number)?,
                () = tokio::time::sleep(TICK) => {}
            }
            let now = self.now();
            self.client.tick(now).map_err(|_| broken_off("nobody answers any more"))?;
        }
    }

    fn now(&self) -> Millis {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    async fn flush(&mut self) -> Result<(), String> {
        let now = self.now();
        let broken = |error: tokio_tungstenite::tungstenite::Error| broken_off(&error.to_string());
        while let Some(frame) = self.client.outgoing(now) {
            self.socket.feed(Message::Binary(frame.into())).await.map_err(broken)?;
        }
        self.socket.flush().await.map_err(broken)
    }

    /// Does what was told; the end, if it was that.
    fn heed(&mut self, told: Told) -> Option<Result<i32, String>> {
        let written = match told {
            Told::Ready(message) => {
                if self.in_terminal {
                    self.raw = Raw::enter();
                    self.tell_size();
                }
                self.typed = Some(typed());
                write(std::io::stdout(), message.as_bytes())
            }
            Told::Output(bytes) => write(std::io::stdout(), &bytes),
            Told::Errors(bytes) => write(std::io::stderr(), &bytes),
            Told::ExitCode(code) => {
                self.code = Some(code);
                Ok(())
            }
            Told::Closed(why) if why.is_empty() => return Some(Ok(self.code.unwrap_or(0))),
            Told::Closed(why) => return Some(Err(why.trim_start_matches("----------ERROR-------\n").to_owned())),
        };
        written.is_err().then_some(Ok(BROKEN_PIPE))
    }

    fn tell_size(&mut self) {
        if let Some(size) = terminal::size() {
            self.client.size(size, self.now());
        }
    }

    fn signalled(&mut self, number: i32) -> Result<(), String> {
        if number == nix::libc::SIGWINCH {
            if self.in_terminal {
                self.tell_size();
            }
            return Ok(());
        }
        if self.in_terminal {
            // In a terminal keys are the container's; this came from elsewhere.
            return Err("ended by a signal".to_owned());
        }
        self.client.signal(u8::try_from(number).unwrap_or(15), self.now());
        Ok(())
    }
}

/// The next piece; none at the end. Where nothing is typed, it never comes.
async fn next_of(typed: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match typed {
        Some(typed) => typed.recv().await,
        None => std::future::pending().await,
    }
}

/// What comes by standard input, read by a thread of its own, which nobody waits for.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (pieces, typed) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
        while let Ok(length @ 1..) = std::io::stdin().lock().read(&mut buffer) {
            if pieces.blocking_send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    typed
}

fn write(mut to: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// The signals that are not this process's own affair.
struct Signals {
    resized: Signal,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.resized.recv() => nix::libc::SIGWINCH,
            _ = self.interrupt.recv() => nix::libc::SIGINT,
            _ = self.terminate.recv() => nix::libc::SIGTERM,
            _ = self.hangup.recv() => nix::libc::SIGHUP,
        }
    }
}
