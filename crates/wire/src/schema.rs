//! Static descriptions of AWS's shapes: what each codec and the validator walk.
//!
//! One table a shape, in read-only memory, written by `cargo xtask models`. A schema knows every protocol's spelling of
//! a member, so a codec is written once and never generated.

use regex::Regex;
use std::fmt;
use std::sync::OnceLock;

/// A shape: its kind and its constraints.
#[derive(Debug)]
pub struct Schema {
    /// AWS's name of the shape, e.g. `CreateVpcRequest`.
    pub name: &'static str,
    /// What values it has.
    pub kind: Kind,
    /// What else must hold of a value.
    pub traits: Traits,
}

/// The kinds of values.
#[derive(Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Signed, 32 bits.
    Integer,
    /// Signed, 64 bits.
    Long,
    /// A floating-point number (`float` and `double` alike).
    Double,
    /// Text.
    String,
    /// Bytes; base64 in text protocols.
    Blob,
    /// An instant.
    Timestamp,
    /// Any JSON.
    Document,
    /// A sequence.
    List(List),
    /// Text keys and values of one kind.
    Map(Map),
    /// Named members.
    Structure(&'static [Member]),
}

/// A list's parts.
#[derive(Debug)]
pub struct List {
    /// What it holds.
    pub member: &'static Schema,
    /// The element name of an item in XML (`member`, `item`).
    pub item: &'static str,
    /// Items stand in the parent without an element around them.
    pub flattened: bool,
}

/// A map's parts.
#[derive(Debug)]
pub struct Map {
    /// The keys' shape, always text.
    pub key: &'static Schema,
    /// The values' shape.
    pub value: &'static Schema,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// AWS's name; the key in JSON and CBOR.
    pub name: &'static str,
    /// The name in a query or EC2 request.
    pub query: &'static str,
    /// The element name in an XML response.
    pub xml: &'static str,
    /// Whether a request must have it.
    pub required: bool,
    /// What it is.
    pub schema: &'static Schema,
}

impl Member {
    /// A member. For generated code.
    pub const fn new(
        name: &'static str,
        query: &'static str,
        xml: &'static str,
        required: bool,
        schema: &'static Schema,
    ) -> Self {
        Self { name, query, xml, required, schema }
    }
}

/// Constraints and marks. The default is none.
#[derive(Debug)]
pub struct Traits {
    /// Least and greatest length of text (characters), blobs (bytes), lists and maps (entries), or value of numbers.
    pub min: Option<f64>,
    /// See `min`.
    pub max: Option<f64>,
    /// The regular expression that the whole text matches.
    pub pattern: Option<Pattern>,
    /// The values that text may have; empty means any.
    pub values: &'static [&'static str],
    /// Never to be shown in logs.
    pub sensitive: bool,
}

impl Traits {
    /// No constraint.
    pub const NONE: Self = Self { min: None, max: None, pattern: None, values: &[], sensitive: false };
}

/// A regular expression: AWS's text for messages, and ours for matching, compiled at first use.
pub struct Pattern {
    /// As AWS's model has it and as its messages show it.
    pub text: &'static str,
    /// The same language in the syntax of the `regex` crate.
    pub expression: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// A pattern that shows as `text` and matches as `expression`.
    pub const fn new(text: &'static str, expression: &'static str) -> Self {
        Self { text, expression, compiled: OnceLock::new() }
    }

    /// Whether the whole of `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        let compile = || Regex::new(&format!("^(?:{})$", self.expression)).ok();
        // A pattern that does not compile constrains nothing; a test in `model` compiles every one.
        self.compiled.get_or_init(compile).as_ref().is_none_or(|regex| regex.is_match(value))
    }

    /// Whether our engine understands the expression.
    pub fn compiles(&self) -> bool {
        Regex::new(&format!("^(?:{})$", self.expression)).is_ok()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl Schema {
    /// An unconstrained shape.
    pub const fn plain(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, traits: Traits::NONE }
    }

    /// A shape with constraints.
    pub const fn new(name: &'static str, kind: Kind, traits: Traits) -> Self {
        Self { name, kind, traits }
    }

    /// The members, if this is a structure.
    pub fn members(&self) -> &'static [Member] {
        match self.kind {
            Kind::Structure(members) => members,
            _ => &[],
        }
    }

    /// The position of the member that JSON and CBOR call `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.members().iter().position(|member| member.name == name)
    }
}

/// The structure without members: the input or output of operations that have none.
pub static UNIT: Schema = Schema::plain("Unit", Kind::Structure(&[]));
/// Unconstrained `boolean`.
pub static BOOLEAN: Schema = Schema::plain("Boolean", Kind::Boolean);
/// Unconstrained `integer`.
pub static INTEGER: Schema = Schema::plain("Integer", Kind::Integer);
/// Unconstrained `long`.
pub static LONG: Schema = Schema::plain("Long", Kind::Long);
/// Unconstrained `float` or `double`.
pub static DOUBLE: Schema = Schema::plain("Double", Kind::Double);
/// Unconstrained `string`.
pub static STRING: Schema = Schema::plain("String", Kind::String);
/// Unconstrained `blob`.
pub static BLOB: Schema = Schema::plain("Blob", Kind::Blob);
/// A timestamp in the protocol's own format.
pub static TIMESTAMP: Schema = Schema::plain("Timestamp", Kind::Timestamp);
/// Any JSON.
pub static DOCUMENT: Schema = Schema::plain("Document", Kind::Document);
