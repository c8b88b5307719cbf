//! A session from its first message to its last: frames of the client on one side, a process on the other, and
//! [`datachannel::Agent`] between them, which says what to do.

use super::record::Record;
use super::{Opening, Registry, command};
use crate::control::Control;
use crate::names;
use crate::rows::TaskRow;
use crate::texts::exec as texts;
use datachannel::agent::{Agent, Failure, Manner};
use datachannel::payload::OpenDataChannel;
use datachannel::{Millis, Size, Wish};
use futures_util::{SinkExt, StreamExt};
use runtime::{RuntimeError, Session, SessionEvent, SessionSpec, TaskId, TerminalSize};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long a client may take to show its token.
const TOKEN_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether something has to be repeated. Source: the agent's `ResendSleepInterval`.
const TICK: Duration = Duration::from_millis(100);
/// A client that takes nothing for this long is gone.
const SEND_PATIENCE: Duration = Duration::from_secs(30);
/// How long the last output may take to arrive. Source: the agent's `PrepareToCloseChannel`.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);
/// Without input for this long a session ends. Source: ECS developer guide, "Using ECS Exec": it cannot be changed.
const IDLE: Duration = Duration::from_mins(20);
/// Input that the process has not taken, beyond which the client is not listened to.
const MOST_INPUT: usize = 64 << 10;
/// The size of a terminal whose client tells none. Source: VT100.
const SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };

/// How a session ends.
enum End {
    /// The process has ended.
    Over,
    /// The client wants it.
    Terminated,
    /// The client is gone.
    Gone,
    /// For this reason.
    Failed(String),
}

/// Holds the session `id` with whoever is behind `socket`.
pub(super) async fn hold<S: AsyncRead + AsyncWrite + Unpin>(
    control: Control,
    registry: &Registry,
    id: &str,
    manner: Manner,
    mut socket: WebSocketStream<S>,
) {
    let token = tokio::select! {
        token = token_of(&mut socket) => token,
        () = control.clock.sleep(TOKEN_PATIENCE) => None,
    };
    let opening = token.and_then(|token| registry.begin(id, &token, control.clock.now()));
    let Some(opening) = opening else {
        // Without a word, as Session Manager does.
        let _ = socket.close(None).await;
        return;
    };
    let counted = Counted(registry);
    let seed = seed();
    let record = Record::begin(&control, &opening);
    let now = millis(&control);
    let mut talk = Talk {
        agent: Agent::new(seed, manner, now),
        last_input: now,
        control,
        opening,
        manner,
        socket,
        session: None,
        record,
    };
    let end = talk.run().await;
    talk.end(end).await;
    drop(counted);
}

/// A begun session, which leaves whatever happens.
struct Counted<'a>(&'a Registry);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The token that a client begins with. Session Manager's plugin may ask for a sign of life before.
async fn token_of<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Option<String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            first => return token_in(first),
        }
    }
}

/// The token in a client's first message.
fn token_in(first: Option<Result<Message, Error>>) -> Option<String> {
    let Some(Ok(Message::Text(text))) = first else { return None };
    serde_json::from_str::<OpenDataChannel>(text.as_str()).ok().map(|open| open.token_value)
}

fn seed() -> [u8; 16] {
    let mut seed = [0; 16];
    let _ = hex::decode_to_slice(types::id::random_hex(32), &mut seed);
    seed
}

fn millis(control: &Control) -> Millis {
    u64::try_from(control.clock.now().millis()).unwrap_or(0)
}

struct Talk<S> {
    control: Control,
    opening: Opening,
    manner: Manner,
    socket: WebSocketStream<S>,
    agent: Agent,
    session: Option<Session>,
    record: Option<Record>,
    last_input: Millis,
}

