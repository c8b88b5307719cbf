//! One call of the AWS API, from the request's bytes to the response's.
//!
//! Target → signature → permission → decode → validate → handler → commit → encode. Every way out carries the request id
//! and the protocol's own document. A handler that panics answers `InternalFailure`; the server lives on, and the
//! transaction is dropped without a trace.

use crate::Context;
use crate::dispatch::{self, Target};
use crate::door::{Endpoint, Origin};
use crate::identity::{Action, Identity, Principal};
use crate::resource;
use crate::server::{Body, full};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use store::{Store, Ticket, View};
use types::{ApiError, Clock, Region, Scope, Timestamp};
use wire::service::{OperationInfo, Service, ServiceInfo};
use wire::sigv4::{Authorization, SignatureError};
use wire::{Encoded, Output, Protocol, Value, encode, sigv4};

/// A request whose body is here.
pub struct Call {
    /// Its head.
    pub parts: Parts,
    /// Its body.
    pub body: Bytes,
    /// Whence it came.
    pub origin: Origin,
}

/// What runs calls.
pub struct Caller {
    store: Store,
    clock: Arc<dyn Clock>,
    identity: Arc<dyn Identity>,
    services: Vec<Box<dyn Service<Context>>>,
    infos: Vec<&'static ServiceInfo>,
    verifier: sigv4::Verifier,
    whole_arn: WholeArn,
}

/// The whole ARN of a resource whose ARN is not all in its name, if there is one: a secret's ends in six characters by
/// chance.
pub type WholeArn = fn(&View, &Scope, &str, Timestamp) -> Option<String>;

/// What a handler gave, and the ticket of its transaction.
type Handled = (&'static ServiceInfo, &'static OperationInfo, Box<dyn Output>, Option<Ticket>);

/// A call's signature, checked: who signed, and for where.
struct Signer {
    principal: Principal,
    region: Region,
}

impl Caller {
    /// A caller of `services`.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        identity: Arc<dyn Identity>,
        services: Vec<Box<dyn Service<Context>>>,
        whole_arn: WholeArn,
    ) -> Self {
        let infos = services.iter().map(|service| service.info()).collect();
        Self { store, clock, identity, services, infos, verifier: sigv4::Verifier::default(), whole_arn }
    }

    /// Answers `call`.
    pub async fn call(&self, call: Call) -> Response<Body> {
        let request_id = types::id::random_uuid();
        let target = self.target(&call.parts);
        let info = target.service.map(|at| self.infos[at]);
        let encoded = match self.run(&call, &target, &request_id).await {
            Ok(encoded) => encoded,
            Err(error) => {
                tracing::debug!(%request_id, service = info.map(|info| info.name), %error, "refused");
                encode::error(target.protocol, info, &error, &request_id)
            }
        };
        respond(encoded, &request_id)
    }

    /// The response to a request that is refused before its body is known.
    pub fn refuse(&self, parts: &Parts, error: ApiError) -> Response<Body> {
        let request_id = types::id::random_uuid();
        let target = self.target(parts);
        let info = target.service.map(|at| self.infos[at]);
        respond(encode::error(target.protocol, info, &error, &request_id), &request_id)
    }

    fn target(&self, parts: &Parts) -> Target {
        dispatch::target(&self.infos, parts, signing_name(parts).as_deref())
    }

    async fn run(&self, call: &Call, target: &Target, request_id: &str) -> Result<Encoded, ApiError> {
        let (info, operation, output, ticket) = self.handle(call, target, request_id)?;
        if let Some(ticket) = ticket {
            ticket.wait().await.map_err(|error| {
                tracing::error!(request_id, operation = operation.name, %error, "cannot commit");
                ApiError::internal()
            })?;
        }
        tracing::debug!(request_id, operation = operation.name, "answered");
        Ok(encode::output(target.protocol, info, operation, &*output, request_id))
    }

    /// All that happens before the commit is durable. Without an await, as a transaction may be open.
    fn handle(&self, call: &Call, target: &Target, request_id: &str) -> Result<Handled, ApiError> {
        let now = self.clock.now();
        // Where the service is unknown, a wrong signature is still the first thing to say.
        let signer = self.authenticate(call, target.protocol, now)?;
        let (service, info) = match target.service {
            Some(at) => (&self.services[at], self.infos[at]),
            None => return Err(unknown_service(call)),
        };
        if let Some(endpoint) = call.origin.endpoint().filter(|endpoint| !endpoint.leads_to(info)) {
            return Err(SignatureError::Scope(other_service(endpoint)).into_api(target.protocol));
        }
        let form = form(call);
        let name = match &target.operation {
            Some(name) => Cow::Borrowed(name.as_str()),
            None => Cow::Owned(dispatch::action(&form).ok_or_else(|| missing_action(info))?),
        };
        let (index, operation) = info.operation(&name).ok_or_else(|| unknown_operation(info, &name, target))?;
        let body: &[u8] = if target.operation.is_some() { &call.body } else { &form };
        let input = wire::decode(target.protocol, operation.input, body)?;
        wire::validate(info, target.protocol, operation.input, &input)?;

        let scope = Scope::new(signer.principal.account.clone(), signer.region);
        let (store, origin) = (self.store.clone(), call.origin.clone());
        let mut context = Context::of_request(store, scope, signer.principal, now, request_id.to_owned(), origin);
        let host = call.parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        context.host = host.map(str::to_owned);
        self.authorize(&mut context, info, operation, &input)?;

        let handled = catch_unwind(AssertUnwindSafe(|| service.call(index, &mut context, input)));
        let Ok(outcome) = handled else {
            tracing::error!(request_id, operation = %name, "a handler panicked");
            return Err(ApiError::internal());
        };
        let output = outcome?;
        Ok((info, operation, output, context.take_tx().map(store::Tx::commit)))
    }

    fn authenticate(&self, call: &Call, protocol: Protocol, now: Timestamp) -> Result<Signer, ApiError> {
        let hash = sigv4::payload_hash(&call.body);
        let parts = signed_parts(&call.parts, &hash);
        let refused = |error: SignatureError| error.into_api(protocol);
        let authorization =
            Authorization::find(&parts).map_err(refused)?.ok_or_else(|| refused(SignatureError::Missing))?;
        let credentials = self
            .identity
            .credentials(&self.store.view(), &authorization.access_key, now)
            .ok_or_else(|| refused(SignatureError::UnknownKey))?;
        self.verifier.verify(&authorization, &parts, &credentials.secret, now).map_err(refused)?;
        let region = authorization.scope.region.parse().map_err(|text| refused(SignatureError::Scope(text)))?;
        Ok(Signer { principal: credentials.principal, region })
    }

    fn authorize(
        &self,
        context: &mut Context,
        info: &ServiceInfo,
        operation: &OperationInfo,
        input: &Value,
    ) -> Result<(), ApiError> {
        let action = format!("{}:{}", info.iam_prefix, operation.name);
        let (scope, now) = (context.scope.clone(), context.now);
        let mut resources = resource::resources(info, operation, input, &scope);
        for arn in resources.iter_mut().filter(|arn| *arn != "*") {
            if let Some(whole) = (self.whole_arn)(context.view(), &scope, arn, now) {
                *arn = whole;
            }
        }
        let (principal, origin) = (context.principal.clone(), context.origin.clone());
        let region = context.region().as_str().to_owned();
        let action = Action { action: &action, resources: &resources, region: &region, origin: &origin, now };
        self.identity.authorize(context.view(), &principal, &action)
    }
}

