//! How often and how soon a request is made again.

use std::time::Duration;

use super::error::{Error, Reason};
use crate::sys::random::random_number;

/// Tries of one request, the first among them.
pub(super) const ATTEMPTS: u32 = 5;
/// The pause after the first try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A registry may ask for longer pauses than it is worth waiting for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause after the `failures`th failure in a row.
pub(super) fn pause(failures: u32, reason: &Reason) -> Result<Duration, Error> {
    let asked = reason.retry_after().unwrap_or_default();
    Ok(jittered(backoff(failures), random_number()?).max(asked).min(LONGEST_PAUSE))
}

fn backoff(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10))
}

/// Between half of the pause and all of it, so that machines that failed together do not come back together.
fn jittered(pause: Duration, random: u64) -> Duration {
    pause.mul_f64(0.5 + (random % 1024) as f64 / 2048.0)
}

/// Reads a `Retry-After` header. The form with a date is left to the ordinary back-off.
pub(super) fn retry_after(value: Option<&str>) -> Option<Duration> {
    value?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(retry_after: Option<Duration>) -> Reason {
        Reason::Status { status: reqwest::StatusCode::TOO_MANY_REQUESTS, retry_after }
    }

    #[test]
    fn pauses_grow_and_vary_within_bounds() {
        for failures in 1..100 {
            let full = backoff(failures).min(LONGEST_PAUSE);
            let pause = pause(failures, &busy(None)).unwrap();
            assert!(pause >= full / 2 && pause <= LONGEST_PAUSE, "{failures}: {pause:?}");
        }
        assert_eq!(backoff(1), FIRST_PAUSE);
        assert_eq!(backoff(3), FIRST_PAUSE * 4);
        assert!(jittered(FIRST_PAUSE, 0) < jittered(FIRST_PAUSE, 1023));
    }

    #[test]
    fn honours_what_the_registry_asks_for_up_to_a_limit() {
        assert_eq!(retry_after(Some(" 7 ")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(Some("Fri, 31 Dec 1999 23:59:59 GMT")), None);
        assert_eq!(pause(1, &busy(retry_after(Some("7")))).unwrap(), Duration::from_secs(7));
        assert_eq!(pause(1, &busy(retry_after(Some("86400")))).unwrap(), LONGEST_PAUSE);
    }
}
