//! Why a signature is not accepted, in each protocol's words.

use crate::service::Protocol;
use types::ApiError;

/// Why a request's signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureError {
    /// There is none.
    Missing,
    /// It lacks parts; AWS's text says which.
    Incomplete(String),
    /// The access key or the session token is not ours.
    UnknownKey,
    /// It is not the signature of this request with this key.
    Mismatch,
    /// The text says from when it is and what is too long ago.
    Expired(String),
    /// The text says from when it is and what is too far ahead.
    NotYetCurrent(String),
    /// The scope names another date than the request, or something else is wrong with it.
    Scope(String),
}

const INVALID_TOKEN: &str = "The security token included in the request is invalid.";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
                        Secret Access Key and signing method. Consult the service documentation for details.";
const EC2_FAILURE: &str = "AWS was not able to validate the provided access credentials";

impl SignatureError {
    /// The error that a client of `protocol` sees.
    pub fn into_api(self, protocol: Protocol) -> ApiError {
        match protocol {
            Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => self.json(),
            Protocol::Query => self.query(),
            Protocol::Ec2 => self.ec2(),
        }
    }

    fn json(self) -> ApiError {
        match self {
            Self::Missing => ApiError::new("MissingAuthenticationTokenException", "Missing Authentication Token"),
            Self::Incomplete(text) => ApiError::new("IncompleteSignatureException", text),
            Self::UnknownKey => ApiError::new("UnrecognizedClientException", INVALID_TOKEN),
            Self::Mismatch => ApiError::new("InvalidSignatureException", MISMATCH),
            Self::Expired(text) | Self::NotYetCurrent(text) | Self::Scope(text) => {
                ApiError::new("InvalidSignatureException", text)
            }
        }
    }

    fn query(self) -> ApiError {
        match self {
            Self::Missing => {
                ApiError::new("MissingAuthenticationToken", "Request is missing Authentication Token").with_status(403)
            }
            Self::Incomplete(text) => ApiError::new("IncompleteSignature", text),
            Self::UnknownKey => ApiError::new("InvalidClientTokenId", INVALID_TOKEN).with_status(403),
            Self::Mismatch => ApiError::new("SignatureDoesNotMatch", MISMATCH).with_status(403),
            Self::Expired(text) | Self::NotYetCurrent(text) | Self::Scope(text) => {
                ApiError::new("SignatureDoesNotMatch", text).with_status(403)
            }
        }
    }

    fn ec2(self) -> ApiError {
        match self {
            Self::Missing => ApiError::new("MissingParameter", "The request must contain the parameter AWSAccessKeyId"),
            Self::Incomplete(text) => ApiError::new("IncompleteSignature", text),
            Self::UnknownKey | Self::Mismatch | Self::Scope(_) => {
                ApiError::new("AuthFailure", EC2_FAILURE).with_status(401)
            }
            Self::Expired(_) | Self::NotYetCurrent(_) => ApiError::new("RequestExpired", "Request has expired."),
        }
    }
}
