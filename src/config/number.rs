//! Integers as Go reads them.

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
