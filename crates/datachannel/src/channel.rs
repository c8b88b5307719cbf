//! One end of a channel: it numbers what it sends and repeats what is not acknowledged; what comes early waits, and what comes again
//! is acknowledged again.
//!
//! Source: the plugin's `src/datachannel/streaming.go` and the agent's `agent/session/datachannel/datachannel.go`, with their
//! constants.

use crate::Millis;
use crate::message::{Kind, Malformed, Message};
use crate::payload::{Acknowledged, ChannelClosed};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};

/// Frames that may be under way: with this many no more output is taken.
pub const MOST_UNACKNOWLEDGED: usize = 256;
/// How much may wait for what should have come before it.
const MOST_EARLY: usize = 1 << 20;
/// The round trip that is assumed at first.
const ROUND_TRIP: f64 = 100.0;
/// How long an acknowledgement may take at first.
const FIRST_TIMEOUT: f64 = 200.0;
/// And at most.
const MOST_TIMEOUT: f64 = 1000.0;
/// What a clock can tell apart.
const GRANULARITY: f64 = 10.0;
/// A peer that acknowledges nothing for this long is gone.
const PATIENCE: Millis = 5 * 60 * 1000;

/// The other end acknowledges nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The next thing in the stream.
    Data {
        /// What it is.
        payload_type: u32,
        /// It.
        payload: Vec<u8>,
    },
    /// The session is over, for this reason unless it ended as it should.
    Closed(String),
}

/// An end.
#[derive(Debug)]
pub struct Channel {
    /// The kind of frame that carries this end's stream; the other end's has the other.
    speaks: Kind,
    ids: Ids,
    next: i64,
    unacknowledged: BTreeMap<i64, Sent>,
    expected: i64,
    early: BTreeMap<i64, (u32, Vec<u8>)>,
    early_bytes: usize,
    paused: bool,
    round_trip: f64,
    variation: f64,
    timeout: f64,
    /// Frames to be sent that are not of the stream.
    asides: VecDeque<Vec<u8>>,
    /// Numbers of the stream's frames to be sent.
    due: VecDeque<i64>,
}

#[derive(Debug)]
struct Sent {
    frame: Vec<u8>,
    first: Millis,
    last: Millis,
}

/// Ids of frames: UUIDs that follow from a seed.
#[derive(Debug)]
struct Ids {
    seed: [u8; 16],
    count: u64,
}

impl Ids {
    fn next(&mut self) -> [u8; 16] {
        self.count += 1;
        let digest = Sha256::new().chain_update(self.seed).chain_update(self.count.to_be_bytes()).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        id
    }
}

impl Channel {
    /// The agent's end. The seed makes ids, so it should be random.
    pub fn of_agent(seed: [u8; 16]) -> Self {
        Self::new(Kind::Output, seed)
    }

    /// The client's end.
    pub fn of_client(seed: [u8; 16]) -> Self {
        Self::new(Kind::Input, seed)
    }

    fn new(speaks: Kind, seed: [u8; 16]) -> Self {
        Self {
            speaks,
            ids: Ids { seed, count: 0 },
            next: 0,
            unacknowledged: BTreeMap::new(),
            expected: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
            paused: false,
            round_trip: ROUND_TRIP,
            variation: 0.0,
            timeout: FIRST_TIMEOUT,
            asides: VecDeque::new(),
            due: VecDeque::new(),
        }
    }

    /// Puts a payload into the stream.
    pub fn send(&mut self, payload_type: u32, payload: Vec<u8>, now: Millis) {
        let sequence = self.next;
        self.next += 1;
        let flags = u64::from(sequence == 0);
        let id = self.ids.next();
        let message = Message { kind: self.speaks, created: now.max(1), sequence, flags, id, payload_type, payload };
        self.unacknowledged.insert(sequence, Sent { frame: message.encode(), first: now, last: now });
        self.due.push_back(sequence);
    }

    /// Says that the session is over. `target` is where it was.
    pub fn close(&mut self, session: &str, target: &str, why: &str, now: Millis) {
        let id = self.ids.next();
        let mut message = Message {
            kind: Kind::Closed,
            created: now.max(1),
            sequence: 0,
            flags: 3,
            id,
            payload_type: 0,
            payload: Vec::new(),
        };
        let closed = ChannelClosed {
            message_id: message.uuid(),
            created_date: now.to_string(),
            destination_id: target.to_owned(),
            session_id: session.to_owned(),
            message_type: Kind::Closed.name().to_owned(),
            schema_version: 1,
            output: why.to_owned(),
        };
        message.payload = serde_json::to_vec(&closed).unwrap_or_default();
        self.asides.push_back(message.encode());
    }

    /// Whether more should be put into the stream now.
    pub fn has_room(&self) -> bool {
        self.unacknowledged.len() < MOST_UNACKNOWLEDGED
    }

