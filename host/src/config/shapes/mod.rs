//! What single values look like, a trait's implementation each: how it is read, what stands behind "expected", its schema.

mod address;
mod cookie;
mod health;
mod many;
mod name;
mod number;
mod report;
mod request;
mod text;

pub(super) use address::{BackendAddress, ListenAddress, Place};
pub(super) use cookie::{COOKIE_NAME_MOST, CookieName, CookiePath, Secrets, is_token};
pub(super) use health::{Ejection, GrpcService, IntegerOrOff, PercentOrOff, Statuses};
pub(super) use many::{Backends, Balancers, List, Named, OneOrMany, Switch, Timeouts};
pub(super) use number::{ByteRateOrOff, Integer, LongTime, Mode, Percent, Rate, Size, Time, Total};
pub(super) use report::ReportHeaders;
pub(super) use request::{HeaderField, HealthPath, HostPattern, PathPrefix, Redirect, ServerName};
pub use text::{PLUGIN_NAME_MOST, is_plugin_name};
pub(super) use text::{PluginName, Settings, Text, Texts};

use super::{
    model::{Fallback, Forwarded, OnFault, Protocol, SameSite, Tiers, Verify},
    read::{Reader, Shape, Value},
};
use crate::{net::proxy_protocol::Version, problem::did_you_mean};
use serde_json::{Value as Json, json};

/// Names, zones and paths: more is a mistake.
const TEXT_MOST: usize = 1024;

/// A key that has one of a few words.
macro_rules! words {
    ($type:ty: $expected:literal $($word:literal $value:expr,)+) => {
        impl Shape for $type {
            const EXPECTED: &'static str = $expected;

            fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
                parsed(value, reader, |text| match text {
                    $($word => Ok($value),)+
                    _ => Err(match did_you_mean(text, [$($word),+]) {
                        Some(meant) => format!("expected {}; did you mean \"{meant}\"?", Self::EXPECTED),
                        None => format!("expected {}", Self::EXPECTED),
                    }),
                })
            }

            fn schema() -> Json {
                json!({ "enum": [$($word),+] })
            }
        }
    };
}

words! { Fallback: r#""round-robin" or "reject""# "round-robin" Fallback::RoundRobin, "reject" Fallback::Reject, }
words! { Protocol: r#""h1", "h2" or "auto""# "h1" Protocol::Http1, "h2" Protocol::Http2, "auto" Protocol::Auto, }
words! { Version: r#""v1" or "v2""# "v1" Version::V1, "v2" Version::V2, }
words! { OnFault: r#""reject" or "continue""# "reject" OnFault::Reject, "continue" OnFault::Continue, }
words! { Forwarded: r#""x", "rfc7239" or "none""#
    "x" Forwarded::X, "rfc7239" Forwarded::Rfc7239, "none" Forwarded::None,
}

words! { SameSite: r#""strict", "lax" or "none""#
    "strict" SameSite::Strict, "lax" SameSite::Lax, "none" SameSite::None,
}
words! { Tiers: r#""host" or "plugin""# "host" Tiers::Host, "plugin" Tiers::Plugin, }
words! { Verify: r#""require" or "request""# "require" Verify::Require, "request" Verify::Request, }

impl Shape for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let read = value.json().and_then(|json| json.as_bool());
        if read.is_none() {
            reader.expected(value, Self::EXPECTED);
        }
        read
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

/// A text that `parse` understands, or whose error stands beside the carets.
fn parsed<T: Shape>(
    value: &Value<'_>,
    reader: &mut Reader,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let Some(text) = value.str() else {
        reader.expected(value, T::EXPECTED);
        return None;
    };
    match parse(text) {
        Ok(read) => Some(read),
        Err(label) => {
            reader.bad(value, format!("bad value for {}", value.called()), label);
            None
        }
    }
}
