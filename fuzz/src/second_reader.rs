//! The `tar-core` crate as a second opinion of archives: where both readers accept an entry, they see the same one, at the
//! same place, unless it is one of those that they are known to differ in ([`KNOWN`]).
//!
//! What one refuses and the other accepts is no finding: the readers agree up to there, on the place of its header too.

use grootfs::archive::fuzzing::{Seen, seen};
use tar_core::parse::{Limits, ParseEvent, ParsedEntry, Parser};
use tar_core::{EntryType, PaxExtensions, SparseEntry};

const BLOCK: usize = 512;
const SIZE: std::ops::Range<usize> = 124..136;
const FLAG: usize = 156;

/// What `tar-core` reads of one entry.
struct Theirs<'a> {
    entry: ParsedEntry<'a>,
    sparse: Option<(Vec<SparseEntry>, u64)>,
    /// All headers of the entry.
    headers: &'a [u8],
    /// Where the content begins.
    content: usize,
}

/// Panics where the readers differ.
pub fn compare(data: &[u8]) {
    let mut ours = seen(data);
    let mut parser = Parser::new(Limits { max_sparse_entries: 1 << 20, ..Limits::default() });
    // As in the reader under test.
    parser.set_verify_checksums(false);
    let mut at = 0;
    while let Ok(ours) = ours() {
        let Some(theirs) = next(&mut parser, data, at) else { return };
        match (ours, theirs) {
            (None, None) => return,
            (None, Some(theirs)) => panic!("the archive ends before {:?}", theirs.entry),
            (Some(ours), None) => panic!("the archive ends after {ours:?}"),
            (Some(ours), Some(theirs)) => {
                if KNOWN.iter().any(|(_, differs)| differs(&theirs)) {
                    return;
                }
                let expected = theirs.as_seen(ours.mtime);
                assert_eq!(shortened(ours), expected, "this reader on the left, tar-core on the right");
                let (content, size) = expected.content;
                at = content.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
                at = at.checked_next_multiple_of(BLOCK).unwrap_or(usize::MAX);
            }
        }
    }
}

/// The entry whose headers begin at `at`; `Some(None)` at the end of the archive, and `None` where there is none to read.
fn next<'a>(parser: &mut Parser, data: &'a [u8], mut at: usize) -> Option<Option<Theirs<'a>>> {
    loop {
        let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) else { return Some(None) };
        match parser.parse(rest).ok()? {
            // It drops extension headers before a global one, and takes a size behind NULs for 0.
            ParseEvent::GlobalExtensions { .. } if rest[FLAG] != b'g' || hides_number(&rest[SIZE]) => return None,
            ParseEvent::GlobalExtensions { consumed, .. } => at += consumed,
            ParseEvent::End { .. } => return Some(None),
            ParseEvent::NeedData { .. } => {
                return rest[..BLOCK.min(rest.len())].iter().all(|byte| *byte == 0).then_some(None);
            }
            ParseEvent::Entry { consumed, entry } => {
                let headers = &rest[..consumed];
                return Some(Some(Theirs { entry, sparse: None, headers, content: at + consumed }));
            }
            ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
                let sparse = Some((sparse_map, real_size));
                return Some(Some(Theirs { entry, sparse, headers: &rest[..consumed], content: at + consumed }));
            }
        }
    }
}

