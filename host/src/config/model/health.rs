//! How backends are looked after.

use std::{ops::RangeInclusive, time::Duration};

/// How a pool's backends are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked.
    pub check: HealthCheck,
    /// Between two checks of a backend that is up.
    pub interval: Duration,
    /// For one check, from the connect on.
    pub timeout: Duration,
    /// Successes in a row that bring one back, at least 1.
    pub rise: u32,
    /// Failures in a row that take one out, at least 1.
    pub fall: u32,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// For a TCP connection only.
    Connect,
    /// Over HTTP.
    Get(HealthGet),
    /// By gRPC's health protocol, for this service; empty: for the whole server.
    Grpc(String),
}

/// A `GET`, and what its answer has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthGet {
    /// With the query, if any.
    pub path: String,
    /// One of these.
    pub status: Vec<RangeInclusive<u16>>,
    /// The body has this text.
    pub body: Option<String>,
}

impl HealthCheck {
    /// `GET` this path and expect 200 to 399.
    pub fn get(path: impl Into<String>) -> HealthCheck {
        HealthCheck::Get(HealthGet { path: path.into(), status: vec![200..=399], body: None })
    }
}

impl Default for Health {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { check: HealthCheck::Connect, interval: second, timeout: second, rise: 1, fall: 2 }
    }
}

/// When a backend is taken out for what its requests tell, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eject {
    /// So many requests in a row without an answer, or with 502, 503 or 504; none: never.
    pub failures: Option<u32>,
    /// So long without a byte while requests wait and others answer; none: never.
    pub stall: Option<Duration>,
    /// When far fewer of its answers are below 500 than of the pool's on average.
    pub success_rate: bool,
    /// When its answers take so many times as long as the pool's median; none: never.
    pub latency: Option<u32>,
    /// How long it is out the first time; the second time twice as long, and so on.
    pub time: Duration,
    /// The longest it is out.
    pub time_most: Duration,
    /// The largest share of the pool that is out for this, in per cent.
    pub share: u32,
}

impl Default for Eject {
    fn default() -> Self {
        Self {
            failures: Some(5),
            stall: Some(Duration::from_millis(500)),
            success_rate: true,
            latency: None,
            time: Duration::from_secs(10),
            time_most: Duration::from_secs(300),
            share: 50,
        }
    }
}
