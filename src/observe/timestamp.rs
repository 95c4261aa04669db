//! Points in time as log lines show them, to the nanosecond.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;

/// Time since 1970; a clock before that reads as 1970.
pub(super) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `1510151348.123456955`
pub(super) fn unix_epoch(time: Duration) -> String {
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
}

/// `2017-11-08T14:29:08.123456955Z`
pub(super) fn rfc3339(time: Duration) -> String {
    let (year, month, day) = civil(time.as_secs() / SECONDS_PER_DAY);
    let second = time.as_secs() % SECONDS_PER_DAY;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", time.subsec_nanos())
}

/// Year, month and day of the Gregorian calendar, from the days since 1970-01-01.
///
/// Counts in years that begin in March, so that the leap day is the last of the year, and in the calendar's period of
/// 400 years, which always has 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    // 0000-03-01 is 719,468 days before 1970-01-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on have 31, 30, 31, 30, 31 days, again and again: 153 in five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        // `date -u -d @<seconds>`
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399, 999_999_999, "2000-02-28T23:59:59.999999999Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (951_868_800, 0, "2000-03-01T00:00:00.000000000Z"),
            (1_510_151_348, 123_456_955, "2017-11-08T14:29:08.123456955Z"),
            (1_704_164_645, 120_000_000, "2024-01-02T03:04:05.120000000Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(rfc3339(Duration::new(seconds, nanos)), text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut previous = civil(0);
        for day in 1..=146_097 {
            let (year, month, date) = civil(day);
            let follows = match previous {
                _ if date > 1 => (year, month, date - 1) == previous,
                (y, 12, 31) => (year, month) == (y + 1, 1),
                (y, m, last) => (year, month) == (y, m + 1) && last == length(y, m),
            };
            assert!(follows, "{previous:?} then {:?}", (year, month, date));
            previous = (year, month, date);
        }
        assert_eq!(previous, (2370, 1, 1));
    }

    fn length(year: u64, month: u64) -> u64 {
        let is_leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
        [31, 28 + u64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][usize::try_from(month - 1).unwrap_or(0)]
    }

    #[test]
    fn epoch_has_nine_decimals() {
        assert_eq!(unix_epoch(Duration::new(1_510_151_348, 5)), "1510151348.000000005");
    }

    #[test]
    fn a_clock_before_the_epoch_reads_as_the_epoch() {
        assert_eq!(since_epoch(UNIX_EPOCH - Duration::from_secs(1)), Duration::ZERO);
    }
}
