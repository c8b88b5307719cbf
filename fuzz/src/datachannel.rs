//! Frames of Session Manager's data channel, as clients send them to agents and agents to clients.

use datachannel::agent::{Agent, Manner};
use datachannel::{Client, Message};

/// Any bytes are a frame or none, and what is one is the same when it is written and read again. An agent and a client take whatever
/// comes, whole or in pieces, and what they answer are frames.
pub fn datachannel(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        let again = Message::decode(&Message { created: message.created.max(1), ..message.clone() }.encode());
        let again = again.expect("what was read can be written and read");
        assert_eq!((again.sequence, &again.payload), (message.sequence, &message.payload));
    }
    let manner = Manner { terminal: data.first().is_some_and(|byte| byte & 1 == 0), tells_exit: true };
    let (mut agent, mut client) = (Agent::new([1; 16], manner, 1), Client::new([2; 16], "1"));
    let (mut now, mut rest) = (1, data);
    // A byte says how long the next frame is, or that all that is left is one.
    loop {
        let (frame, after) = match rest.split_first() {
            Some((255, frame)) => (frame, &[][..]),
            Some((length, after)) => after.split_at(usize::from(*length).min(after.len())),
            None => break,
        };
        now += 100;
        let _ = agent.take(frame, now % 300 != 0, now);
        let _ = client.take(frame, now % 300 != 0, now);
        let _ = (agent.tick(now), client.tick(now));
        for sent in std::iter::from_fn(|| agent.outgoing(now).or_else(|| client.outgoing(now))) {
            assert!(Message::decode(&sent).is_ok(), "what is sent is a frame");
        }
        rest = after;
    }
}
