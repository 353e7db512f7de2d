//! The date as a header tells it, written once a second on each thread.

use http::HeaderValue;
use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A second, and its text.
struct Written {
    second: u64,
    text: HeaderValue,
}

thread_local! {
    static WRITTEN: RefCell<Written> =
        const { RefCell::new(Written { second: 0, text: HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT") }) };
}

/// Calls with the date of now (RFC 9110 §5.6.7).
pub(super) fn with<R>(use_it: impl FnOnce(&HeaderValue) -> R) -> R {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    WRITTEN.with_borrow_mut(|written| {
        if written.second != second
            && let Ok(text) = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second)).try_into()
        {
            *written = Written { second, text };
        }
        use_it(&written.text)
    })
}
