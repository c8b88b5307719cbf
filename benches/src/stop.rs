//! Ctrl-C ends a run in order: what is being measured ends first, then all that was started is stopped and removed.
//!
//! Servers and podman run in process groups of their own, so that the terminal's signal does not reach them midway.

use crate::Outcome;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From here on, signals are noted instead of ending this process.
pub(crate) fn listen() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let entered = runtime.enter();
    let opened = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = opened else {
        return Err("cannot listen for signals".to_owned());
    };
    drop(entered);
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hangup.recv() => {} }
                ASKED.store(true, Ordering::Relaxed);
                eprintln!("bench: stopping, and clearing up …");
            }
        });
    });
    Ok(())
}

/// Refuses once a stop was asked for.
pub(crate) fn check() -> Outcome {
    if ASKED.load(Ordering::Relaxed) { Err("stopped; nothing is reported".to_owned()) } else { Ok(()) }
}
