//! The shim's loop: containers' ends, their output, deadlines, and what daemons ask.
//!
//! Containers are made one after the other, in the order in which they are wanted, and the loop goes on meanwhile: what a container is made
//! of may hang, and is stopped all the same. One that is stopped before its program runs is killed at once: there is nobody to heed a signal.

use super::connection::Connection;
use super::holder::Holder;
use super::sessions::Sessions;
use super::{now, own_state, read_order, save_state, ticks};
use crate::cgroup::{Cgroups, Group};
use crate::container::{self, Attach, Launched, Making, Opened, Order, attach, launch};
use crate::event::LogStream;
use crate::log::LogWriter;
use crate::paths::Paths;
use crate::protocol::{Refusal, Report, Request, SessionRequest, ShimState};
use crate::sim::never_started;
use crate::spec::{ContainerSpec, ExecSpec, LogBuffer, Restart, StartWhen, TaskId};
use crate::status::{ContainerState, ContainerStatus, ExecOutcome, Exit, TaskStatus};
use crate::storage::Disk;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

/// How often a container whose output is not shipped is looked at again.
const BACKPRESSURE_MILLIS: u64 = 50;
/// Daemons at a time: the present one and one that is about to die.
const MAX_CONNECTIONS: usize = 8;
/// As much of an extra process's output as ECS keeps of a health check's.
const EXEC_OUTPUT: usize = 4096;
/// Extra processes at a time.
const MAX_EXECS: usize = 32;

pub(super) struct Supervisor {
    order_file: File,
    id: TaskId,
    paths: Paths,
    cgroups: Cgroups,
    /// Of the namespaces that the containers share, if they do.
    holder: Option<Holder>,
    /// What the containers write to, if that is a file system of their own.
    disk: Option<Disk>,
    containers: Vec<Container>,
    execs: Vec<Exec>,
    sessions: Sessions,
    signals: SignalFd,
    ending: bool,
    /// Containers that are to be made, by their places.
    wanted: VecDeque<usize>,
    /// The one that is being made.
    making: Option<Made>,
}

/// What is known of a container that is being made.
struct Made {
    index: usize,
    making: Making,
    log: LogWriter,
    ooms: u64,
    /// It is to be nothing after all.
    killed: bool,
}

struct Container {
    name: String,
    state: ContainerState,
    start: StartWhen,
    restart: Option<Restart>,
    restarts: u32,
    /// When it was last started, in ticks, and whether it is to end since.
    begun: u64,
    told_to_end: bool,
    stop_signal: i32,
    stop_millis: u64,
    buffer: LogBuffer,
    pid: Option<Pid>,
    streams: Vec<(LogStream, OwnedFd)>,
    /// The writing end of its standard input, which is never written to.
    stdin: Option<OwnedFd>,
    log: Option<LogWriter>,
    /// When to kill it.
    deadline: Option<u64>,
    /// Kills for want of memory before this start.
    ooms: u64,
    news: bool,
    /// How its last run ended, while the next is being made: others see it run.
    ended: Option<ContainerState>,
    /// Whom to tell once it is made or is not.
    questions: Vec<u64>,
}

struct Exec {
    number: u64,
    pid: Pid,
    output: Option<OwnedFd>,
    bytes: Vec<u8>,
    deadline: u64,
    timed_out: bool,
}

impl Supervisor {
    pub(super) fn new(
        order_file: File,
        order: &Order,
        sessions: Sessions,
        holder: Option<Holder>,
        disk: Option<Disk>,
    ) -> io::Result<Self> {
        let signals = SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let containers = order.spec.containers.iter().map(Container::new).collect();
        Ok(Self {
            order_file,
            id: order.spec.id.clone(),
            paths: order.paths.clone(),
            cgroups: order.cgroups.clone(),
            holder,
            disk,
            containers,
            execs: Vec::new(),
            sessions,
            signals,
            ending: false,
            wanted: VecDeque::new(),
            making: None,
        })
    }

