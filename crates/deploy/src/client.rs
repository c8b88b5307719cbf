//! The SDK's clients for one endpoint, region and pair of keys. Plain HTTP: the endpoint is this machine's loopback.

use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};

/// One client a service.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Certificates.
    pub acm: aws_sdk_acm::Client,
    /// Networks.
    pub ec2: aws_sdk_ec2::Client,
    /// Image repositories.
    pub ecr: aws_sdk_ecr::Client,
    /// Clusters, tasks, services.
    pub ecs: aws_sdk_ecs::Client,
    /// Load balancers.
    pub elb: aws_sdk_elasticloadbalancingv2::Client,
    /// Roles.
    pub iam: aws_sdk_iam::Client,
    /// Log groups.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// Secrets.
    pub secrets: aws_sdk_secretsmanager::Client,
}

macro_rules! client {
    ($sdk:ident, $endpoint:expr, $region:expr, $http:expr) => {
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .endpoint_url($endpoint)
                .region(Region::new($region.to_owned()))
                .credentials_provider(Credentials::new("test", "test", None, None, "windtunnel"))
                .http_client($http.clone())
                .build(),
        )
    };
}

impl Clients {
    /// Clients for `endpoint` (`http://127.0.0.1:4566`) in `region`, with the default credentials.
    pub fn new(endpoint: &str, region: &str) -> Self {
        let http: SharedHttpClient = aws_smithy_http_client::Builder::new().build_http();
        Self {
            acm: client!(aws_sdk_acm, endpoint, region, http),
            ec2: client!(aws_sdk_ec2, endpoint, region, http),
            ecr: client!(aws_sdk_ecr, endpoint, region, http),
            ecs: client!(aws_sdk_ecs, endpoint, region, http),
            elb: client!(aws_sdk_elasticloadbalancingv2, endpoint, region, http),
            iam: client!(aws_sdk_iam, endpoint, region, http),
            logs: client!(aws_sdk_cloudwatchlogs, endpoint, region, http),
            secrets: client!(aws_sdk_secretsmanager, endpoint, region, http),
        }
    }
}

/// The API's code of an SDK error, if the API answered at all.
pub fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(|service| service.code())
}

/// Code and message, or the transport's error with its causes.
pub fn text<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    if let Some(service) = error.as_service_error()
        && let Some(code) = service.code()
    {
        return format!("{code}: {}", service.message().unwrap_or_default());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
