//! The buffer that bodies are written into: one a thread, which grows once and not for every answer.

use std::cell::RefCell;

/// What a buffer may hold when it is kept for the next body.
const KEPT: usize = 256 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, as large as an earlier body was. A body written while another one is gets a new one.
pub(super) fn take() -> Vec<u8> {
    BUFFER.with(|buffer| buffer.try_borrow_mut().map(|mut buffer| std::mem::take(&mut *buffer)).unwrap_or_default())
}

/// What was written, in just the memory that it needs.
pub(super) fn done(mut written: Vec<u8>) -> Vec<u8> {
    let body = written.as_slice().to_vec();
    if written.capacity() <= KEPT {
        written.clear();
        BUFFER.with(|buffer| {
            if let Ok(mut buffer) = buffer.try_borrow_mut() {
                *buffer = written;
            }
        });
    }
    body
}