    pub(super) fn save(&self) -> io::Result<()> {
        save_state(&self.paths.state(&self.id), &self.state())
    }

    pub(super) fn want_all(&mut self) {
        let all = self.containers.iter().enumerate();
        self.wanted.extend(all.filter(|(_, c)| c.start == StartWhen::Now).map(|(index, _)| index));
    }

    /// Until there is nothing more to do.
    pub(super) fn serve(&mut self, daemon: Connection, listener: &UnixListener) {
        let mut daemons = vec![daemon];
        let mut told = self.state();
        tell(&mut daemons, &Report::State(told.clone()));
        let mut answers = Vec::new();
        loop {
            self.make(&mut answers);
            self.publish(&mut told, &mut daemons);
            for answer in answers.drain(..) {
                tell(&mut daemons, &answer);
            }
            if self.is_over(&daemons) {
                self.clean();
                return;
            }
            self.wait(&mut daemons, listener);
            while let Ok((stream, _)) = listener.accept() {
                let mut daemon = Connection::new(stream);
                daemon.send(&Report::State(told.clone()));
                daemons.push(daemon);
            }
            if daemons.len() > MAX_CONNECTIONS {
                daemons.remove(0);
            }
            for index in 0..daemons.len() {
                for request in daemons[index].requests() {
                    if let Some(answer) = self.handle(request) {
                        self.publish(&mut told, &mut daemons);
                        daemons[index].send(&answer);
                    }
                }
            }
            for (caller, request) in self.sessions.asked() {
                let opened = self.open(&request);
                self.sessions.answer(caller, opened);
            }
            while let Ok(Some(_)) = self.signals.read_signal() {}
            self.copy_output();
            let ended = self.reap(&mut told, &mut daemons);
            self.expire();
            for container in &mut self.containers {
                if std::mem::take(&mut container.news) {
                    tell(&mut daemons, &Report::Log(container.name.clone()));
                }
            }
            self.publish(&mut told, &mut daemons);
            for report in &ended {
                tell(&mut daemons, report);
            }
            daemons.iter_mut().for_each(Connection::flush);
            daemons.retain(|daemon| !daemon.is_closed());
        }
    }

    fn is_over(&self, daemons: &[Connection]) -> bool {
        let idle = self.execs.is_empty() && self.sessions.is_empty();
        let made = self.making.is_none() && self.wanted.is_empty();
        let over = self.containers.iter().all(|c| c.state.is_over()) && idle && made;
        over && (self.ending || daemons.is_empty())
    }

    /// Writes a new state down before telling anyone.
    fn publish(&self, told: &mut ShimState, daemons: &mut [Connection]) {
        let state = self.state();
        if state != *told {
            let _ = self.save();
            tell(daemons, &Report::State(state.clone()));
            *told = state;
        }
    }

    fn state(&self) -> ShimState {
        let of = |c: &Container| ContainerStatus { name: c.name.clone(), state: c.state.clone(), restarts: c.restarts };
        own_state(TaskStatus { task: self.id.clone(), containers: self.containers.iter().map(of).collect() })
    }

