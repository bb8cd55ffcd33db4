//! The bounds every app's waiting obeys.

use roost_wire::{Name, Settings};

use crate::Micros;

/// Starts of a Machine that may end before its port accepts, until those who wait are told.
pub(crate) const MAX_FALSE_STARTS: u8 = 3;
/// Machines that a refusal speaks of by name.
pub(crate) const MAX_NAMED: usize = 3;
/// The soft limit of a service that names none.
pub(crate) const DEFAULT_SOFT: u32 = 20;

/// Times and bounds of waiting, and where this proxy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// This proxy's region.
    pub region: Name,
    /// How long somebody waits for a wake.
    pub wake_timeout: Micros,
    /// How long somebody waits at the hard limit.
    pub queue_timeout: Micros,
    /// Waiters of one app.
    pub max_waiters: usize,
    /// Held bytes of one app's waiters.
    pub max_held_bytes: usize,
}

impl Limits {
    /// The bounds that the agent's settings ask for.
    pub fn new(region: Name, settings: &Settings) -> Self {
        Self {
            region,
            wake_timeout: settings.wake_timeout_ms.saturating_mul(1_000),
            queue_timeout: settings.queue_timeout_ms.saturating_mul(1_000),
            max_waiters: settings.max_waiters_app,
            max_held_bytes: settings.max_held_bytes_app,
        }
    }
}
