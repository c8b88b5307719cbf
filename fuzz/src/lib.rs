//! What is fuzzed: everything that reads what a stranger wrote. One function a target; each takes any bytes, and
//! panics where a promise does not hold.
//!
//! `cargo xtask fuzz` links each with libFuzzer (`targets/`), with the compiler's coverage counters. `tests/corpus.rs`
//! replays `corpus/` among the ordinary tests: an input that once broke something is kept there.

mod datachannel;
mod decode;
mod dns;
mod http_head;
mod manifest;
mod packet;
mod policy;
mod sigv4;
mod unpack;

pub use datachannel::datachannel;
pub use decode::decode;
pub use dns::dns;
pub use http_head::http_head;
pub use manifest::manifest;
pub use packet::packet;
pub use policy::policy;
pub use sigv4::sigv4;
pub use unpack::unpack;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// No input is worth more address space than this.
const MAX_MEMORY: u64 = 1 << 30;

/// A target and the name of its folder in `corpus/`.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("datachannel", datachannel),
    ("decode", decode),
    ("dns", dns),
    ("http_head", http_head),
    ("manifest", manifest),
    ("packet", packet),
    ("policy", policy),
    ("sigv4", sigv4),
    ("unpack", unpack),
];

/// Lets allocations fail, and so the process, which an input's claims alone could make. libFuzzer's own limit is on
/// memory that was touched.
pub fn bound_memory() {
    let limit = Rlimit { current: Some(MAX_MEMORY), ..getrlimit(Resource::As) };
    setrlimit(Resource::As, limit).expect("a limit may be lowered");
}

/// The data up to the first line feed (and a carriage return before it), and what follows.
fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (line, rest) = end.map_or((data, &b""[..]), |end| (&data[..end], &data[end + 1..]));
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// The choice that `word` names. A word that names none chooses too, so that every choice is near every other.
fn pick<'a, T>(choices: &'a [T], word: &[u8], name: impl Fn(&T) -> &str) -> &'a T {
    let named = choices.iter().find(|choice| name(choice).as_bytes() == word);
    let sum = word.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    named.unwrap_or(&choices[sum % choices.len()])
}