    fn wait(&mut self, daemons: &mut [Connection], listener: &UnixListener) {
        let mut blocked = false;
        let deadlines = self.containers.iter().filter_map(|c| c.deadline);
        let soonest = deadlines.chain(self.execs.iter().filter(|e| !e.timed_out).map(|e| e.deadline)).min();
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        for daemon in daemons.iter() {
            let room = if daemon.has_backlog() { PollFlags::POLLOUT } else { PollFlags::empty() };
            fds.push(PollFd::new(daemon.fd(), PollFlags::POLLIN | room));
        }
        self.sessions.watch(&mut fds);
        fds.extend(self.making.iter().map(|made| PollFd::new(made.making.watched(), PollFlags::POLLIN)));
        for container in &mut self.containers {
            let full = container.log.as_mut().is_some_and(LogWriter::is_full);
            blocked |= full && !container.streams.is_empty();
            if !full {
                fds.extend(container.streams.iter().map(|(_, fd)| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
            }
        }
        let outputs = self.execs.iter().filter_map(|e| e.output.as_ref());
        fds.extend(outputs.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        let mut wait = soonest.map(|at| at.saturating_sub(ticks()));
        if blocked {
            wait = Some(wait.map_or(BACKPRESSURE_MILLIS, |w| w.min(BACKPRESSURE_MILLIS)));
        }
        let timeout =
            wait.map_or(PollTimeout::NONE, |w| PollTimeout::try_from(w.min(1 << 30)).unwrap_or(PollTimeout::MAX));
        let _ = poll(&mut fds, timeout);
    }

    fn handle(&mut self, request: Request) -> Option<Report> {
        match request {
            Request::Start { number, container } => {
                let refusal = match self.index(&container) {
                    None => Refusal::NoContainer,
                    Some(index) if self.containers[index].pid.is_some() => {
                        Refusal::WrongState(self.containers[index].state.word().to_owned())
                    }
                    Some(index) => {
                        self.containers[index].questions.push(number);
                        self.want(index);
                        return None;
                    }
                };
                Some(Report::Started { number, result: Err(refusal) })
            }
            Request::Stop { container, grace_millis } => {
                for index in 0..self.containers.len() {
                    if container.as_ref().is_none_or(|name| *name == self.containers[index].name) {
                        self.stop(index, grace_millis);
                    }
                }
                None
            }
            Request::Kill => {
                (0..self.containers.len()).for_each(|index| self.stop(index, Some(0)));
                None
            }
            Request::End => {
                self.ending = true;
                (0..self.containers.len()).for_each(|index| self.stop(index, Some(0)));
                None
            }
            Request::Leave { most_millis } => {
                self.ending = true;
                for index in 0..self.containers.len() {
                    self.stop(index, Some(self.containers[index].stop_millis.min(most_millis)));
                }
                None
            }
            Request::Storage { number } => {
                let used = self.disk.as_ref().map(|disk| disk.usage().map_err(|e| Refusal::Failed(e.to_string())));
                Some(Report::Storage { number, result: used.transpose() })
            }
            Request::Execute { number, container, spec } => match self.execute(number, &container, &spec) {
                Ok(()) => None,
                Err(refusal) => Some(Report::Executed { number, result: Err(refusal) }),
            },
        }
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.containers.iter().position(|c| c.name == name)
    }

    /// The container is to be made, when its turn comes.
    fn want(&mut self, index: usize) {
        if !self.is_wanted(index) {
            self.wanted.push_back(index);
        }
    }

    fn is_wanted(&self, index: usize) -> bool {
        self.wanted.contains(&index) || self.making.as_ref().is_some_and(|made| made.index == index)
    }

    /// Goes on with what is to be made, as far as that goes without waiting.
    fn make(&mut self, answers: &mut Vec<Report>) {
        loop {
            if let Some(made) = &mut self.making {
                if !made.making.is_done() {
                    break;
                }
                self.made();
            } else if let Some(index) = self.wanted.pop_front() {
                match self.begin(index) {
                    Ok(made) => self.making = Some(made),
                    Err(reason) => self.containers[index].begins(ContainerState::Failed { reason, at: now() }),
                }
            } else {
                break;
            }
        }
        for index in 0..self.containers.len() {
            if !self.is_wanted(index) {
                self.answer(index, answers);
            }
        }
    }

    fn answer(&mut self, index: usize, answers: &mut Vec<Report>) {
        let container = &mut self.containers[index];
        let result = || Ok(container.state.clone());
        answers.extend(container.questions.drain(..).map(|number| Report::Started { number, result: result() }));
    }

    fn begin(&mut self, index: usize) -> Result<Made, String> {
        let order = read_order(&self.order_file).map_err(|e| format!("reading the task's spec: {e}"))?;
        let name = self.containers[index].name.clone();
        let ooms = self.cgroups.oom_kills(Group::Container(self.id.as_str(), &name));
        let logs = self.paths.logs(&self.id, &name);
        let log = LogWriter::open(logs, self.containers[index].buffer).map_err(|e| format!("opening the log: {e}"))?;
        let making = launch(&order, index, self.holder.as_ref(), self.disk.as_ref())?;
        Ok(Made { index, making, log, ooms, killed: false })
    }

    /// The container has been made, or has failed, or was killed meanwhile.
    fn made(&mut self) {
        let Some(made) = self.making.take() else { return };
        let container = &mut self.containers[made.index];
        let pid = made.making.pid();
        let ended = made.making.end();
        if made.killed {
            if ended.is_ok() {
                // It has let go of the pipe, and dies.
                let _ = waitpid(pid, None);
            }
            return container.ends_unmade();
        }
        match ended {
            Ok(launched) => container.runs(launched, made.log, made.ooms),
            Err(reason) => container.begins(ContainerState::Failed { reason, at: now() }),
        }
    }

    fn stop(&mut self, index: usize, grace_millis: Option<u64>) {
        if let Some(made) = self.making.as_mut().filter(|made| made.index == index) {
            made.killed = true;
            let _ = kill(made.making.pid(), Signal::SIGKILL);
            // In a process namespace that is shared its children are not killed with it.
            self.cgroups.kill(Group::Container(self.id.as_str(), &self.containers[index].name));
            return;
        }
        if self.wanted.contains(&index) {
            self.wanted.retain(|wanted| *wanted != index);
            return self.containers[index].ends_unmade();
        }
        self.containers[index].stop(grace_millis);
    }

    fn execute(&mut self, number: u64, name: &str, spec: &ExecSpec) -> Result<(), Refusal> {
        let index = self.index(name).ok_or(Refusal::NoContainer)?;
        let word = self.containers[index].state.word().to_owned();
        let init = self.containers[index].pid.ok_or(Refusal::WrongState(word))?;
        if self.execs.len() >= MAX_EXECS {
            return Err(Refusal::Failed("too many processes are being executed".to_owned()));
        }
        let order = read_order(&self.order_file).map_err(|e| Refusal::Failed(e.to_string()))?;
        let (pid, output) = attach(&order, index, &Attach { init, argv: &spec.argv }).map_err(Refusal::Failed)?;
        let _ = nix::fcntl::fcntl(&output, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK));
        let deadline = ticks().saturating_add(u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX));
        self.execs.push(Exec { number, pid, output: Some(output), bytes: Vec::new(), deadline, timed_out: false });
        Ok(())
    }

    fn open(&self, request: &SessionRequest) -> Result<Opened, Refusal> {
        let index = self.index(&request.container).ok_or(Refusal::NoContainer)?;
        let word = self.containers[index].state.word().to_owned();
        let init = self.containers[index].pid.ok_or(Refusal::WrongState(word))?;
        let order = read_order(&self.order_file).map_err(|e| Refusal::Failed(e.to_string()))?;
        container::open(&order, index, init, &request.spec).map_err(Refusal::Failed)
    }

    fn copy_output(&mut self) {
        for container in &mut self.containers {
            if !container.log.as_mut().is_some_and(LogWriter::is_full) {
                container.copy(1);
            }
        }
        self.execs.iter_mut().for_each(Exec::copy);
    }

    /// Takes note of what has ended.
    fn reap(&mut self, told: &mut ShimState, daemons: &mut [Connection]) -> Vec<Report> {
        let mut reports = Vec::new();
        loop {
            let (pid, code, signal) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code, None),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32, Some(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return reports,
                Ok(_) | Err(_) => continue,
            };
            if let Some(made) = self.making.as_mut().filter(|made| made.making.pid() == pid) {
                // Dead before it was seen to run: by its reason, or by the end of a program that was quick.
                let _ = made.making.is_done();
                self.made();
            }
            if let Some(index) = self.containers.iter().position(|c| c.pid == Some(pid)) {
                let group = Group::Container(self.id.as_str(), &self.containers[index].name);
                let ooms = self.cgroups.oom_kills(group);
                if self.holder.as_ref().is_some_and(|holder| holder.processes.is_some()) {
                    // The kernel ends a container's others with its first process only in a namespace of its own.
                    self.cgroups.kill(group);
                }
                let again = self.containers[index].starts_again(code);
                let before = self.containers[index].state.clone();
                self.containers[index].ended(code, signal, ooms);
                if again {
                    let container = &mut self.containers[index];
                    container.ended = Some(std::mem::replace(&mut container.state, before));
                    // Told before it begins, since it may ask for the number at once.
                    container.restarts += 1;
                    self.publish(told, daemons);
                    self.want(index);
                }
            }
            self.sessions.ended(pid, code);
            if let Some(at) = self.execs.iter().position(|e| e.pid == pid) {
                let mut exec = self.execs.swap_remove(at);
                exec.copy();
                let code = (!exec.timed_out).then_some(code);
                let result = Ok(ExecOutcome { code, output: exec.bytes });
                reports.push(Report::Executed { number: exec.number, result });
            }
        }
    }

