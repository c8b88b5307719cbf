//! What is known of a service and its operations without knowing its handlers.

use crate::schema::{Schema, UNIT};
use crate::shape::{Output, Shape};
use crate::value::Value;
use types::{ApiError, Fault};

/// The protocols of the AWS API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `application/x-amz-json-1.0` with `X-Amz-Target`.
    Json10,
    /// `application/x-amz-json-1.1` with `X-Amz-Target`.
    Json11,
    /// Form parameters in, XML out.
    Query,
    /// EC2's dialect of [`Protocol::Query`].
    Ec2,
    /// CBOR in and out; the operation stands in the path.
    Cbor,
}

/// A service, as AWS's model describes it.
#[derive(Debug)]
pub struct ServiceInfo {
    /// The name of its SDK module: `ec2`, `elbv2`.
    pub name: &'static str,
    /// `Elastic Load Balancing v2`.
    pub id: &'static str,
    /// The `Version` of query requests, e.g. `2016-11-15`.
    pub version: &'static str,
    /// What it speaks, its favourite first.
    pub protocols: &'static [Protocol],
    /// What precedes the dot in `X-Amz-Target`, and names the service in a CBOR path. Empty for query services.
    pub target_prefix: &'static str,
    /// The namespace of XML documents. Empty for JSON services.
    pub namespace: &'static str,
    /// The service's names in a credential scope.
    pub signing_names: &'static [&'static str],
    /// The first label of its endpoint: `elasticloadbalancing`, `api.ecr`.
    pub endpoint: &'static str,
    /// The prefix of its IAM actions.
    pub iam_prefix: &'static str,
    /// Whether JSON and CBOR errors carry `x-amzn-query-error`.
    pub query_compatible: bool,
    /// All operations that AWS has, sorted.
    pub all: &'static [&'static str],
    /// The operations that are implemented, sorted by name. The position is the index that dispatch takes.
    pub operations: &'static [OperationInfo],
    /// The errors that the model names.
    pub errors: &'static [ErrorInfo],
}

/// An implemented operation.
#[derive(Debug)]
pub struct OperationInfo {
    /// `CreateVpc`.
    pub name: &'static str,
    /// What it takes.
    pub input: &'static Schema,
    /// What it gives.
    pub output: &'static Schema,
    /// The element around the result in a query response; empty if there is none.
    pub wrapper: &'static str,
}

/// An error of a service's model.
#[derive(Debug)]
pub struct ErrorInfo {
    /// The shape's name, as JSON's `__type` has it.
    pub name: &'static str,
    /// The code in XML documents.
    pub code: &'static str,
    /// The key of its text in JSON and CBOR: `message` or `Message`.
    pub message: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Who is to blame.
    pub fault: Fault,
}

impl OperationInfo {
    /// Whether AWS's model has no output for it.
    pub fn is_silent(&self) -> bool {
        std::ptr::eq(self.output, &raw const UNIT)
    }
}

impl ServiceInfo {
    /// The index and description of the implemented operation `name`.
    pub fn operation(&self, name: &str) -> Option<(usize, &'static OperationInfo)> {
        let at = self.operations.binary_search_by(|operation| operation.name.cmp(name)).ok()?;
        Some((at, &self.operations[at]))
    }

    /// Whether AWS has an operation `name`, implemented or not.
    pub fn knows(&self, name: &str) -> bool {
        self.all.binary_search(&name).is_ok()
    }

    /// The model's error whose code or shape is `code`.
    pub fn error(&self, code: &str) -> Option<&'static ErrorInfo> {
        self.errors.iter().find(|error| error.code == code || error.name == code)
    }
}

/// A service with its handlers: what the gateway holds. `C` is the context of a call.
pub trait Service<C>: Send + Sync {
    /// What is known of it.
    fn info(&self) -> &'static ServiceInfo;

    /// Runs the handler of `info().operations[operation]` on a validated `input`.
    fn call(&self, operation: usize, context: &mut C, input: Value) -> Result<Box<dyn Output>, ApiError>;
}

/// Runs one typed handler. For generated code.
pub fn call<S, C, I: Shape, O: Shape>(
    handler: fn(&S, &mut C, I) -> Result<O, ApiError>,
    state: &S,
    context: &mut C,
    input: Value,
) -> Result<Box<dyn Output>, ApiError> {
    Ok(Box::new(handler(state, context, <I as Shape>::from_value(input))?))
}
