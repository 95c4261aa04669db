//! One header block in the dialects of tar, read as Go's `archive/tar` reads it.
//!
//! All dialects begin with the fields of Version 7. Magic, version and trailer say what follows the name of the link:
//!
//! | dialect | magic      | version  | at 508    | at 345                                       |
//! |---------|------------|----------|-----------|----------------------------------------------|
//! | v7      | any other  |          |           | nothing                                      |
//! | ustar   | `ustar\0`  | any      |           | prefix of the name, 155 bytes                |
//! | star    | `ustar\0`  | any      | `tar\0`   | prefix, 131 bytes, then atime and ctime      |
//! | GNU     | `ustar  `  | ` \0`    |           | atime and ctime, a map of a sparse file      |
//!
//! Docker before 17.06 was built with a Go that wrote a prefix into GNU headers, where the times belong
//! (golang/go#21005). Such a prefix is no number, which tells the two apart.

use tar::{GnuSparseHeader, Header};

const MAGIC: std::ops::Range<usize> = 257..263;
const VERSION: std::ops::Range<usize> = 263..265;
const STAR_TRAILER: std::ops::Range<usize> = 508..512;
const USTAR_PREFIX: std::ops::Range<usize> = 345..500;
const STAR_PREFIX: std::ops::Range<usize> = 345..476;
const GNU_ATIME: std::ops::Range<usize> = 345..357;
const GNU_CTIME: std::ops::Range<usize> = 357..369;
const CHECKSUM: std::ops::Range<usize> = 148..156;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

fn dialect(header: &Header) -> Dialect {
    let bytes = header.as_bytes();
    match (&bytes[MAGIC], &bytes[VERSION]) {
        (b"ustar\0", _) if bytes[STAR_TRAILER] == *b"tar\0" => Dialect::Star,
        // The version is "00" by the standard, and something else by writers of the Java and PHP world.
        (b"ustar\0", _) => Dialect::Ustar,
        (b"ustar ", b" \0") => Dialect::Gnu,
        _ => Dialect::V7,
    }
}

/// The name of the entry with the prefix that belongs to it.
pub(super) fn name(header: &Header) -> Vec<u8> {
    let name = text(&header.as_old().name);
    match prefix(header) {
        [] => name.to_vec(),
        prefix => [prefix, b"/", name].concat(),
    }
}

fn prefix(header: &Header) -> &[u8] {
    let bytes = header.as_bytes();
    match dialect(header) {
        Dialect::V7 => b"",
        Dialect::Ustar => text(&bytes[USTAR_PREFIX]),
        Dialect::Star => text(&bytes[STAR_PREFIX]),
        Dialect::Gnu => {
            let prefix = text(&bytes[USTAR_PREFIX]);
            let has_times = is_time(&bytes[GNU_ATIME]) && is_time(&bytes[GNU_CTIME]);
            if has_times || !prefix.is_ascii() { b"" } else { prefix }
        }
    }
}

/// Whether all of the field is a time, or it is empty. A prefix may begin with digits, too: `7 days/of`.
fn is_time(field: &[u8]) -> bool {
    let is_one_word = || text(field.trim_ascii()).iter().all(|byte| *byte != b' ');
    field[0] == 0 || numeric(field).is_some() && (field[0] & 0x80 != 0 || is_one_word())
}

/// The target of a link.
pub(super) fn link(header: &Header) -> Vec<u8> {
    text(&header.as_old().linkname).to_vec()
}

/// What a GNU header says of a sparse file.
pub(super) struct GnuSparse<'a> {
    pub(super) map: &'a [GnuSparseHeader],
    /// Size of the file with its holes.
    pub(super) size: &'a [u8],
    /// Whether blocks with more of the map follow.
    pub(super) continues: bool,
}

/// `None` where the header is in another dialect.
pub(super) fn gnu_sparse(header: &Header) -> Option<GnuSparse<'_>> {
    let gnu = header.as_gnu().filter(|_| dialect(header) == Dialect::Gnu)?;
    Some(GnuSparse { map: &gnu.sparse, size: &gnu.realsize, continues: gnu.isextended[0] != 0 })
}

