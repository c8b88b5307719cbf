//! An agent and a client that talk.

#![allow(clippy::unwrap_used, reason = "tests")]

use datachannel::agent::{Agent, Failure, Manner};
use datachannel::{Client, Malformed, Size, Told, Wish};

struct Talk {
    agent: Agent,
    client: Client,
    now: u64,
}

impl Talk {
    fn new(terminal: bool) -> Self {
        let agent = Agent::new([1; 16], Manner { terminal, tells_exit: !terminal }, 0);
        Self { agent, client: Client::new([2; 16], "1.2.0.0"), now: 0 }
    }

    /// Carries what there is to and fro until there is no more.
    fn settle(&mut self) -> (Vec<Wish>, Vec<Told>) {
        let (mut wishes, mut told) = (Vec::new(), Vec::new());
        loop {
            self.now += 1;
            let mut quiet = true;
            while let Some(frame) = self.agent.outgoing(self.now) {
                told.extend(self.client.take(&frame, true, self.now).unwrap());
                quiet = false;
            }
            while let Some(frame) = self.client.outgoing(self.now) {
                wishes.extend(self.agent.take(&frame, true, self.now).unwrap());
                quiet = false;
            }
            if quiet {
                return (wishes, told);
            }
        }
    }
}

#[test]
fn a_session_in_a_terminal() {
    let mut talk = Talk::new(true);
    let (wishes, told) = talk.settle();
    assert_eq!((wishes, told), (vec![], vec![Told::Ready(String::new())]), "the process waits for its size");
    let size = Size { cols: 80, rows: 24 };
    talk.client.size(size, talk.now);
    talk.client.input(b"ls\r", talk.now);
    talk.client.size(Size { cols: 90, ..size }, talk.now);
    let wanted = [Wish::Start(Some(size)), Wish::Input(b"ls\r".to_vec()), Wish::Resize(Size { cols: 90, ..size })];
    assert_eq!(talk.settle().0, wanted);
    talk.agent.output("caf\u{e9}".as_bytes(), talk.now);
    talk.agent.ended(Some(3), talk.now);
    assert_eq!(talk.settle().1, [Told::Output("café".into())], "an exit code is not for every client");
    assert!(talk.agent.is_settled());
    talk.agent.close("s", "t", "", talk.now);
    assert_eq!(talk.settle().1, [Told::Closed(String::new())]);
}

#[test]
fn a_session_through_pipes() {
    let mut talk = Talk::new(false);
    let (wishes, _) = talk.settle();
    assert_eq!(wishes, [Wish::Start(None)]);
    talk.client.input(b"in", talk.now);
    talk.client.end_input(talk.now);
    talk.client.signal(15, talk.now);
    assert_eq!(talk.settle().0, [Wish::Input(b"in".to_vec()), Wish::EndOfInput, Wish::Signal(15)]);
    talk.agent.output(b"out", talk.now);
    talk.agent.errors(b"err\xc3", talk.now);
    talk.agent.ended(Some(7), talk.now);
    let told = talk.settle().1;
    let wanted = [
        Told::Output(b"out".to_vec()),
        Told::Errors(b"err".to_vec()),
        Told::Errors(b"\xc3".to_vec()),
        Told::ExitCode(7),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_client_that_says_nothing_is_not_waited_for() {
    let mut talk = Talk::new(true);
    assert_eq!(talk.agent.tick(15_000), Ok(None));
    assert_eq!(talk.agent.tick(15_001), Err(Failure::HandshakeTimeout));
    talk.settle();
    assert_eq!(talk.agent.tick(talk.now + 400), Ok(None));
    assert_eq!(talk.agent.tick(talk.now + 600), Ok(Some(Wish::Start(None))), "a client without a size is served");
    assert_eq!(talk.agent.tick(talk.now + 700), Ok(None));
    assert_eq!(talk.agent.take(b"nonsense", true, 1), Err(Malformed::Short));
}
