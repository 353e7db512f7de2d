//! The date as a header line tells it, written once a second on each thread.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A second, and its text.
struct Written {
    second: u64,
    text: String,
}

thread_local! {
    static WRITTEN: RefCell<Written> = const { RefCell::new(Written { second: 0, text: String::new() }) };
}

/// Calls with the date of now (RFC 9110 §5.6.7).
pub(super) fn with<R>(use_it: impl FnOnce(&[u8]) -> R) -> R {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    WRITTEN.with_borrow_mut(|written| {
        if written.second != second {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            *written = Written { second, text };
        }
        use_it(written.text.as_bytes())
    })
}
