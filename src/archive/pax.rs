//! PAX extended headers: records that replace fields of the entry they precede (POSIX pax, "pax Interchange Format").
//!
//! Records are read by their stated length. Values may hold any byte, line feeds included (binary xattrs do), so a
//! parser that splits at line feeds would see records where there are none, `size` among them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::Timespec;

use super::reader::ArchiveError;
use super::sparse::SparseRecords;

/// An extended attribute of an entry, as the archive has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Xattr {
    pub(crate) name: OsString,
    pub(crate) value: Vec<u8>,
}

impl Xattr {
    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.value.len() + 32
    }
}

/// What an extended header says of its entry; `None` where it says nothing.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<i64>,
    pub(crate) gid: Option<i64>,
    pub(crate) mtime: Option<Timespec>,
    /// One of a name, sorted by name.
    pub(crate) xattrs: Vec<Xattr>,
    pub(crate) sparse: SparseRecords,
}

impl Overrides {
    /// Reads the body of an extended header. Unknown keys are ignored; an empty value takes the key back.
    pub(crate) fn parse(mut body: &[u8]) -> Result<Self, ArchiveError> {
        let mut overrides = Self::default();
        while !body.is_empty() {
            let (key, value, rest) = record(body).filter(is_valid).ok_or(ArchiveError::ExtendedHeader)?;
            overrides.set(key, value)?;
            body = rest;
        }
        overrides.keep_last_xattrs();
        Ok(overrides)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
        let given = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = given.map(<[u8]>::to_vec),
            b"linkpath" => self.link = given.map(<[u8]>::to_vec),
            b"size" => self.size = given.map(number).transpose()?,
            b"uid" => self.uid = given.map(number).transpose()?,
            b"gid" => self.gid = given.map(number).transpose()?,
            b"mtime" => self.mtime = given.map(time).transpose()?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    let name = OsStr::from_bytes(name).to_owned();
                    self.xattrs.push(Xattr { name, value: value.to_vec() });
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(key, value)?;
                }
            }
        }
        Ok(())
    }
}

impl Overrides {
    /// Of attributes of one name the last counts. Sorts them by name.
    fn keep_last_xattrs(&mut self) {
        self.xattrs.reverse();
        self.xattrs.sort_by(|one, other| one.name.cmp(&other.name));
        self.xattrs.dedup_by(|later, kept| later.name == kept.name);
    }
}

/// Splits `<length> <key>=<value>\n` off `body`. The length is decimal and counts the whole record.
fn record(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = body.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = number(&body[..space]).ok()?;
    let (record, rest) = body.split_at_checked(length)?;
    let content = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = content.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&content[..equals], &content[equals + 1..]);
    (!key.is_empty()).then_some((key, value, rest))
}

/// No key has a NUL in it, and no name; other values may be binary.
fn is_valid((key, value, _): &(&[u8], &[u8], &[u8])) -> bool {
    let is_name = matches!(*key, b"path" | b"linkpath");
    !(key.contains(&0) || is_name && value.contains(&0))
}

/// A decimal number.
pub(crate) fn number<T: std::str::FromStr>(text: &[u8]) -> Result<T, ArchiveError> {
    let text = std::str::from_utf8(text).map_err(|_| ArchiveError::ExtendedHeader)?;
    text.parse().map_err(|_| ArchiveError::ExtendedHeader)
}

/// Seconds since the epoch, perhaps negative, perhaps with a fraction, of which nanoseconds are kept.
fn time(text: &[u8]) -> Result<Timespec, ArchiveError> {
    let (magnitude, negative) = match text {
        [b'-', rest @ ..] => (rest, true),
        [b'+', rest @ ..] => (rest, false),
        _ => (text, false),
    };
    let dot = magnitude.iter().position(|byte| *byte == b'.').unwrap_or(magnitude.len());
    let (whole, fraction) = (&magnitude[..dot], magnitude.get(dot + 1..).unwrap_or_default());
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(ArchiveError::ExtendedHeader);
    }
    let seconds: u64 = if whole.is_empty() { 0 } else { number(whole)? };
    let nanoseconds = fraction
        .iter()
        .chain(std::iter::repeat(&b'0'))
        .take(9)
        .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let (seconds, nanoseconds) = match (negative, nanoseconds) {
        (false, _) => (i64::try_from(seconds).ok(), nanoseconds),
        (true, 0) => (0_i64.checked_sub_unsigned(seconds), 0),
        (true, _) => ((-1_i64).checked_sub_unsigned(seconds), 1_000_000_000 - nanoseconds),
    };
    let seconds = seconds.ok_or(ArchiveError::ExtendedHeader)?;
    Ok(Timespec { tv_sec: seconds, tv_nsec: nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_line_feeds_and_records() {
        // The first record is 38 bytes long; its value carries what looks like a size record.
        let body = b"38 SCHILY.xattr.user.a=\n11 size=99\n\0\0\n13 size=1234\n";
        let overrides = Overrides::parse(body).unwrap();
        assert_eq!(overrides.size, Some(1234));
        assert_eq!(overrides.xattrs, [Xattr { name: "user.a".into(), value: b"\n11 size=99\n\0\0".to_vec() }]);
    }

    #[test]
    fn the_last_record_wins_and_an_empty_value_unsets() {
        let overrides = Overrides::parse(b"9 uid=12\n9 uid=13\n9 gid=12\n7 gid=\n").unwrap();
        assert_eq!((overrides.uid, overrides.gid), (Some(13), None));
    }

    #[test]
    fn malformed_records_are_refused() {
        let bodies: [&[u8]; 11] = [
            b"x",
            b"5 a=b\n",
            b"7 a=b\n",
            b"6 a=b ",
            b"99999999999999999999 a=b\n",
            b"0 a=b\n",
            b"5 ab\n",
            b"5 =b\n",
            b"9 uid=x1\n",
            b"11 path=a\0\n",
            b"6 \0=b\n",
        ];
        for body in bodies {
            assert!(Overrides::parse(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn times() {
        let cases: [(&[u8], i64, i64); 11] = [
            (b"0", 0, 0),
            (b"1700000000.123456789", 1_700_000_000, 123_456_789),
            (b"1.5", 1, 500_000_000),
            (b"1.1234567899", 1, 123_456_789),
            (b"-1", -1, 0),
            (b"-1.25", -2, 750_000_000),
            (b"-0.5", -1, 500_000_000),
            (b"-9223372036854775808", i64::MIN, 0),
            (b"-9223372036854775807.5", i64::MIN, 500_000_000),
            (b"7.", 7, 0),
            (b"+7.5", 7, 500_000_000),
        ];
        for (text, seconds, nanoseconds) in cases {
            assert_eq!(time(text).unwrap(), Timespec { tv_sec: seconds, tv_nsec: nanoseconds });
        }
        let beyond = [b"9223372036854775808".as_slice(), b"-9223372036854775808.5", b"-9223372036854775809"];
        for text in [b"x".as_slice(), b"1.x", b"--1", b"1-", b"99999999999999999999"].into_iter().chain(beyond) {
            assert!(time(text).is_err());
        }
    }
}