/// What happens next.
enum Step {
    Frame(Option<Result<Message, Error>>),
    Event(SessionEvent),
    Tick,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn run(&mut self) -> End {
        if let Err(end) = self.connect().await {
            return end;
        }
        loop {
            if let Err(end) = self.flush().await {
                return end;
            }
            let step = self.step().await;
            let now = millis(&self.control);
            let done = match step {
                Step::Frame(frame) => self.frame(frame, now).await,
                Step::Event(event) => self.event(event, now).await,
                Step::Tick => Ok(()),
            };
            let done = match done {
                Ok(()) => self.tick(now).await,
                over => over,
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    /// The agent opens its end, from the task's own network and as its role.
    async fn connect(&mut self) -> Result<(), End> {
        let Opening { scope, cluster, task, .. } = &self.opening;
        let unreached = || End::Failed(texts::failed(texts::UNREACHED));
        let view = self.control.store.view();
        let row = view.get::<TaskRow>(scope, task).ok_or_else(unreached)?;
        let role = row.task_role.as_deref().ok_or_else(unreached)?;
        let session = self.control.ports.roles.assume(&view, scope, role, task).map_err(|_| unreached())?;
        let arn = names::task_arn(scope, cluster, task);
        let opened = self.control.ports.messages.open(scope, &session, &arn, &row.netns()).await;
        opened.map_err(|why| {
            tracing::debug!(task, why, "the agent cannot open a data channel");
            unreached()
        })
    }

    async fn step(&mut self) -> Step {
        let room = self.agent.has_room();
        let session = &mut self.session;
        let event = async {
            match session {
                Some(session) => session.next(room).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            frame = self.socket.next() => Step::Frame(frame),
            event = event => Step::Event(event),
            () = self.control.clock.sleep(TICK) => Step::Tick,
        }
    }

    async fn frame(&mut self, frame: Option<Result<Message, Error>>, now: Millis) -> Result<(), End> {
        let bytes = match frame {
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Gone),
            Some(Ok(_)) => return Ok(()),
        };
        let room = self.session.as_ref().is_none_or(|session| session.backlog() < MOST_INPUT);
        match self.agent.take(&bytes, room, now) {
            Ok(wishes) => {
                for wish in wishes {
                    self.grant(wish, now).await?;
                }
            }
            // As the agent does: what makes no sense is passed over.
            Err(malformed) => tracing::debug!(%malformed, session = self.opening.session, "a frame is passed over"),
        }
        Ok(())
    }

    async fn grant(&mut self, wish: Wish, now: Millis) -> Result<(), End> {
        if let Wish::Start(size) = wish {
            self.last_input = now;
            self.session = Some(self.start(size).await?);
            return Ok(());
        }
        if wish == Wish::Terminate {
            return Err(End::Terminated);
        }
        let Some(session) = &mut self.session else { return Ok(()) };
        match wish {
            Wish::Input(bytes) => {
                self.last_input = now;
                session.write(&bytes);
            }
            Wish::EndOfInput => session.finish_input(),
            Wish::Resize(size) => session.resize(terminal(size)),
            Wish::Signal(signal) => session.signal(signal),
            Wish::Start(_) | Wish::Terminate => {}
        }
        Ok(())
    }

    async fn start(&mut self, size: Option<Size>) -> Result<Session, End> {
        let failed = |why: String| End::Failed(why);
        let mut argv = command::words(&self.opening.command).map_err(|why| failed(texts::unparsable(why)))?;
        if argv.is_empty() {
            argv.push("sh".to_owned());
        }
        let task = TaskId::parse(&self.opening.task).ok_or_else(|| failed(texts::failed(texts::UNREACHED)))?;
        let spec = SessionSpec { argv, terminal: self.manner.terminal.then(|| size.map_or(SIZE, terminal)) };
        let opened = self.control.runtime.open(&task, &self.opening.container, spec).await;
        opened.map_err(|why| match why {
            RuntimeError::Host(why) => failed(texts::not_started(&why)),
            gone => failed(texts::not_started(&gone.to_string())),
        })
    }

    async fn event(&mut self, event: SessionEvent, now: Millis) -> Result<(), End> {
        match event {
            SessionEvent::Output(bytes) => {
                self.agent.output(&bytes, now);
                self.note(bytes).await;
            }
            SessionEvent::Errors(bytes) => {
                self.agent.errors(&bytes, now);
                self.note(bytes).await;
            }
            SessionEvent::Ended(code) => {
                self.agent.ended(code, now);
                return Err(End::Over);
            }
        }
        Ok(())
    }

    async fn note(&mut self, bytes: Vec<u8>) {
        if let Some(record) = &self.record {
            record.write(bytes).await;
        }
    }

    async fn tick(&mut self, now: Millis) -> Result<(), End> {
        match self.agent.tick(now) {
            Ok(None) => {}
            Ok(Some(wish)) => self.grant(wish, now).await?,
            Err(Failure::HandshakeTimeout) => return Err(End::Failed(texts::handshake_timeout())),
            Err(Failure::Lost) => return Err(End::Gone),
        }
        let idle = self.control.pace.scale(IDLE).as_millis() as u64;
        if self.session.is_some() && now.saturating_sub(self.last_input) > idle {
            return Err(End::Failed(texts::IDLE.to_owned()));
        }
        Ok(())
    }

    /// Sends what there is to be sent.
    async fn flush(&mut self) -> Result<(), End> {
        let now = millis(&self.control);
        let (socket, agent) = (&mut self.socket, &mut self.agent);
        let sent = async {
            while let Some(frame) = agent.outgoing(now) {
                socket.feed(Message::Binary(frame.into())).await?;
            }
            socket.flush().await
        };
        tokio::select! {
            sent = sent => sent.map_err(|_| End::Gone),
            () = self.control.clock.sleep(SEND_PATIENCE) => Err(End::Gone),
        }
    }

    /// The process is gone, the client has its last words and is told, the record is complete.
    async fn end(mut self, end: End) {
        self.session = None;
        let why = match end {
            End::Over => {
                self.settle().await;
                String::new()
            }
            End::Terminated => String::new(),
            End::Failed(why) => why,
            End::Gone => {
                self.finish_record().await;
                return;
            }
        };
        let Opening { session, cluster, task, .. } = &self.opening;
        self.agent.close(session, &format!("ecs:{cluster}_{task}"), &why, millis(&self.control));
        if self.flush().await.is_ok() {
            let clock = self.control.clock.clone();
            let socket = &mut self.socket;
            // The client closes as well; what it still says is not for anybody.
            let closed = async {
                let _ = socket.close(None).await;
                while let Some(Ok(_)) = socket.next().await {}
            };
            tokio::select! {
                () = closed => {}
                () = clock.sleep(SETTLE_PATIENCE) => {}
            }
        }
        self.finish_record().await;
    }

    /// Waits until the client has all that was sent.
    async fn settle(&mut self) {
        let clock = self.control.clock.clone();
        let deadline = clock.sleep(SETTLE_PATIENCE);
        let settled = async {
            while !self.agent.is_settled() {
                if self.flush().await.is_err() {
                    return;
                }
                let step = self.step().await;
                let now = millis(&self.control);
                let alive = match step {
                    Step::Frame(Some(Ok(Message::Binary(bytes)))) => {
                        let _ = self.agent.take(&bytes, true, now);
                        true
                    }
                    Step::Frame(Some(Ok(Message::Close(_)) | Err(_)) | None) => false,
                    _ => true,
                };
                if !alive || self.agent.tick(now).is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = settled => {}
            () = deadline => {}
        }
    }

    async fn finish_record(&mut self) {
        if let Some(record) = self.record.take() {
            record.finish().await;
        }
    }
}

fn terminal(size: Size) -> TerminalSize {
    let fit = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    TerminalSize { rows: fit(size.rows), columns: fit(size.cols) }
}