    /// Kills what has had its time.
    fn expire(&mut self) {
        let now = ticks();
        for container in &mut self.containers {
            if container.deadline.is_some_and(|at| at <= now) {
                container.deadline = None;
                container.signal(Signal::SIGKILL as i32);
            }
        }
        for exec in self.execs.iter_mut().filter(|e| e.deadline <= now && !e.timed_out) {
            exec.timed_out = true;
            let _ = kill(exec.pid, Signal::SIGKILL);
        }
    }

    /// The groups are empty now; whoever removes the task does not have to wait for that.
    fn clean(&mut self) {
        let _ = self.save();
        self.holder = None;
        self.disk = None;
        let _ = self.cgroups.remove(Group::Task(self.id.as_str()));
        let _ = std::fs::remove_file(self.paths.control(&self.id));
        let _ = std::fs::remove_file(self.paths.sessions(&self.id));
    }
}

impl Container {
    fn new(spec: &ContainerSpec) -> Self {
        Self {
            name: spec.name.clone(),
            state: ContainerState::Created,
            start: spec.start,
            restart: spec.restart.clone(),
            restarts: 0,
            begun: 0,
            told_to_end: false,
            stop_signal: stop_signal(spec.image.config.stop_signal.as_deref()),
            stop_millis: u64::try_from(spec.stop_timeout.as_millis()).unwrap_or(u64::MAX),
            buffer: spec.log_buffer,
            pid: None,
            streams: Vec::new(),
            stdin: None,
            log: None,
            deadline: None,
            ooms: 0,
            news: false,
            ended: None,
            questions: Vec::new(),
        }
    }

