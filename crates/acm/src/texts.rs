//! AWS's words. Source: ACM API reference and answers of the live API.

use crate::parsed;
use types::{ApiError, Scope};

pub(crate) fn not_found(arn: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("Could not find certificate {arn}."))
}

pub(crate) fn in_use(arn: &str, scope: &Scope) -> ApiError {
    ApiError::new("ResourceInUseException", format!("Certificate {arn} in account {} is in use.", scope.account))
}

pub(crate) fn invalid(text: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", text)
}

pub(crate) fn invalid_arn(arn: &str) -> ApiError {
    ApiError::new("InvalidArnException", format!("{arn} is not a valid ARN."))
}

pub(crate) fn invalid_domain(name: &str) -> ApiError {
    ApiError::new("InvalidDomainValidationOptionsException", format!("{name} is not a valid domain name."))
}

pub(crate) fn too_many_tags() -> ApiError {
    ApiError::new("TooManyTagsException", "The number of tags exceeds the limit of 50.")
}

pub(crate) fn bad_token() -> ApiError {
    invalid("Invalid NextToken.")
}

impl From<parsed::Error> for ApiError {
    fn from(why: parsed::Error) -> Self {
        invalid(match why {
            parsed::Error::Certificate => "The certificate is not in PEM format or is not valid.",
            parsed::Error::SeveralCertificates => {
                "The certificate field contains more than one certificate. You can specify only one certificate in this field."
            }
            parsed::Error::Key => "The private key is not supported.",
            parsed::Error::Mismatch => "The private key does not match the key that is in the certificate.",
            parsed::Error::Chain => {
                "Unable to validate certificate chain. The certificate chain must start with the immediate signing \
                 certificate, followed by any intermediaries in order. The index within the chain of the invalid certificate is: 0"
            }
        })
    }
}
