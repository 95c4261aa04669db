//! What `fuzz/` drives: the parsers of this module, and what must hold of whatever they accept.

use std::io::BufReader;

use super::pax::Overrides;
use super::{Archive, ArchiveError, Decoder, EntryKind, SparseMap};
use crate::limits::Limits;

/// More than any input is worth: inflated it may be a thousand times as long.
const LONGEST: usize = 16 << 20;

/// All entries of a plain archive, with their bodies.
pub fn entries(data: &[u8]) {
    let mut archive = Archive::new(BufReader::with_capacity(512, data), Limits::default());
    // Each entry takes a header at least.
    for _ in 0..=data.len() / 512 {
        let Ok(Some(entry)) = archive.next_entry() else { return };
        let stored = match &entry.kind {
            EntryKind::Sparse(map) => check(map),
            _ => entry.size,
        };
        let mut read = 0;
        let body = archive.read_body(stored, |bytes| {
            read += bytes.len() as u64;
            Ok::<_, ArchiveError>(())
        });
        assert!(body.is_err() || read == stored, "{read} bytes of {stored}");
    }
    assert!(!matches!(archive.next_entry(), Ok(Some(_))), "more entries than there are headers");
}

/// An entry as this reader sees it, to be compared with what others see.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// The type flag, one for all that become the same: `0` of files, `3` of devices, `5` of directories.
    pub flag: u8,
    /// Name and target of a link.
    pub names: [Vec<u8>; 2],
    /// Permissions, owner and group.
    pub attributes: [u64; 3],
    /// Seconds since the epoch.
    pub mtime: i64,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where in the archive the content begins, and its length there.
    pub content: (usize, u64),
    /// Of a sparse file: offset and length of what is not a hole, and the size.
    pub sparse: Option<(Vec<(u64, u64)>, u64)>,
}

/// Reads the entries of an archive, one at each call, and `None` at its end.
pub fn seen(data: &[u8]) -> impl FnMut() -> Result<Option<Seen>, ArchiveError> {
    let mut archive = Archive::new(data, Limits::default());
    move || {
        let Some(entry) = archive.next_entry()? else { return Ok(None) };
        let flag = match entry.kind {
            EntryKind::Regular | EntryKind::Sparse(_) => b'0',
            EntryKind::HardLink => b'1',
            EntryKind::Symlink => b'2',
            EntryKind::Device => b'3',
            EntryKind::Directory => b'5',
            EntryKind::Fifo => b'6',
            EntryKind::Other(flag) => flag,
        };
        let sparse = match entry.kind {
            EntryKind::Sparse(map) => {
                Some((map.segments.iter().map(|segment| (segment.offset, segment.length)).collect(), map.size))
            }
            _ => None,
        };
        Ok(Some(Seen {
            flag,
            names: [entry.name, entry.link],
            attributes: [entry.mode.into(), entry.uid.into(), entry.gid.into()],
            mtime: entry.mtime.tv_sec,
            xattrs: entry.xattrs.into_iter().map(|xattr| (xattr.name.into_encoded_bytes(), xattr.value)).collect(),
            content: (data.len() - archive.stream().len(), entry.size),
            sparse,
        }))
    }
}

/// Segments ascend within the file. Returns how many bytes are stored.
fn check(map: &SparseMap) -> u64 {
    let mut end = 0;
    for segment in &map.segments {
        assert!(segment.offset >= end && segment.length > 0, "{map:?}");
        end = segment.offset + segment.length;
    }
    assert!(end <= map.size, "{map:?}");
    map.segments.iter().map(|segment| segment.length).sum()
}

/// The body of an extended header, maps of sparse files among its records.
pub fn extended_header(data: &[u8]) {
    if let Ok(mut overrides) = Overrides::parse(data) {
        let _ = overrides.sparse.encoding(1 << 20);
    }
}

/// The map of a sparse file in each of its forms: the records of an extended header, and the text in the body.
pub fn sparse_map(data: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(data.len().next_multiple_of(512) as u64);
    for (key, rest) in [("GNU.sparse.map", data), ("", data)] {
        let records: &[(&str, &[u8])] = match key {
            "" => &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1000000")],
            key => &[(key, rest), ("GNU.sparse.size", b"1000000")],
        };
        let archive = with_extended_header(records, &header, data);
        entries(&archive);
    }
}

fn with_extended_header(records: &[(&str, &[u8])], header: &tar::Header, body: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    // Writing to memory does not fail; a record that cannot be written is none.
    let _ = archive.append_pax_extensions(records.iter().copied());
    let mut header = header.clone();
    header.set_cksum();
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(512), 0);
    let _ = archive.append(&header, &*body);
    archive.into_inner().unwrap_or_default()
}

/// A stream compressed in whatever way, up to a bound.
pub fn decompress(data: &[u8]) {
    let Ok(mut decoder) = Decoder::new(BufReader::new(data)) else { return };
    let (mut buffer, mut total) = (vec![0; 64 << 10], 0);
    while let Ok(length) = decoder.fill(&mut buffer) {
        total += length;
        if length == 0 || total > LONGEST {
            return;
        }
        entries(&buffer[..length]);
    }
}
