//! Client tokens: a creation that is asked for again with its token makes nothing, and is answered as the first time.
//! Source: EC2 developer guide, "Ensuring idempotency in Amazon EC2 API requests".

use crate::api::Ec2;
use crate::rows::ClientToken;
use crate::texts;
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use gateway::Context;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Op, Row, Store, View};
use types::{ApiError, Clock};
use wire::{Shape, Stored};

/// How long a token holds: the shortest that AWS promises.
const LASTS: Duration = Duration::from_hours(24);
/// The longest token, in characters.
const LONGEST: usize = 64;

/// Answers `input` by `handler`, or as it was answered before. `token` is the request's own, if it has one.
pub(crate) fn once<I: Shape + Clone, O: Shape>(
    service: &Ec2,
    cx: &mut Context,
    input: I,
    (action, token): (&str, Option<String>),
    handler: fn(&Ec2, &mut Context, I) -> Result<O, ApiError>,
) -> Result<O, ApiError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return handler(service, cx, input) };
    if token.len() > LONGEST || !token.is_ascii() {
        return Err(texts::invalid_value(&token, "ClientToken", "It has at most 64 ASCII characters."));
    }
    let (scope, now) = (cx.scope.clone(), cx.now);
    let internal = |_| ApiError::internal();
    let request = Stored(input);
    let digest = hex::encode(Sha256::digest(serde_json::to_vec(&request).map_err(internal)?));
    let id = format!("{action}/{token}");
    let known = cx.view().get::<ClientToken>(&scope, &id);
    if let Some(known) = known.filter(|known| now.since(known.at) < LASTS) {
        if known.request != digest {
            return Err(texts::token_used_otherwise(&token));
        }
        return serde_json::from_str::<Stored<O>>(&known.answer).map(|answer| answer.0).map_err(internal);
    }
    let answer = Stored(handler(service, cx, request.0)?);
    let text = serde_json::to_string(&answer).map_err(internal)?;
    cx.tx().put(&scope, ClientToken { id, request: digest, answer: text, at: now });
    Ok(answer.0)
}

/// Forgets tokens that hold no more. Its key is the token's id.
pub struct TokenKeeper {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl TokenKeeper {
    /// The keeper of `store`'s tokens.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl Controller for TokenKeeper {
    fn name(&self) -> &'static str {
        "vpc.client-tokens"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[ClientToken::TABLE]
    }

    fn keys(&self, _: &View, change: &Change) -> Vec<Key> {
        if change.op == Op::Delete { Vec::new() } else { vec![Key::new(&change.scope, change.id.to_string())] }
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<ClientToken>().map(|(scope, row)| Key::new(scope, row.id.clone())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let Some(row) = self.store.view().get::<ClientToken>(&key.scope, &key.id) else { return Ok(Next::Done) };
        let since = self.clock.now().since(row.at);
        if since < LASTS {
            return Ok(Next::After(LASTS.saturating_sub(since)));
        }
        let ticket = {
            let mut tx = self.store.begin();
            // It may have been used anew meanwhile.
            if tx.get::<ClientToken>(&key.scope, &key.id).is_some_and(|found| found.at == row.at) {
                tx.delete::<ClientToken>(&key.scope, &key.id);
            }
            tx.commit()
        };
        ticket.await?;
        Ok(Next::Done)
    }
}