fn signed_parts<'a>(parts: &'a Parts, payload_hash: &'a str) -> sigv4::Parts<'a> {
    sigv4::Parts {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        payload_hash,
    }
}

/// The service that the signature's scope names, if there is a signature that can be read.
fn signing_name(parts: &Parts) -> Option<String> {
    Authorization::find(&signed_parts(parts, "")).ok().flatten().map(|authorization| authorization.scope.service)
}

/// The form of a query request: the body, or the query string of a GET.
fn form(call: &Call) -> Cow<'_, [u8]> {
    match (&call.parts.method, call.parts.uri.query()) {
        (&Method::GET, Some(query)) => Cow::Borrowed(query.as_bytes()),
        (_, Some(query)) if call.body.is_empty() => Cow::Borrowed(query.as_bytes()),
        // A presigned POST carries its signature in the query and the form in the body.
        _ => Cow::Borrowed(&call.body),
    }
}

fn missing_action(info: &ServiceInfo) -> ApiError {
    if info.target_prefix.is_empty() {
        ApiError::new("MissingAction", "The request must contain the parameter Action.")
    } else {
        ApiError::new("UnknownOperationException", "").with_status(404)
    }
}

fn unknown_operation(info: &ServiceInfo, name: &str, target: &Target) -> ApiError {
    if info.knows(name) {
        return ApiError::not_implemented(format_args!("{}:{name}", info.iam_prefix));
    }
    match target.protocol {
        wire::Protocol::Ec2 => {
            ApiError::new("InvalidAction", format!("The action {name} is not valid for this web service."))
        }
        wire::Protocol::Query => {
            ApiError::new("InvalidAction", format!("Could not find operation {name} for version {}", info.version))
        }
        _ => ApiError::new("UnknownOperationException", "").with_status(404),
    }
}

/// What a service says to a call that another one's client signed.
fn other_service(endpoint: &Endpoint) -> String {
    let own = endpoint.signing_name().unwrap_or(&endpoint.service);
    format!("Credential should be scoped to correct service: '{own}'.")
}

fn unknown_service(call: &Call) -> ApiError {
    let named = signing_name(&call.parts);
    ApiError::not_implemented(format_args!("the service {}", named.as_deref().unwrap_or("that this request is for")))
}

fn respond(encoded: Encoded, request_id: &str) -> Response<Body> {
    let mut response = Response::new(full(encoded.body));
    *response.status_mut() = StatusCode::from_u16(encoded.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(encoded.content_type));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", id);
    }
    for (name, value) in encoded.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}
