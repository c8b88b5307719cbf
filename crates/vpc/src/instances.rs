//! Leads instances through their life: what the API asks for is a state on the way, and the state at its end is written
//! here once the interfaces are what it takes.
//!
//! An instance is a share of this machine: a network namespace with its interfaces, in which what runs on it runs. No
//! machine boots, so `pending` lasts until the kernel holds its interfaces. A terminated instance is shown for an hour.

use crate::intent::{self, PublicPool};
use crate::rows::{Instance, InstanceState, InterfaceState, NetworkInterface};
use crate::texts;
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Op, Row, Store, Tx, View};
use types::id::InstanceId;
use types::{ApiError, Clock, Scope, Timestamp};

/// How long a terminated instance is shown. Source: EC2 user guide, "Terminate Amazon EC2 instances".
const SHOWN: Duration = Duration::from_hours(1);

/// An instance's interfaces, the primary one first.
pub fn interfaces(view: &View, scope: &Scope, id: &str) -> Vec<Arc<NetworkInterface>> {
    let mut found: Vec<_> = view.by_index(&NetworkInterface::BY_INSTANCE, scope, id).cloned().collect();
    found.sort_by_key(|row| row.attachment.as_ref().map_or(u8::MAX, |attachment| attachment.device_index));
    found
}

/// What an instance is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To start again, if it is stopped.
    Start,
    /// To stop, keeping its interfaces.
    Stop,
    /// To end.
    Terminate,
}

/// Asks an instance for something, unless it is in no state for it or protected. Returns its state before and after. The
/// words are those of a user's request; a service that asks is no user, and protection does not hold against it.
pub fn ask(
    tx: &mut Tx,
    scope: &Scope,
    (id, wish): (&str, Wish),
    by_user: bool,
    pool: &PublicPool,
    now: Timestamp,
) -> Result<(InstanceState, InstanceState), ApiError> {
    let row = tx.get::<Instance>(scope, id).ok_or_else(|| texts::instance_not_found(id))?;
    let before = row.state;
    let after = match (wish, before) {
        (Wish::Terminate, InstanceState::ShuttingDown | InstanceState::Terminated)
        | (Wish::Stop, InstanceState::Stopping | InstanceState::Stopped)
        | (Wish::Start, InstanceState::Pending | InstanceState::Running) => before,
        (Wish::Terminate, _) if by_user && row.disable_api_termination => {
            return Err(texts::termination_disabled(id));
        }
        (Wish::Terminate, _) => InstanceState::ShuttingDown,
        (Wish::Stop, _) if by_user && row.disable_api_stop => return Err(texts::stop_disabled(id)),
        (Wish::Stop, InstanceState::Pending | InstanceState::Running) => InstanceState::Stopping,
        (Wish::Stop, _) => return Err(texts::not_in_state_for(id, "stopped")),
        (Wish::Start, InstanceState::Stopped) => InstanceState::Pending,
        (Wish::Start, _) => return Err(texts::not_in_state_for(id, "started")),
    };
    if after == before {
        return Ok((before, after));
    }
    if wish == Wish::Start {
        awake(tx, scope, &row, pool, now)?;
    }
    tx.update::<Instance>(scope, id, |row| {
        (row.state, row.since) = (after, now);
        row.reason = (wish != Wish::Start).then(texts::user_initiated);
        if wish == Wish::Start {
            (row.launched, row.booted) = (now, now);
        }
    });
    Ok((before, after))
}

/// Has a stopped instance's interfaces go into its namespace again.
fn awake(tx: &mut Tx, scope: &Scope, row: &Instance, pool: &PublicPool, now: Timestamp) -> Result<(), ApiError> {
    for interface in interfaces(tx, scope, row.id.as_str()) {
        let primary = interface.attachment.as_ref().is_some_and(|attachment| attachment.device_index == 0);
        let public = if primary && row.public_ip { Some(pool.free(tx)?) } else { None };
        tx.update::<NetworkInterface>(scope, interface.id.as_str(), |interface| {
            interface.auto_public_ip = public;
            if let Some(attachment) = &mut interface.attachment {
                (attachment.namespace, attachment.at) = (Some(row.id.to_string()), now);
            }
        });
    }
    Ok(())
}

