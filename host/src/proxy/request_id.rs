//! What one request is called: in the access log, in an error's text, and by backends that are told.

use http::{HeaderName, HeaderValue};
use std::fmt;

/// The header that carries it.
pub(super) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of an id that a trusted proxy gave; a longer one is none.
const GIVEN_BYTES_MOST: usize = 128;

/// One request's name.
#[derive(Clone, Debug)]
pub(super) enum RequestId {
    Made(u64),
    Given(HeaderValue),
}

impl RequestId {
    /// What a trusted proxy calls it; none where that is no id: empty, long, or not to be shown.
    pub(super) fn given(value: &HeaderValue) -> Option<RequestId> {
        let text = value.as_bytes();
        let is_fine = (1..=GIVEN_BYTES_MOST).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        is_fine.then(|| RequestId::Given(value.clone()))
    }

    /// As the backend is told it.
    pub(super) fn value(&self) -> HeaderValue {
        match self {
            RequestId::Given(value) => value.clone(),
            // Sixteen digits are a legal value.
            RequestId::Made(_) => {
                HeaderValue::try_from(self.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
            }
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestId::Made(bits) => write!(f, "{bits:016x}"),
            RequestId::Given(value) => f.write_str(value.to_str().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_can_be_shown() {
        let given = |text: &str| RequestId::given(&HeaderValue::from_str(text).unwrap()).map(|id| id.to_string());
        assert_eq!(given("7f-A_1").as_deref(), Some("7f-A_1"));
        for none in ["", "a b", "a\tb", &"x".repeat(GIVEN_BYTES_MOST + 1)] {
            assert_eq!(given(none), None, "{none:?}");
        }
        assert_eq!(RequestId::Made(0x4f).value(), "000000000000004f");
    }
}
