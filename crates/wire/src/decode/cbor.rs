//! rpc-v2-cbor requests.

use super::DecodeError;
use crate::schema::{Kind, Schema};
use crate::service::Protocol;
use crate::timestamp;
use crate::value::Value;

/// Deeper nesting than this fits no shape and would cost stack.
const MAX_DEPTH: usize = 128;

/// Decodes the CBOR item that is the whole of `bytes`. An empty body is an empty structure.
pub(super) fn decode(schema: &'static Schema, bytes: &[u8]) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::EMPTY);
    }
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(schema, 0).map_err(|message| DecodeError::new(Protocol::Cbor, message))?;
    if reader.at != bytes.len() {
        return Err(DecodeError::new(Protocol::Cbor, "Unexpected bytes after the CBOR item"));
    }
    Ok(value.unwrap_or(Value::EMPTY))
}

type Result<T, E = &'static str> = std::result::Result<T, E>;

const TRUNCATED: &str = "Unexpected end of CBOR input";
const MALFORMED: &str = "Malformed CBOR";
const TOO_DEEP: &str = "CBOR is nested too deeply";
const MISMATCH: &str = "Unexpected CBOR type";

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// An item's head: its major type, and its argument, which is absent where the length is indefinite.
struct Head {
    major: u8,
    info: u8,
    argument: Option<u64>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(TRUNCATED)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 31);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => {
                let digits = self.take(1 << (info - 24))?;
                Some(digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit)))
            }
            31 if matches!(major, 2..=5 | 7) => None,
            _ => return Err(MALFORMED),
        };
        Ok(Head { major, info, argument })
    }

    /// Whether another item of a container follows; `left` counts down where the length is known.
    fn more(&mut self, left: &mut Option<u64>) -> Result<bool> {
        if let Some(left) = left {
            if *left == 0 {
                return Ok(false);
            }
            *left -= 1;
            return Ok(true);
        }
        match self.bytes.get(self.at) {
            Some(0xff) => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Ok(true),
            None => Err(TRUNCATED),
        }
    }

    /// The bytes of a string whose head has been read, its chunks joined.
    fn string(&mut self, head: &Head) -> Result<Vec<u8>> {
        if let Some(length) = head.argument {
            return self.take(usize::try_from(length).map_err(|_| TRUNCATED)?).map(<[u8]>::to_vec);
        }
        let mut whole = Vec::new();
        while self.more(&mut None)? {
            let chunk = self.head()?;
            let length = chunk.argument.filter(|_| chunk.major == head.major).ok_or(MALFORMED)?;
            whole.extend_from_slice(self.take(usize::try_from(length).map_err(|_| TRUNCATED)?)?);
        }
        Ok(whole)
    }

    fn text(&mut self, head: &Head) -> Result<String> {
        String::from_utf8(self.string(head)?).map_err(|_| MALFORMED)
    }

    /// The floating-point number or simple value whose head has been read.
    fn float(head: &Head) -> Option<f64> {
        let bits = head.argument.filter(|_| head.major == 7)?;
        match head.info {
            25 => Some(half(bits as u16)),
            26 => Some(f64::from(f32::from_bits(bits as u32))),
            27 => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    fn whole(head: &Head) -> Option<i64> {
        let argument = i64::try_from(head.argument?).ok()?;
        match head.major {
            0 => Some(argument),
            1 => Some(-1 - argument),
            _ => None,
        }
    }

    fn value(&mut self, schema: &'static Schema, depth: usize) -> Result<Option<Value>> {
        if depth > MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        let mut head = self.head()?;
        let mut tag = None;
        while head.major == 6 {
            if tag.is_some() {
                return Err(MALFORMED);
            }
            tag = head.argument;
            head = self.head()?;
        }
        // null and undefined
        if head.major == 7 && matches!(head.info, 22 | 23) {
            return Ok(None);
        }
        let number = || Self::whole(&head).map(|whole| whole as f64).or_else(|| Self::float(&head));
        let value = match &schema.kind {
            Kind::Boolean if head.major == 7 && matches!(head.info, 20 | 21) => Value::Boolean(head.info == 21),
            Kind::Integer | Kind::Long => {
                let whole = Self::whole(&head).ok_or(MISMATCH)?;
                if matches!(schema.kind, Kind::Integer) && i32::try_from(whole).is_err() {
                    return Err(MISMATCH);
                }
                Value::Integer(whole)
            }
            Kind::Double => Value::Double(number().ok_or(MISMATCH)?),
            Kind::Timestamp => {
                let seconds = number().filter(|_| matches!(tag, None | Some(1))).ok_or(MISMATCH)?;
                Value::Timestamp(timestamp::from_seconds(seconds).ok_or(MISMATCH)?)
            }
            Kind::String if head.major == 3 => Value::String(self.text(&head)?),
            Kind::Blob if head.major == 2 => Value::Blob(self.string(&head)?),
            Kind::List(list) if head.major == 4 => {
                let (mut left, mut items) = (head.argument, Vec::new());
                while self.more(&mut left)? {
                    items.extend(self.value(list.member, depth + 1)?);
                }
                Value::List(items)
            }
            Kind::Map(map) if head.major == 5 => {
                let (mut left, mut entries) = (head.argument, Vec::new());
                while self.more(&mut left)? {
                    let key = self.key()?;
                    entries.extend(self.value(map.value, depth + 1)?.map(|value| (key, value)));
                }
                Value::Map(entries)
            }
            Kind::Structure(members) if head.major == 5 => {
                let (mut left, mut found) = (head.argument, Vec::<(usize, Value)>::new());
                while self.more(&mut left)? {
                    let key = self.key()?;
                    let Some(position) = schema.position(&key) else {
                        self.skip(depth + 1)?;
                        continue;
                    };
                    let value = self.value(members[position].schema, depth + 1)?;
                    found.retain(|(at, _)| *at != position);
                    found.extend(value.map(|value| (position, value)));
                }
                Value::Structure(found)
            }
            _ => return Err(MISMATCH),
        };
        Ok(Some(value))
    }

    fn key(&mut self) -> Result<String> {
        let head = self.head()?;
        if head.major == 3 { self.text(&head) } else { Err(MISMATCH) }
    }

    fn skip(&mut self, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        let head = self.head()?;
        match head.major {
            2 | 3 => self.string(&head).map(drop),
            4 | 5 => {
                let mut left = head.argument;
                while self.more(&mut left)? {
                    self.skip(depth + 1)?;
                    if head.major == 5 {
                        self.skip(depth + 1)?;
                    }
                }
                Ok(())
            }
            6 => self.skip(depth + 1),
            7 if head.argument.is_none() => Err(MALFORMED),
            _ => Ok(()),
        }
    }
}

/// IEEE 754 half precision.
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}
