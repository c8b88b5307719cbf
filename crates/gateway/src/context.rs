//! What a handler sees of a call: who, where, when, and the store.

use crate::door::Origin;
use crate::identity::Principal;
use store::{Store, Tx, View};
use types::{Region, Scope, Timestamp};

/// A call in progress. Reading costs nothing; the transaction begins with the first [`Context::tx`] and is committed by
/// the gateway after the handler has returned `Ok`, before the client gets its answer.
pub struct Context {
    /// The caller's account and the region called.
    pub scope: Scope,
    /// Who calls.
    pub principal: Principal,
    /// `x-amzn-RequestId`.
    pub request_id: String,
    /// When the call arrived.
    pub now: Timestamp,
    /// The caller's address, and where the call came in.
    pub origin: Origin,
    /// The host, and the port unless it is the usual one, that the caller has called.
    pub host: Option<String>,
    store: Store,
    view: Option<View>,
    tx: Option<Tx>,
}

impl Context {
    /// The context of one call from loopback, with a request id of its own.
    pub fn new(store: Store, scope: Scope, principal: Principal, now: Timestamp) -> Self {
        Self::of_request(store, scope, principal, now, types::id::random_uuid(), Origin::local())
    }

    /// The context of a call whose request id and origin are known.
    pub(crate) fn of_request(
        store: Store,
        scope: Scope,
        principal: Principal,
        now: Timestamp,
        request_id: String,
        origin: Origin,
    ) -> Self {
        Self { scope, principal, request_id, now, origin, host: None, store, view: None, tx: None }
    }

    /// What can be read: the transaction's state once it has begun, else the newest durable state.
    pub fn view(&mut self) -> &View {
        match &self.tx {
            Some(tx) => tx,
            None => self.view.get_or_insert_with(|| self.store.view()),
        }
    }

    /// The transaction. Others wait from its beginning to the handler's return.
    pub fn tx(&mut self) -> &mut Tx {
        self.tx.get_or_insert_with(|| self.store.begin())
    }

    /// The scope of the caller's global resources.
    pub fn global_scope(&self) -> Scope {
        Scope::global(self.scope.account.clone())
    }

    /// The region called.
    pub fn region(&self) -> &Region {
        &self.scope.region
    }

    /// The store, for what must not be part of the transaction (log streams).
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The transaction, if one began. For the gateway and for tests.
    pub fn take_tx(&mut self) -> Option<Tx> {
        self.tx.take()
    }
}