type Differs = fn(&Theirs<'_>) -> bool;

/// Entries that the readers see differently, and what this one does, which is what Go's `archive/tar` does.
const KNOWN: [(&str, Differs); 10] = [
    ("ustar headers count with any version, star headers as such, and GNU headers may have a prefix", |theirs| {
        theirs.is_dialect()
    }),
    ("extension headers count in any dialect, and so do those of Solaris", |theirs| {
        let kind = theirs.entry.entry_type;
        matches!(kind, EntryType::GnuLongName | EntryType::GnuLongLink | EntryType::XHeader | EntryType::Other(b'X'))
    }),
    ("an entry that has only a header has no content, whatever its size", |theirs| {
        !matches!(theirs.flag(), b'0' | b'7') && theirs.is_header_only() && theirs.entry.size != 0
    }),
    ("NULs before a number are padding", |theirs| theirs.has_number_behind_nuls()),
    ("an empty record or long name takes nothing's place", |theirs| theirs.has_empty_value()),
    ("a long name counts, not a record", |theirs| theirs.is_named_twice()),
    ("a map in records makes only files sparse, and only if the records are those of one format", |theirs| {
        theirs.has_odd_sparse_records()
    }),
    ("an old sparse map ends with a part that has no offset, not with one that has no length", |theirs| {
        theirs.entry.entry_type == EntryType::GnuSparse
            && theirs.descriptors().any(|part| part[0] != 0 && (part[12] == 0 || hides_number(&part[..12])))
    }),
    ("anything but a zero says that the map of a sparse file goes on", |theirs| {
        theirs.entry.entry_type == EntryType::GnuSparse && theirs.has_odd_continuation()
    }),
    ("times before the epoch are times", |theirs| theirs.entry.mtime > i64::MAX as u64),
];

impl<'a> Theirs<'a> {
    /// As this reader tells of it. The time counts where both can tell it.
    fn as_seen(&self, our_mtime: i64) -> Seen {
        let entry = &self.entry;
        let mut xattrs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (name, value) in &entry.xattrs {
            xattrs.retain(|(other, _)| other != &name[..]);
            xattrs.push((name.to_vec(), value.to_vec()));
        }
        xattrs.sort();
        let names = [&entry.path[..], entry.link_target.as_deref().unwrap_or_default()];
        Seen {
            flag: self.flag(),
            names: names.map(|name| to_nul(name).to_vec()),
            attributes: [u64::from(entry.mode & 0o7777), entry.uid, entry.gid],
            mtime: if our_mtime < 0 { our_mtime } else { entry.mtime as i64 },
            xattrs,
            content: (self.content, entry.size),
            sparse: self.sparse.as_ref().map(|(map, size)| {
                let parts = map.iter().filter(|part| part.length > 0);
                (parts.map(|part| (part.offset, part.length)).collect(), *size)
            }),
        }
    }

    fn flag(&self) -> u8 {
        let is_old_directory = self.entry.header.as_bytes()[FLAG] == 0 && to_nul(&self.entry.path).ends_with(b"/");
        match self.entry.entry_type {
            _ if is_old_directory => b'5',
            EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse => b'0',
            EntryType::Char | EntryType::Block => b'3',
            // A directory with a list of what is in it.
            EntryType::Other(b'D') => b'5',
            other => other.to_byte(),
        }
    }

    fn is_header_only(&self) -> bool {
        matches!(self.flag(), b'1'..=b'6') && self.entry.header.as_bytes()[FLAG] != b'D'
    }

    fn is_dialect(&self) -> bool {
        let bytes = self.entry.header.as_bytes();
        let is_odd_ustar = &bytes[257..263] == b"ustar\0" && (&bytes[263..265] != b"00" || &bytes[508..] == b"tar\0");
        is_odd_ustar || self.entry.header.is_gnu() && bytes[345] != 0
    }

    fn has_number_behind_nuls(&self) -> bool {
        let header = self.entry.header.as_bytes();
        let fields = [100..108, 108..116, 116..124, 136..148, 483..495];
        let sizes = self.headers.chunks_exact(BLOCK).map(|block| &block[SIZE]);
        sizes.chain(fields.into_iter().map(|field| &header[field])).any(hides_number)
    }

    fn records(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let records = PaxExtensions::new(self.entry.pax.unwrap_or_default());
        records.flatten().map(|record| (record.key_bytes(), record.value_bytes()))
    }

    fn has_empty_value(&self) -> bool {
        let is_empty = |name: Option<&[u8]>| to_nul(name.unwrap_or_default()).is_empty();
        let is_link_taken_back = self.has_header(b'K') && is_empty(self.entry.link_target.as_deref());
        let mut records = self.records();
        is_empty(Some(&self.entry.path))
            || is_link_taken_back
            || records.any(|(key, value)| value.is_empty() && !key.starts_with(b"SCHILY.xattr."))
    }

    fn is_named_twice(&self) -> bool {
        let has = |wanted: &[u8]| self.records().any(|(key, _)| key == wanted);
        self.has_header(b'L') && has(b"path") || self.has_header(b'K') && has(b"linkpath")
    }

    fn has_odd_sparse_records(&self) -> bool {
        let count = |wanted: &str| self.records().filter(|(key, _)| *key == wanted.as_bytes()).count();
        let of = |key: &str| count(&format!("GNU.sparse.{key}"));
        let value = |wanted: &str| {
            let mut values = self.records().filter(|(key, _)| *key == wanted.as_bytes());
            values.next().map(|(_, value)| value)
        };
        let has_any = self.records().any(|(key, _)| key.starts_with(b"GNU.sparse."));
        let has_parts = of("numbytes") > 0;
        let version = (value("GNU.sparse.major"), value("GNU.sparse.minor"));
        let is_version_0 = matches!(version, (None, None) | (Some(b"0"), Some(b"0" | b"1")));
        let is_version_1 = version == (Some(b"1"), Some(b"0"));
        let is_format_0 = is_version_0 && of("map") + usize::from(has_parts) == 1;
        let is_format_1 = is_version_1 && of("map") == 0 && !has_parts && count("size") == 0;
        let is_once = ["major", "minor", "name"].iter().all(|key| of(key) <= 1) && of("size") + of("realsize") <= 1;
        let is_plain_file = matches!(self.entry.header.as_bytes()[FLAG], b'0' | b'7');
        has_any && !(is_plain_file && is_once && (is_format_0 || is_format_1))
    }

    /// Whether a block among the headers has this type flag. It may be one of content.
    fn has_header(&self, flag: u8) -> bool {
        self.headers.chunks_exact(BLOCK).any(|block| block[FLAG] == flag)
    }

    fn has_odd_continuation(&self) -> bool {
        let mut blocks = self.headers.chunks_exact(BLOCK).skip_while(|block| *block != self.entry.header.as_bytes());
        blocks.next().is_some_and(|header| header[482] > 1) || blocks.any(|block| block[504] > 1)
    }

    /// The parts of an old sparse map.
    fn descriptors(&self) -> impl Iterator<Item = &[u8]> {
        let header = self.headers.chunks_exact(BLOCK).position(|block| block == self.entry.header.as_bytes());
        let continuations = self.headers.chunks_exact(BLOCK).skip(header.map_or(0, |at| at + 1));
        let first = &self.entry.header.as_bytes()[386..482];
        first.chunks_exact(24).chain(continuations.flat_map(|block| block[..504].chunks_exact(24)))
    }
}

/// Names in Go's reader, and in this one, end with a NUL.
fn shortened(mut seen: Seen) -> Seen {
    for name in &mut seen.names {
        name.truncate(to_nul(name).len());
    }
    seen
}

fn to_nul(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Whether padding that has a NUL in it comes before something else.
fn hides_number(field: &[u8]) -> bool {
    let padding = field.iter().take_while(|byte| matches!(byte, 0 | b' ')).count();
    field[..padding].contains(&0) && padding < field.len()
}
