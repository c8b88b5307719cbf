//! What a request claims: in its `Authorization` header, or in its query string where it is presigned.

use super::{ALGORITHM, Parts, SignatureError, date};
use percent_encoding::percent_decode_str;
use std::fmt::Write;
use types::Timestamp;

/// What a signed request claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Whose secret the signature is made with.
    pub access_key: String,
    /// What it is for.
    pub scope: CredentialScope,
    /// The session token of temporary credentials.
    pub session_token: Option<String>,
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: [u8; 32],
    pub(super) at: Timestamp,
    pub(super) at_text: String,
    /// For how many seconds a presigned request holds.
    pub(super) expires: Option<u64>,
}

/// Date, region and service of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialScope {
    /// `20150830`.
    pub date: String,
    /// `us-east-1`.
    pub region: String,
    /// `ecs`.
    pub service: String,
}

/// The longest that a presigned request holds: seven days.
const MAX_EXPIRES: u64 = 604_800;
/// More signed headers than this are refused.
const MAX_SIGNED_HEADERS: usize = 64;

impl Authorization {
    /// What the request claims; none if it is not signed.
    pub fn find(parts: &Parts<'_>) -> Result<Option<Self>, SignatureError> {
        if let Some(header) = parts.header("authorization") {
            return match header.trim().strip_prefix(ALGORITHM) {
                Some(fields) => Self::from_header(parts, header, fields).map(Some),
                None => Ok(None),
            };
        }
        let parameter = |name: &str| parameter(parts.query, name);
        match parameter("X-Amz-Algorithm") {
            Some(algorithm) if algorithm == ALGORITHM => Self::from_query(parts).map(Some),
            Some(_) => Err(SignatureError::Incomplete(format!(
                "AWS query-string parameters must include 'X-Amz-Algorithm={ALGORITHM}'."
            ))),
            None => Ok(None),
        }
    }

    fn from_header(parts: &Parts<'_>, header: &str, fields: &str) -> Result<Self, SignatureError> {
        let field = |name: &str| {
            fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('=')).map(str::trim)
        };
        let (credential, signed, signature) = (field("Credential"), field("SignedHeaders"), field("Signature"));
        let date = parts.header("x-amz-date").or_else(|| parts.header("date"));
        let (Some(credential), Some(signed), Some(signature), Some(at_text)) = (credential, signed, signature, date)
        else {
            let mut text = String::new();
            for (found, name) in [(credential, "Credential"), (signature, "Signature"), (signed, "SignedHeaders")] {
                if found.is_none() {
                    let _ = write!(text, "Authorization header requires '{name}' parameter. ");
                }
            }
            if date.is_none() {
                text.push_str("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
            }
            // The signature is no secret, yet nothing is gained from repeating it.
            let shown = header.split("Signature=").next().unwrap_or_default();
            return Err(SignatureError::Incomplete(format!("{text}Authorization={shown}")));
        };
        let token = parts.header("x-amz-security-token").map(str::to_owned);
        Self::new(credential, signed, signature, at_text, token, None)
    }

    fn from_query(parts: &Parts<'_>) -> Result<Self, SignatureError> {
        let need = |name: &str| {
            let text = || SignatureError::Incomplete(format!("AWS query-string parameters must include '{name}'."));
            parameter(parts.query, name).ok_or_else(text)
        };
        let (credential, signed) = (need("X-Amz-Credential")?, need("X-Amz-SignedHeaders")?);
        let (signature, at) = (need("X-Amz-Signature")?, need("X-Amz-Date")?);
        // Without it, the request holds as long as one with a header.
        let expires = match parameter(parts.query, "X-Amz-Expires") {
            None => None,
            Some(text) => match text.parse() {
                Ok(seconds) if seconds <= MAX_EXPIRES => Some(seconds),
                _ => {
                    return Err(SignatureError::Incomplete(format!(
                        "X-Amz-Expires must be between 0 and {MAX_EXPIRES}"
                    )));
                }
            },
        };
        Self::new(&credential, &signed, &signature, &at, parameter(parts.query, "X-Amz-Security-Token"), expires)
    }

    fn new(
        credential: &str,
        signed: &str,
        signature: &str,
        at_text: &str,
        session_token: Option<String>,
        expires: Option<u64>,
    ) -> Result<Self, SignatureError> {
        let wrong = |text: &str| SignatureError::Incomplete(text.to_owned());
        let parts: Vec<&str> = credential.split('/').collect();
        // An access key may hold slashes, the scope may not.
        let [key @ .., date_text, region, service, "aws4_request"] = &parts[..] else {
            return Err(wrong(
                "Credential must have at least 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
            ));
        };
        let access_key = key.join("/");
        if access_key.is_empty() {
            return Err(wrong(
                "Credential must have at least 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
            ));
        }
        let at = date::parse(at_text)
            .ok_or_else(|| wrong("Date must be in ISO-8601 'basic format'. Got a date of another form."))?;
        if !at_text.starts_with(date_text) || date_text.len() != 8 {
            let day = &at_text[..8];
            let text = format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date_text}' != '{day}', from '{at_text}'."
            );
            return Err(SignatureError::Scope(text));
        }
        let signed_headers: Vec<String> = signed.split(';').map(str::to_ascii_lowercase).collect();
        if signed_headers.len() > MAX_SIGNED_HEADERS {
            return Err(wrong("Too many SignedHeaders."));
        }
        if !signed_headers.iter().any(|name| name == "host") {
            return Err(SignatureError::Scope(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
            ));
        }
        // What is not 64 hexadecimal digits cannot be a signature, so it does not match.
        let mut bytes = [0; 32];
        hex::decode_to_slice(signature, &mut bytes).map_err(|_| SignatureError::Mismatch)?;
        let scope = CredentialScope {
            date: (*date_text).to_owned(),
            region: (*region).to_owned(),
            service: (*service).to_owned(),
        };
        Ok(Self {
            access_key,
            scope,
            session_token,
            signed_headers,
            signature: bytes,
            at,
            at_text: at_text.to_owned(),
            expires,
        })
    }
}

/// The first query parameter `name`, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?.1;
    percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}
