//! Forgets client tokens that hold no more: their rows would otherwise pile up, as every SDK makes one for every call.

use super::Control;
use crate::rows::{TOKEN_LASTS, TokenRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use std::time::Duration;
use store::{Change, Op, Row, View};

/// How often it is looked whether the tasks of a token are gone.
const PERIOD: Duration = Duration::from_hours(1);

/// The controller. Its key is the token's id.
pub struct TokenKeeper {
    control: Control,
}

impl TokenKeeper {
    /// The keeper of the store's tokens.
    pub fn new(control: Control) -> Self {
        Self { control }
    }
}

#[async_trait]
impl Controller for TokenKeeper {
    fn name(&self) -> &'static str {
        "ecs-client-tokens"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[TokenRow::TABLE]
    }

    fn keys(&self, _: &View, change: &Change) -> Vec<Key> {
        if change.op == Op::Delete { Vec::new() } else { vec![Key::new(&change.scope, change.id.to_string())] }
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<TokenRow>().map(|(scope, row)| Key::new(scope, row.token.clone())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let now = self.control.now();
        let (next, ticket) = self.control.write(|tx| {
            let row = tx.get::<TokenRow>(&key.scope, &key.id)?;
            if row.holds(tx, &key.scope, now) {
                return Some(PERIOD.min(TOKEN_LASTS.saturating_sub(now.since(row.at))));
            }
            tx.delete::<TokenRow>(&key.scope, &key.id);
            None
        });
        ticket.await?;
        Ok(next.map_or(Next::Done, Next::After))
    }
}