    /// Whether all that was sent has arrived.
    pub fn is_settled(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// The next frame to be sent, if there is one.
    pub fn outgoing(&mut self, now: Millis) -> Option<Vec<u8>> {
        if let Some(frame) = self.asides.pop_front() {
            return Some(frame);
        }
        while !self.paused {
            let sequence = self.due.pop_front()?;
            // It may have been acknowledged since it became due again.
            if let Some(sent) = self.unacknowledged.get_mut(&sequence) {
                sent.last = now;
                return Some(sent.frame.clone());
            }
        }
        None
    }

    /// Takes a frame in. Without `room` the next thing of the stream is left to be sent again.
    pub fn take(&mut self, frame: &[u8], room: bool, now: Millis) -> Result<Vec<Heard>, Malformed> {
        let message = Message::decode(frame)?;
        match message.kind {
            Kind::Acknowledge => {
                self.paused = false;
                let arrived: Acknowledged = serde_json::from_slice(&message.payload).map_err(|_| Malformed::Payload)?;
                self.arrived(arrived.sequence, now);
                Ok(Vec::new())
            }
            Kind::Pause => {
                self.paused = true;
                Ok(Vec::new())
            }
            Kind::Start => {
                self.paused = false;
                Ok(Vec::new())
            }
            Kind::Closed => {
                let closed: ChannelClosed = serde_json::from_slice(&message.payload).map_err(|_| Malformed::Payload)?;
                Ok(vec![Heard::Closed(closed.output)])
            }
            Kind::Input | Kind::Output if message.kind != self.speaks => {
                self.paused = false;
                Ok(self.data(message, room, now))
            }
            Kind::Input | Kind::Output | Kind::Other => Ok(Vec::new()),
        }
    }

    /// Repeats what has waited too long for its acknowledgement: the oldest, as all after it may have arrived.
    pub fn tick(&mut self, now: Millis) -> Result<(), Lost> {
        let Some((sequence, oldest)) = self.unacknowledged.first_key_value() else { return Ok(()) };
        if now.saturating_sub(oldest.first) > PATIENCE {
            return Err(Lost);
        }
        let waited = now.saturating_sub(oldest.last) as f64;
        if !self.paused && waited > self.timeout && !self.due.contains(sequence) {
            self.due.push_front(*sequence);
        }
        Ok(())
    }

    fn data(&mut self, message: Message, room: bool, now: Millis) -> Vec<Heard> {
        let sequence = message.sequence;
        if sequence < self.expected {
            self.acknowledge(&message, now);
            return Vec::new();
        }
        if sequence > self.expected {
            let size = message.payload.len() + 64;
            if self.early.contains_key(&sequence) {
                self.acknowledge(&message, now);
            } else if self.early_bytes + size <= MOST_EARLY {
                self.acknowledge(&message, now);
                self.early_bytes += size;
                self.early.insert(sequence, (message.payload_type, message.payload));
            }
            return Vec::new();
        }
        if !room {
            return Vec::new();
        }
        self.acknowledge(&message, now);
        self.expected += 1;
        let mut heard = vec![Heard::Data { payload_type: message.payload_type, payload: message.payload }];
        while let Some((payload_type, payload)) = self.early.remove(&self.expected) {
            self.early_bytes -= payload.len() + 64;
            self.expected += 1;
            heard.push(Heard::Data { payload_type, payload });
        }
        heard
    }

    fn acknowledge(&mut self, message: &Message, now: Millis) {
        let acknowledged = Acknowledged {
            kind: message.kind.name().to_owned(),
            id: message.uuid(),
            sequence: message.sequence,
            sequential: true,
        };
        let answer = Message {
            kind: Kind::Acknowledge,
            created: now.max(1),
            sequence: 0,
            flags: 3,
            id: self.ids.next(),
            payload_type: 0,
            payload: serde_json::to_vec(&acknowledged).unwrap_or_default(),
        };
        self.asides.push_back(answer.encode());
    }

    fn arrived(&mut self, sequence: i64, now: Millis) {
        let Some(sent) = self.unacknowledged.remove(&sequence) else { return };
        let took = now.saturating_sub(sent.last) as f64;
        self.variation = 0.75 * self.variation + 0.25 * (self.round_trip - took).abs();
        self.round_trip = 0.875 * self.round_trip + 0.125 * took;
        self.timeout = (self.round_trip + GRANULARITY.max(4.0 * self.variation)).min(MOST_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::OUTPUT;
    use proptest::prelude::*;

    fn pair() -> (Channel, Channel) {
        (Channel::of_agent([1; 16]), Channel::of_client([2; 16]))
    }

    fn frames(channel: &mut Channel, now: Millis) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| channel.outgoing(now)).collect()
    }

    fn text(heard: Vec<Heard>) -> String {
        let payload = |heard| match heard {
            Heard::Data { payload, .. } => String::from_utf8(payload).unwrap(),
            Heard::Closed(why) => format!("<closed {why}>"),
        };
        heard.into_iter().map(payload).collect()
    }

    #[test]
    fn what_comes_early_waits_and_what_comes_again_is_heard_once() {
        let (mut agent, mut client) = pair();
        for word in ["a", "b", "c"] {
            agent.send(OUTPUT, word.into(), 0);
        }
        let sent = frames(&mut agent, 0);
        assert_eq!(text(client.take(&sent[2], true, 1).unwrap()), "");
        assert_eq!(text(client.take(&sent[0], true, 1).unwrap()), "a");
        assert_eq!(text(client.take(&sent[0], true, 1).unwrap()), "");
        assert_eq!(text(client.take(&sent[1], true, 1).unwrap()), "bc");
        for answer in frames(&mut client, 2) {
            assert!(agent.take(&answer, true, 3).unwrap().is_empty());
        }
        assert!(agent.is_settled());
    }

    #[test]
    fn what_is_not_acknowledged_is_repeated_and_given_up_after_five_minutes() {
        let (mut agent, mut client) = pair();
        agent.send(OUTPUT, b"x".to_vec(), 0);
        let first = frames(&mut agent, 0);
        agent.tick(200).unwrap();
        assert!(frames(&mut agent, 200).is_empty(), "repeated before its time");
        agent.tick(201).unwrap();
        agent.tick(201).unwrap();
        assert_eq!(frames(&mut agent, 201), first);
        assert_eq!(agent.tick(300_001), Err(Lost));
        // One that found no room is left to be repeated.
        assert!(client.take(&first[0], false, 0).unwrap().is_empty() && frames(&mut client, 0).is_empty());
        assert_eq!(text(client.take(&first[0], true, 0).unwrap()), "x");
    }

    #[test]
    fn a_paused_channel_keeps_what_it_has_to_say() {
        let (mut agent, mut client) = pair();
        let aside = |kind| {
            let payload = Vec::new();
            Message { kind, created: 0, sequence: 0, flags: 3, id: [0; 16], payload_type: 0, payload }.encode()
        };
        agent.take(&aside(Kind::Pause), true, 0).unwrap();
        agent.send(OUTPUT, b"x".to_vec(), 0);
        agent.tick(1000).unwrap();
        assert!(frames(&mut agent, 1000).is_empty());
        agent.take(&aside(Kind::Start), true, 1000).unwrap();
        let sent = frames(&mut agent, 1000);
        assert_eq!(text(client.take(&sent[0], true, 1000).unwrap()), "x");
        agent.close("s", "t", "why", 1000);
        let sent = frames(&mut agent, 1000);
        assert_eq!(text(client.take(&sent[0], true, 1000).unwrap()), "<closed why>");
    }

    #[test]
    fn a_flood_of_early_frames_is_bounded() {
        let (mut agent, mut client) = pair();
        for _ in 0..100 {
            client.send(OUTPUT, vec![0; 100_000], 0);
        }
        let acknowledged: usize = frames(&mut client, 0)[1..]
            .iter()
            .map(|frame| {
                agent.take(frame, true, 0).unwrap();
                frames(&mut agent, 0).len()
            })
            .sum();
        assert_eq!(acknowledged, 10, "what was not kept was acknowledged");
    }

    proptest! {
        /// Whatever is lost, doubled or put out of order on the way, the stream arrives whole and in order.
        #[test]
        fn the_stream_arrives_over_a_bad_line(words in 1usize..30, fates in proptest::collection::vec(0u8..6, 200)) {
            let (mut agent, mut client) = pair();
            for word in 0..words {
                agent.send(OUTPUT, format!("{word} ").into_bytes(), 0);
            }
            let wanted = (0..words).fold(String::new(), |all, word| all + &format!("{word} "));
            let (mut now, mut seen, mut fate) = (0, String::new(), fates.into_iter().chain(std::iter::repeat(0)));
            while !agent.is_settled() {
                now += 100;
                prop_assert!(now < 120_000, "it does not arrive; seen {seen:?}");
                agent.tick(now).unwrap();
                let mut line = frames(&mut agent, now);
                line.sort_by_cached_key(|_| fate.next());
                for frame in line {
                    let times = match fate.next() { Some(1 | 2) => 0, Some(3) => 2, _ => 1 };
                    for _ in 0..times {
                        seen.push_str(&text(client.take(&frame, fate.next() != Some(4), now).unwrap()));
                    }
                }
                for answer in frames(&mut client, now) {
                    if fate.next() != Some(5) {
                        agent.take(&answer, true, now).unwrap();
                    }
                }
            }
            prop_assert_eq!(seen, wanted);
        }
    }
}
