//! How slow a server may be.
//!
//! A server that sends a byte now and then never stalls, and would never be dropped. So what arrives is counted against
//! the time that was spent waiting for it: a reader that has no time to read is not the server's fault.

use std::time::{Duration, Instant};

use super::failure::Reason;
use crate::limits::MANIFEST;

/// What is asked of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferLimits {
    /// How long a server may be silent, and how long a rate is measured; `None` for ever.
    pub stall_timeout: Option<Duration>,
    /// Bytes a second that it must send at least; 0 for any.
    pub min_rate: u64,
    /// How long a manifest, a configuration or a token may take in all; `None` for ever.
    pub manifest_timeout: Option<Duration>,
    /// How many bytes these may have.
    pub manifest_bytes: u64,
}

impl Default for TransferLimits {
    fn default() -> Self {
        TransferLimits {
            stall_timeout: Some(Duration::from_secs(30)),
            min_rate: 1024,
            manifest_timeout: Some(Duration::from_secs(60)),
            manifest_bytes: MANIFEST,
        }
    }
}

/// What one connection brings.
#[derive(Debug)]
pub(super) struct Pace {
    transfer_limits: TransferLimits,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Counts from now on.
    pub(super) fn new(transfer_limits: TransferLimits) -> Self {
        Pace { transfer_limits, waited: Duration::ZERO, bytes: 0 }
    }

    /// Counts bytes that were waited for since `begin`.
    ///
    /// # Errors
    /// When they are too few over the time of a stall.
    pub(super) fn add(&mut self, bytes: usize, begin: Instant) -> Result<(), Reason> {
        self.count(bytes as u64, begin.elapsed())
    }

    fn count(&mut self, bytes: u64, waited: Duration) -> Result<(), Reason> {
        self.bytes += bytes;
        self.waited += waited;
        let TransferLimits { stall_timeout, min_rate, .. } = self.transfer_limits;
        if stall_timeout.is_none_or(|timeout| self.waited < timeout) {
            return Ok(());
        }
        if (self.bytes as f64) < min_rate as f64 * self.waited.as_secs_f64() {
            return Err(Reason::TooSlow { bytes: self.bytes, seconds: self.waited.as_secs(), min_rate });
        }
        (self.bytes, self.waited) = (0, Duration::ZERO);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(min_rate: u64) -> Pace {
        let stall_timeout = Some(Duration::from_secs(30));
        Pace::new(TransferLimits { stall_timeout, min_rate, ..TransferLimits::default() })
    }

    /// For how long a server is borne that sends so many bytes each time after such a pause.
    fn borne(mut pace: Pace, bytes: u64, pause: u64) -> Option<u64> {
        (1..1000).find(|_| pace.count(bytes, Duration::from_secs(pause)).is_err()).map(|count| count * pause)
    }

    #[test]
    fn a_drip_is_a_stall() {
        assert_eq!(borne(pace(1024), 1, 1), Some(30));
        assert_eq!(borne(pace(1024), 1, 10), Some(30));
        assert_eq!(borne(pace(1024), 1023, 1), Some(30));
        assert_eq!(borne(pace(1024), 1024, 1), None);
        assert_eq!(borne(pace(0), 1, 10), None);
    }

    #[test]
    fn each_time_counts_anew_and_only_waiting_counts() {
        let mut pace = pace(1000);
        pace.count(1_000_000, Duration::from_secs(30)).unwrap();
        assert!(pace.count(1, Duration::from_secs(30)).is_err());
        let mut pace = super::tests::pace(1000);
        for _ in 0..1000 {
            pace.count(1, Duration::from_millis(1)).unwrap();
        }
    }
}
