//! How often and how soon a request is made again.

use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use super::failure::{Failure, Reason};
use super::network::Network;
use crate::fetcher::Retry;
use crate::sys::random::random_number;

/// Tries of one request, the first among them.
pub(in crate::fetcher) const ATTEMPTS: u32 = 5;
/// The same where there is another place to ask.
pub(in crate::fetcher) const FEW_ATTEMPTS: u32 = 2;
/// The pause after the first try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A registry that wants to be left alone for longer is not asked again: a create that fails can be repeated later, one
/// that hangs only looks broken.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Makes a request, up to `attempts` times as long as it fails in a way that may pass.
///
/// # Errors
/// The last failure.
pub(in crate::fetcher) fn with_retries<T, F: Future<Output = Result<T, Failure>>>(
    network: &Network,
    cancel: &AtomicBool,
    attempts: u32,
    request: impl Fn() -> F,
) -> Result<T, Failure> {
    let mut failures = 0;
    loop {
        let cancelled = |reason| Failure { url: String::new(), reason };
        let failure = match network.wait(cancel, request()).map_err(cancelled)? {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        failures += 1;
        let attempts = attempts.min(failure.reason.attempts());
        let pause = match pause(failures, &failure.reason) {
            Some(pause) if failures < attempts => pause,
            _ => return Err(failure),
        };
        tracing::info!(url = failure.url, reason = %failure.reason, failures, "retrying");
        let next = Retry { url: &failure.url, reason: &failure.reason, attempt: failures + 1, attempts };
        network.pause(cancel, pause, &next).map_err(cancelled)?;
    }
}

/// The pause after the `failures`th failure in a row; `None` if trying again is of no use.
pub(super) fn pause(failures: u32, reason: &Reason) -> Option<Duration> {
    let asked = reason.retry_after().unwrap_or_default();
    if !reason.is_transient() || asked > LONGEST_PAUSE {
        return None;
    }
    // Without random numbers nobody is worse off than with the same pauses for all.
    let random = random_number().unwrap_or_default();
    Some(jittered(backoff(failures), random).min(LONGEST_PAUSE).max(asked))
}

fn backoff(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10))
}

/// Between half of the pause and all of it, so that machines that failed together do not come back together.
fn jittered(pause: Duration, random: u64) -> Duration {
    pause.mul_f64(0.5 + (random % 1024) as f64 / 2048.0)
}

/// Reads a `Retry-After` header: seconds, or the time of day (RFC 9110, 10.2.3).
pub(in crate::fetcher) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    Some(httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(retry_after: Option<Duration>) -> Reason {
        Reason::Status { status: reqwest::StatusCode::TOO_MANY_REQUESTS, detail: String::new(), retry_after }
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
    fn reads_seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, expected) in [
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("99999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:40 GMT", Some(3)),
            ("Fri, 31 Dec 1993 23:59:59 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("+1", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn honours_what_the_registry_asks_for_or_gives_up() {
        let asked = |seconds| pause(1, &busy(Some(Duration::from_secs(seconds))));
        assert_eq!(asked(7), Some(Duration::from_secs(7)));
        assert_eq!(asked(60), Some(Duration::from_secs(60)));
        assert_eq!(asked(61), None);
        assert_eq!(asked(u64::MAX), None);
        assert!(busy(Some(Duration::from_secs(3600))).to_string().ends_with("left alone for 3600 s"));
        assert_eq!(busy(Some(Duration::from_secs(7))).to_string(), "the server answers 429 Too Many Requests");
        assert_eq!(pause(1, &Reason::NotVisible), None);
    }
}