    /// A new run has begun, or could not.
    fn begins(&mut self, state: ContainerState) {
        self.deadline = None;
        self.told_to_end = false;
        self.begun = ticks();
        self.ended = None;
        self.state = state;
    }

    fn runs(&mut self, launched: Launched, log: LogWriter, ooms: u64) {
        self.begins(ContainerState::Running { pid: launched.pid.as_raw() as u32, started_at: now() });
        self.pid = Some(launched.pid);
        self.stdin = launched.stdin;
        self.streams = vec![(LogStream::Stdout, launched.stdout), (LogStream::Stderr, launched.stderr)];
        self.streams.extend(launched.terminal.map(|terminal| (LogStream::Stdout, terminal)));
        for (_, stream) in &self.streams {
            let _ = nix::fcntl::fcntl(stream, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK));
        }
        self.log = Some(log);
        self.ooms = ooms;
    }

    /// It was stopped before its program ran: it is as its last run left it, or never began.
    fn ends_unmade(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.state = ended;
        } else if matches!(self.state, ContainerState::Created) {
            self.state = ContainerState::Exited(never_started(now()));
        }
    }

    fn stop(&mut self, grace_millis: Option<u64>) {
        if matches!(self.state, ContainerState::Created) {
            self.state = ContainerState::Exited(never_started(now()));
        }
        if self.pid.is_none() {
            return;
        }
        self.told_to_end = true;
        let grace = grace_millis.unwrap_or(self.stop_millis);
        if grace == 0 {
            return self.signal(Signal::SIGKILL as i32);
        }
        let deadline = ticks().saturating_add(grace);
        // Asked again: an earlier end counts, the signal is not repeated.
        if self.deadline.is_none() {
            self.signal(self.stop_signal);
        }
        self.deadline = Some(self.deadline.map_or(deadline, |d| d.min(deadline)));
    }

    /// Whether the end of its run is followed by another, by its policy.
    fn starts_again(&self, code: i32) -> bool {
        let ran = std::time::Duration::from_millis(ticks().saturating_sub(self.begun));
        !self.told_to_end && self.restart.as_ref().is_some_and(|restart| restart.applies(code, ran))
    }

    fn signal(&self, signal: i32) {
        if let Some(pid) = self.pid {
            match Signal::try_from(signal) {
                Ok(signal) => drop(kill(pid, signal)),
                Err(_) => drop(kill(pid, Signal::SIGTERM)),
            }
        }
    }

    /// Moves output from the pipes to the log, at most `rounds` buffers of each.
    fn copy(&mut self, rounds: usize) {
        let Some(log) = &mut self.log else { return };
        let mut buffer = [0; 16 << 10];
        let news = &mut self.news;
        self.streams.retain(|(stream, fd)| {
            for _ in 0..rounds {
                match nix::unistd::read(fd, &mut buffer) {
                    Ok(0) => return false,
                    // A disk that is full loses lines; the container goes on.
                    Ok(n) => *news |= log.feed(*stream, &buffer[..n], now()).unwrap_or(false),
                    Err(Errno::EAGAIN) => return true,
                    Err(Errno::EINTR) => {}
                    Err(_) => return false,
                }
            }
            true
        });
    }

    fn ended(&mut self, code: i32, signal: Option<i32>, ooms: u64) {
        // All its processes are dead: what the pipes still hold is the rest. A pipe that went to another container may stay open.
        self.copy(1 << 10);
        self.streams.clear();
        self.stdin = None;
        if let Some(mut log) = self.log.take() {
            self.news |= log.finish(now()).unwrap_or(false);
        }
        let started_at = match self.state {
            ContainerState::Running { started_at, .. } => Some(started_at),
            _ => None,
        };
        let oom = ooms > self.ooms;
        self.state = ContainerState::Exited(Exit { code, signal, oom, started_at, at: now(), reason: None });
        self.pid = None;
        self.deadline = None;
    }
}

impl Exec {
    fn copy(&mut self) {
        let Some(output) = &self.output else { return };
        let mut buffer = [0; 4096];
        loop {
            match nix::unistd::read(output, &mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    let room = EXEC_OUTPUT.saturating_sub(self.bytes.len());
                    self.bytes.extend_from_slice(&buffer[..n.min(room)]);
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        self.output = None;
    }
}

fn tell(daemons: &mut [Connection], report: &Report) {
    for daemon in daemons {
        daemon.send(report);
    }
}

/// An image's stop signal, by name or number.
fn stop_signal(wanted: Option<&str>) -> i32 {
    let Some(wanted) = wanted else { return Signal::SIGTERM as i32 };
    if let Ok(number) = wanted.parse() {
        return number;
    }
    let name = wanted.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse::<Signal>().map_or(Signal::SIGTERM as i32, |signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals_have_names_and_numbers() {
        let of = |text| stop_signal(Some(text));
        assert_eq!((of("SIGQUIT"), of("quit"), of("3"), of("nonsense")), (3, 3, 3, 15));
        assert_eq!(stop_signal(None), 15);
    }
}
