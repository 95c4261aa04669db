//! Integers and truth values as Go reads them, and sizes as people write them.

/// A signed 64-bit integer in the notation of Go's `strconv.ParseInt` with base 0: decimal, `0x`, `0o`, `0b`, and octal
/// with a leading zero. `None` if it is no such number or too large.
pub fn parse_int64(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = radix_of(digits);
    // `from_str_radix` would take a second sign.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// A size in bytes: a number as [`parse_int64`] reads it, or a decimal number with a unit, `100M` or `1.5GiB`. As in
/// coreutils, `K`, `M`, `G`, `T`, `P` and `KiB` … `PiB` are powers of 1024, `KB` … `PB` powers of 1000, in either case; so
/// are the `Ki` … `Pi` of Kubernetes, and `B` is one byte. `None` if it is none or too large.
pub fn parse_size(text: &str) -> Option<i64> {
    parse_int64(text).or_else(|| with_unit(text))
}

/// A span of time in seconds: a number as [`parse_int64`] reads it, or a decimal number with a unit, `90s`, `5m` or `2h`.
/// `None` if it is none or too large.
pub(super) fn parse_span(text: &str) -> Option<i64> {
    let seconds = |text: &str| {
        let unit = match text.as_bytes().last()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            _ => return None,
        };
        let number = &text[..text.len() - 1];
        let is_decimal = number.bytes().all(|b| b.is_ascii_digit());
        if is_decimal { number.parse::<i64>().ok()?.checked_mul(unit) } else { None }
    };
    parse_int64(text).or_else(|| seconds(text))
}

/// A truth value as Go's `strconv.ParseBool` reads it.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn with_unit(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let factor = unit_factor(&unit.to_ascii_lowercase())?;
    let (whole, fraction) = number.trim_end().split_once('.').unwrap_or((number.trim_end(), "0"));
    let is_decimal = |digits: &str| (1..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let (sign, whole) = whole.strip_prefix('-').map_or((1, whole), |whole| (-1, whole));
    if !is_decimal(whole) || !is_decimal(fraction) {
        return None;
    }
    let scale = 10_i128.pow(fraction.len() as u32);
    let scaled = whole.parse::<i128>().ok()? * scale + fraction.parse::<i128>().ok()?;
    i64::try_from(sign * (scaled.checked_mul(factor)? / scale)).ok()
}

fn unit_factor(unit: &str) -> Option<i128> {
    if unit == "b" {
        return Some(1);
    }
    let power = "kmgtp".find(unit.chars().next()?)? as u32 + 1;
    match &unit[1..] {
        "" | "i" | "ib" => Some(1024_i128.pow(power)),
        "b" => Some(1000_i128.pow(power)),
        _ => None,
    }
}

fn radix_of(digits: &str) -> (u32, &str) {
    for (radix, small, large) in [(16, "0x", "0X"), (8, "0o", "0O"), (2, "0b", "0B")] {
        if let Some(rest) = digits.strip_prefix(small).or_else(|| digits.strip_prefix(large)) {
            return (radix, rest);
        }
    }
    match digits.strip_prefix('0') {
        Some(rest) if !rest.is_empty() => (8, rest),
        _ => (10, digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_spans_of_time() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("90", Some(90)),
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("2h", Some(7200)),
            ("-1", Some(-1)),
            ("", None),
            ("s", None),
            ("-5m", None),
            ("1.5h", None),
            ("5ms", None),
            ("9223372036854775807h", None),
        ] {
            assert_eq!(parse_span(text), seconds, "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, size) in [
            ("10485760", Some(10_485_760)),
            ("0x10", Some(16)),
            ("-5", Some(-5)),
            ("100M", Some(100 << 20)),
            ("100m", Some(100 << 20)),
            ("1.5GiB", Some(3 << 29)),
            ("1.5 GiB", Some(3 << 29)),
            ("10KB", Some(10_000)),
            ("2Tb", Some(2_000_000_000_000)),
            ("0.5K", Some(512)),
            ("1PiB", Some(1 << 50)),
            ("-1K", Some(-1024)),
            ("0G", Some(0)),
            ("9P", Some(9 << 50)),
            ("9000P", None),
            ("100000P", None),
            ("999999999999999999P", None),
            ("1.5", None),
            ("1e3", None),
            ("M", None),
            ("1.M", None),
            (".5M", None),
            ("10B", Some(10)),
            ("10 b", Some(10)),
            ("10Mi", Some(10 << 20)),
            ("1.5gi", Some(3 << 29)),
            ("B", None),
            ("10iB", None),
            ("10BB", None),
            ("10MBs", None),
            ("1 0M", None),
            ("0x1M", None),
            ("+1M", None),
            ("10é", None),
            ("10Mé", None),
            ("", None),
        ] {
            assert_eq!(parse_size(text), size, "{text:?}");
        }
    }

    #[test]
    fn reads_what_go_reads() {
        for (text, number) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("10485760", Some(10_485_760)),
            ("+5", Some(5)),
            ("-200", Some(-200)),
            ("0x10", Some(16)),
            ("-0X1f", Some(-31)),
            ("010", Some(8)),
            ("0o17", Some(15)),
            ("0b101", Some(5)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("18446744073709551616", None),
            ("08", None),
            ("0x", None),
            ("0x-1", None),
            ("--1", None),
            ("+-1", None),
            ("1.5", None),
            ("1e3", None),
            ("10MB", None),
            (" 1", None),
            ("-", None),
            ("-é", None),
            ("", None),
        ] {
            assert_eq!(parse_int64(text), number, "{text:?}");
        }
    }
}
