//! The kernel's version, for what can be told from nothing else.

/// Whether this is Linux `major.minor` or later. One that says what nobody understands is taken for a new one.
pub fn is_at_least(major: u32, minor: u32) -> bool {
    let release = rustix::system::uname();
    version(&release.release().to_string_lossy()).is_none_or(|version| version >= (major, minor))
}

/// `<major>.<minor>`, whatever follows.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version("6.1.0-44-amd64"), Some((6, 1)));
        assert_eq!(version("5.4-rc1+"), Some((5, 4)));
        assert_eq!(version("next"), None);
        assert!(is_at_least(4, 0) && !is_at_least(4_000_000_000, 0));
    }
}
