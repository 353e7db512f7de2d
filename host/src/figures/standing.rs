//! Why a backend stands where it stands.

/// Whether a backend may be chosen, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// May be chosen.
    Ready,
    /// Joined, and not checked yet.
    Warming,
    /// Takes no new work.
    Draining,
    /// Failed its health check.
    Unhealthy,
    /// Waits in a later priority tier.
    Standby,
}

impl Standing {
    /// Each at the place of its number.
    pub const ALL: [Standing; 5] =
        [Standing::Ready, Standing::Warming, Standing::Draining, Standing::Unhealthy, Standing::Standby];

    /// The word that people and JSON see.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Ready => "ready",
            Standing::Warming => "warming",
            Standing::Draining => "draining",
            Standing::Unhealthy => "unhealthy",
            Standing::Standby => "standby",
        }
    }

    /// The standing of this number; for atomics.
    pub(crate) fn from_number(number: u8) -> Standing {
        match number {
            0 => Standing::Ready,
            1 => Standing::Warming,
            2 => Standing::Draining,
            3 => Standing::Unhealthy,
            _ => Standing::Standby,
        }
    }
}