/// A number in a header: octal text between any spaces and NULs, blank for 0, or (first bit set) a big-endian two's
/// complement number.
pub(super) fn numeric(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    // The bit after the marker is the sign.
    let seed = if first & 0x40 != 0 { i128::from(first) - 0x100 } else { i128::from(first & 0x7f) };
    let value = field[1..]
        .iter()
        .try_fold(seed, |value, byte| (value.unsigned_abs() < 1 << 100).then_some(value << 8 | i128::from(*byte)))?;
    value.try_into().ok()
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| matches!(byte, 0 | b' ');
    let start = field.iter().position(|byte| !is_padding(byte)).unwrap_or(field.len());
    let digits = field[start..].split(is_padding).next().unwrap_or_default();
    digits.iter().try_fold(0i64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

/// The checksum counts its own field as spaces. Some writers summed signed bytes.
pub(super) fn checksum_matches(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let stated = octal(&bytes[CHECKSUM]);
    let others = || bytes[..CHECKSUM.start].iter().chain(&bytes[CHECKSUM.end..]);
    let spaces = CHECKSUM.len() as i64 * i64::from(b' ');
    let unsigned: i64 = others().map(|byte| i64::from(*byte)).sum();
    let signed: i64 = others().map(|byte| i64::from(byte.cast_signed())).sum();
    // A fuzzer finds no checksums.
    cfg!(fuzzing) || stated == Some(unsigned + spaces) || stated == Some(signed + spaces)
}

/// Text up to the first NUL; a field that it fills has none.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_dialects() {
        let cases: [(&[u8], Option<i64>); 24] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"000644 \0", Some(0o644)),
            (b"\0\0\0\0\x37\x35\x35\0", Some(0o755)),
            (b"\0\0\0\x30755", Some(0o755)),
            (b"\0 \0 755\0", Some(0o755)),
            (b"00000755", Some(0o755)),
            (b"644\0\xff\xff\xff\xff", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"77777777777\0", Some(0o77777777777)),
            (b"777777777777", Some(0o777777777777)),
            (b"0000008\0", None),
            (b"-000001\0", None),
            (b"0x1ff\0\0\0", None),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\x02", Some(258)),
            (b"\x80\0\0\0\0\0\x01\xed", Some(0o755)),
            (b"\x80\0\0\x02\0\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff", Some(-257)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", Some(i64::MIN)),
            (b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"", None),
        ];
        for (field, expected) in cases {
            assert_eq!(numeric(field), expected, "{}", field.escape_ascii());
        }
    }

    /// A header whose fields from 257 on are as given.
    fn header(name: &[u8], fields: &[(usize, &[u8])]) -> Header {
        let mut header = Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        for (offset, bytes) in fields {
            header.as_mut_bytes()[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        header
    }

    #[test]
    fn a_prefix_counts_where_the_dialect_has_one() {
        type Case<'a> = (&'a str, &'a [(usize, &'a [u8])], &'a [u8]);
        let long = [b'p'; 155];
        let cases: &[Case<'_>] = &[
            ("v7", &[(345, b"junk")], b"name"),
            ("unknown magic", &[(257, b"USTAR\x0000"), (345, b"junk")], b"name"),
            ("GNU magic, other version", &[(257, b"ustar 00"), (345, b"junk")], b"name"),
            ("ustar", &[(257, b"ustar\x0000"), (345, b"a/b")], b"a/b/name"),
            ("ustar without prefix", &[(257, b"ustar\x0000")], b"name"),
            ("ustar, version NUL", &[(257, b"ustar\0\0\0"), (345, b"a/b")], b"a/b/name"),
            ("ustar, version spaces", &[(257, b"ustar\0  "), (345, b"a/b")], b"a/b/name"),
            ("ustar, version 0 and NUL", &[(257, b"ustar\x000\0"), (345, b"a/b")], b"a/b/name"),
            ("ustar, whole field", &[(257, b"ustar\x0000"), (345, &long)], &[&long[..], b"/name"].concat()),
            ("ustar, not text", &[(257, b"ustar\x0000"), (345, b"\xff")], b"\xff/name"),
            (
                "star",
                &[(257, b"ustar\x0000"), (345, &long[..131]), (476, b"12345670123 12345670123 "), (508, b"tar\0")],
                &[&long[..131], b"/name"].concat(),
            ),
            (
                "star without prefix",
                &[(257, b"ustar\x0000"), (476, b"12345670123 12345670123 "), (508, b"tar\0")],
                b"name",
            ),
            ("GNU", &[(257, b"ustar  \0")], b"name"),
            ("GNU with times", &[(257, b"ustar  \0"), (345, b"12345670123\x0012345670123\0")], b"name"),
            ("GNU with binary times", &[(257, b"ustar  \0"), (345, b"\x80\0\0\0\0\0\0\0\0\0\0\x01")], b"name"),
            ("GNU with a prefix", &[(257, b"ustar  \0"), (345, b"some/where")], b"some/where/name"),
            ("GNU, prefix in both times", &[(257, b"ustar  \0"), (345, &long)], &[&long[..], b"/name"].concat()),
            ("GNU, prefix like an atime", &[(257, b"ustar  \0"), (345, b"000000000000/x")], b"000000000000/x/name"),
            ("GNU, prefix of digits and words", &[(257, b"ustar  \0"), (345, b"7 days/of")], b"7 days/of/name"),
            ("GNU with padded times", &[(257, b"ustar  \0"), (345, b" 2345670123  2345670123 ")], b"name"),
            ("GNU, no text", &[(257, b"ustar  \0"), (345, b"some\xff")], b"name"),
        ];
        for (case, fields, expected) in cases {
            let name = name(&header(b"name", fields));
            assert_eq!(name.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{case}");
        }
    }

    #[test]
    fn names_may_fill_their_field() {
        let full = header(&[b'n'; 100], &[(157, &[b'l'; 100])]);
        assert_eq!((name(&full).len(), link(&full).len()), (100, 100));
        let terminated = header(b"name\0junk", &[(157, b"link\0junk")]);
        assert_eq!((name(&terminated), link(&terminated)), (b"name".to_vec(), b"link".to_vec()));
    }

    #[test]
    fn checksums_of_signed_and_unsigned_bytes() {
        let mut header = header(b"caf\xc3\xa9", &[]);
        header.set_cksum();
        assert!(checksum_matches(&header));
        let signed = header.cksum().unwrap() - 2 * 256;
        header.as_old_mut().cksum = *b"\0\0\0\0\0\0\0\0";
        let text = format!("{signed:o}");
        header.as_old_mut().cksum[..text.len()].copy_from_slice(text.as_bytes());
        assert!(checksum_matches(&header));
        header.as_old_mut().cksum[0] = b'9';
        assert!(!checksum_matches(&header));
    }
}
