//! Data channels' address: `GET /v1/data-channel/<session>?role=publish_subscribe` becomes a WebSocket.
//!
//! The token that shows whose the session is comes as the first message, as on AWS. Of our own tools' making are the query's
//! `terminal=none` (three pipes in place of a terminal) and `exit=told` (the exit code is sent).

use super::{PATH, Registry, talk};
use crate::control::Control;
use datachannel::agent::Manner;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gateway::server::{full, plain};
use gateway::{Body, Extra, Origin};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// The longest frame. The plugin's have 1024 bytes in them.
const LONGEST: usize = 256 << 10;
/// Written bytes that wait for a client, at most.
const MOST_WAITING: usize = 4 << 20;

/// Session Manager's data channels of containers.
pub struct DataChannels {
    control: Control,
    registry: Arc<Registry>,
}

impl DataChannels {
    /// Those of the sessions in `registry`.
    pub fn new(control: Control, registry: Arc<Registry>) -> Self {
        Self { control, registry }
    }

    fn open(&self, request: Request<Incoming>) -> Response<Body> {
        let session = request.uri().path().strip_prefix(PATH).unwrap_or_default().to_owned();
        let says = |name: header::HeaderName, wanted: &str| {
            let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(wanted))
        };
        let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
        let upgrades = says(header::CONNECTION, "upgrade") && says(header::UPGRADE, "websocket");
        let Some(key) = key.filter(|_| upgrades && request.method() == Method::GET) else {
            return plain(StatusCode::BAD_REQUEST, "a data channel is a WebSocket\n");
        };
        if !says(header::SEC_WEBSOCKET_VERSION, "13") {
            let mut refusal = plain(StatusCode::UPGRADE_REQUIRED, "this version of WebSocket is not spoken\n");
            refusal.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return refusal;
        }
        if !self.registry.is_promised(&session, self.control.clock.now()) {
            return plain(StatusCode::NOT_FOUND, "no such session, or its token was used or has expired\n");
        }
        let query = request.uri().query().unwrap_or_default();
        let asks = |wanted: &str| query.split('&').any(|pair| pair == wanted);
        let manner = Manner { terminal: !asks("terminal=none"), tells_exit: asks("exit=told") };
        let (control, registry) = (self.control.clone(), self.registry.clone());
        tokio::spawn(async move {
            let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
            let config = WebSocketConfig::default()
                .max_message_size(Some(LONGEST))
                .max_frame_size(Some(LONGEST))
                .max_write_buffer_size(MOST_WAITING);
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
            talk::hold(control, &registry, &session, manner, socket).await;
        });
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        response
    }
}

impl Extra for DataChannels {
    fn takes(&self, _: &str, path: &str) -> bool {
        path.starts_with(PATH)
    }

    fn service(&self) -> Option<&'static str> {
        Some("ssmmessages")
    }

    fn answer(&self, request: Request<Incoming>, _: Origin) -> BoxFuture<'_, Response<Body>> {
        std::future::ready(self.open(request)).boxed()
    }
}