/// Takes a stopped instance's interfaces out of the kernel, with the address that was the instance's while it ran.
fn rest(tx: &mut Tx, scope: &Scope, id: &InstanceId) {
    for interface in interfaces(tx, scope, id.as_str()) {
        tx.update::<NetworkInterface>(scope, interface.id.as_str(), |interface| {
            interface.auto_public_ip = None;
            if let Some(attachment) = &mut interface.attachment {
                attachment.namespace = None;
            }
        });
    }
}

/// Ends an instance's hold on its interfaces: those that end with it are deleted, the others are free again.
fn release(tx: &mut Tx, scope: &Scope, id: &InstanceId) {
    for interface in interfaces(tx, scope, id.as_str()) {
        if interface.attachment.as_ref().is_some_and(|attachment| attachment.delete_on_termination) {
            intent::delete_interface(tx, scope, &interface.id);
        } else {
            tx.update::<NetworkInterface>(scope, interface.id.as_str(), |interface| {
                (interface.attachment, interface.auto_public_ip) = (None, None);
            });
        }
    }
}

/// The controller of instances. Its keys are their ids.
pub struct Instances {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Instances {
    /// The controller of `store`'s instances.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    async fn end(
        &self,
        key: &Key,
        state: InstanceState,
        also: fn(&mut Tx, &Scope, &InstanceId),
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        let ticket = {
            let mut tx = self.store.begin();
            let from = match state {
                InstanceState::Running => InstanceState::Pending,
                InstanceState::Stopped => InstanceState::Stopping,
                _ => InstanceState::ShuttingDown,
            };
            // It may have been asked for something else meanwhile.
            let Some(row) = tx.get::<Instance>(&key.scope, &key.id).filter(|row| row.state == from) else {
                return Ok(());
            };
            also(&mut tx, &key.scope, &row.id);
            tx.update::<Instance>(&key.scope, &key.id, |row| (row.state, row.since) = (state, now));
            tx.commit()
        };
        ticket.await?;
        Ok(())
    }
}

#[async_trait]
impl Controller for Instances {
    fn name(&self) -> &'static str {
        "vpc.instances"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[Instance::TABLE, NetworkInterface::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.table == Instance::TABLE {
            return if change.op == Op::Delete {
                Vec::new()
            } else {
                vec![Key::new(&change.scope, change.id.to_string())]
            };
        }
        let interface = view.get::<NetworkInterface>(&change.scope, &change.id);
        let attachment = interface.as_ref().and_then(|row| row.attachment.as_ref());
        let instance = attachment.and_then(|attachment| attachment.instance.as_ref());
        instance.map(|id| Key::new(&change.scope, id.as_str())).into_iter().collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<Instance>().map(|(scope, row)| Key::new(scope, row.id.as_str())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let view = self.store.view();
        let Some(row) = view.get::<Instance>(&key.scope, &key.id) else { return Ok(Next::Done) };
        match row.state {
            InstanceState::Pending => {
                let all = interfaces(&view, &key.scope, &key.id);
                if !all.is_empty() && all.iter().all(|interface| interface.state == InterfaceState::Attached) {
                    self.end(key, InstanceState::Running, |_, _, _| ()).await?;
                }
            }
            InstanceState::Stopping => self.end(key, InstanceState::Stopped, rest).await?,
            InstanceState::ShuttingDown => self.end(key, InstanceState::Terminated, release).await?,
            InstanceState::Running | InstanceState::Stopped => {}
            InstanceState::Terminated => {
                let gone_for = self.clock.now().since(row.since);
                if gone_for < SHOWN {
                    return Ok(Next::After(SHOWN.saturating_sub(gone_for)));
                }
                let ticket = {
                    let mut tx = self.store.begin();
                    tx.delete::<Instance>(&key.scope, &key.id);
                    tx.commit()
                };
                ticket.await?;
            }
        }
        Ok(Next::Done)
    }
}
