//! The tar stream as a sequence of entries.
//!
//! The `tar` crate knows the layout of the header formats. The framing is done here, on its header types, because its
//! own iterator holds extension headers of any length in memory, loses a PAX `size` behind a binary xattr, and reads
//! the holes of a sparse file as zeros, however many. Where tar readers differ this one goes with Go's `archive/tar`,
//! which most images are written with and read by: of two extension headers of a kind the last counts, global extended
//! headers are ignored, and an archive may end without its end marker or the last padding.

use std::io::{self, BufRead, Seek};

use rustix::fs::Timespec;
use tar::{EntryType, GnuExtSparseHeader, Header};

use super::foreign::{self, Foreign};
use super::header::{self, numeric};
use super::pax::{Overrides, Xattr};
use super::sparse::{Encoding, SegmentList, SparseMap};
use crate::limits::{Exceeded, Limits};

const BLOCK: u64 = 512;

/// Type flag of a directory with a list of its content as body, from incremental archives of GNU tar.
const GNU_DUMP_DIRECTORY: u8 = b'D';

/// Type flag of an extended header from Solaris, older than PAX and the same inside.
const SOLARIS_EXTENDED_HEADER: u8 = b'X';

/// Why a stream is not a tar archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream ends within an entry.
    #[error("unexpected EOF")]
    Truncated,
    /// Something else than an archive.
    #[error("{0}")]
    Foreign(Foreign),
    /// No entry at all, where nothing says that there is to be none.
    #[error("it is not a tar archive: there is no entry in it")]
    Empty,
    /// A block that should be a header is none.
    #[error("invalid tar header")]
    Header,
    /// A header with a number that makes no sense.
    #[error("invalid tar header: bad {field} of `{name}`")]
    Field {
        /// The field, e.g. `size`.
        field: &'static str,
        /// Name of the entry.
        name: String,
    },
    /// An owner that is no 32-bit id, or is the reserved id 4294967295.
    #[error("{field} {id} of `{name}` is out of range")]
    Owner {
        /// `uid` or `gid`.
        field: &'static str,
        /// The number in the archive.
        id: i64,
        /// Name of the entry.
        name: String,
    },
    /// A PAX extended header that cannot be parsed.
    #[error("invalid tar extended header")]
    ExtendedHeader,
    /// A long name or extended header that is longer than the image may have.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// A map of a sparse file that contradicts itself or the entry.
    #[error("invalid map of a sparse file")]
    SparseMap,
    /// A sparse file in more pieces than any real one.
    #[error("the map of a sparse file is too long")]
    SparseMapTooLong,
    /// The stream could not be read.
    #[error("reading the archive: {0}")]
    Stream(#[source] io::Error),
}

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Regular,
    Sparse(SparseMap),
    HardLink,
    Symlink,
    Directory,
    Fifo,
    Device,
    /// Type flag of something that no file system object is made of.
    Other(u8),
}

/// One entry, all its headers taken together.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    /// As in the archive, not checked in any way.
    pub(crate) name: Vec<u8>,
    /// Target of a hard link or symlink, not checked in any way.
    pub(crate) link: Vec<u8>,
    /// Permission bits with set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timespec,
    pub(crate) xattrs: Vec<Xattr>,
    /// Bytes of content in the archive.
    pub(crate) size: u64,
}

/// A tar archive that is read once, front to back.
pub(crate) struct Archive<R> {
    stream: R,
    limits: Limits,
    /// Bytes of the current entry's body not yet read.
    body: u64,
    /// Bytes from there to the next header.
    padding: u64,
    /// No header has been seen yet.
    is_empty: bool,
}

/// Headers that precede an entry and speak of it.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Overrides,
}

impl<R: BufRead> Archive<R> {
    pub(crate) fn new(stream: R, limits: Limits) -> Self {
        Self { stream, limits, body: 0, padding: 0, is_empty: true }
    }

    /// The next entry, or `None` at the end of the archive. What is left of the body before is skipped.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extensions = Extensions::default();
        let mut extended = false;
        loop {
            self.skip_body()?;
            let Some(header) = self.header()? else {
                return if extended { Err(ArchiveError::Truncated) } else { Ok(None) };
            };
            match header.entry_type() {
                EntryType::GNULongName => extensions.name = self.long_name(&header)?,
                EntryType::GNULongLink => extensions.link = self.long_name(&header)?,
                EntryType::XHeader => extensions.pax = Overrides::parse(&self.extension(&header)?)?,
                EntryType::XGlobalHeader => {
                    self.begin_body(size_field(&header)?);
                    continue;
                }
                other if other.as_byte() == SOLARIS_EXTENDED_HEADER => {
                    extensions.pax = Overrides::parse(&self.extension(&header)?)?;
                }
                _ => return self.entry(&header, extensions).map(Some),
            }
            extended = true;
        }
    }

    /// Hands the next `length` bytes of the current entry to `sink`, in pieces.
    pub(crate) fn read_body<E: From<ArchiveError>>(
        &mut self,
        mut length: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if length > self.body {
            return Err(ArchiveError::Truncated.into());
        }
        self.body -= length;
        while length > 0 {
            let available = fill(&mut self.stream)?;
            let count = usize::try_from(length).map_or(available.len(), |length| length.min(available.len()));
            sink(&available[..count])?;
            self.stream.consume(count);
            length -= count as u64;
        }
        Ok(())
    }

    /// Whether no entry has been read yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Reads the stream to its end, past the end of the archive.
    pub(crate) fn drain(&mut self) -> Result<(), ArchiveError> {
        if self.is_empty {
            self.check_emptiness()?;
        }
        loop {
            match self.stream.fill_buf().map_err(ArchiveError::Stream)?.len() {
                0 => return Ok(()),
                count => self.stream.consume(count),
            }
        }
    }

    /// Images of filesystems may begin with as many zeros as mark the end of an archive.
    fn check_emptiness(&mut self) -> Result<(), ArchiveError> {
        let mut head = vec![0; 2 * BLOCK as usize];
        while head.len() < foreign::HEAD && !at_end(&mut self.stream)? {
            let available = fill(&mut self.stream)?;
            let count = available.len();
            head.extend_from_slice(available);
            self.stream.consume(count);
        }
        let is_blank = head.iter().all(|byte| *byte == 0);
        match foreign::recognise(&head) {
            Some(foreign) => Err(ArchiveError::Foreign(foreign)),
            None if is_blank => Ok(()),
            None => Err(ArchiveError::Empty),
        }
    }

    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry, ArchiveError> {
        self.is_empty = false;
        let Extensions { name, link, mut pax } = extensions;
        let name = name.or(pax.path.take()).unwrap_or_else(|| header::name(header));
        let link = link.or(pax.link.take()).unwrap_or_else(|| header::link(header));
        let kind = kind(header, &name);
        let true_name = if kind == EntryKind::Regular { pax.sparse.take_name() } else { None };
        let name = true_name.unwrap_or(name);
        let field = |field: &'static str, bytes: &[u8]| {
            numeric(bytes).ok_or_else(|| ArchiveError::Field { field, name: lossy(&name) })
        };
        let raw = header.as_old();
        let owner = |which: &'static str, pax: Option<i64>, bytes: &[u8]| {
            let id = pax.map_or_else(|| field(which, bytes), Ok)?;
            let valid = u32::try_from(id).ok().filter(|id| *id != u32::MAX);
            valid.ok_or_else(|| ArchiveError::Owner { field: which, id, name: lossy(&name) })
        };
        let (uid, gid) = (owner("uid", pax.uid, &raw.uid)?, owner("gid", pax.gid, &raw.gid)?);
        let mode = (field("mode", &raw.mode)? & 0o7777) as u32;
        let mtime = match pax.mtime {
            Some(time) => time,
            None => Timespec { tv_sec: field("mtime", &raw.mtime)?, tv_nsec: 0 },
        };
        let stored = match pax.size {
            _ if !has_body(header, &kind) => 0,
            Some(size) if i64::try_from(size).is_ok() => size,
            Some(_) => return Err(ArchiveError::Field { field: "size", name: lossy(&name) }),
            None => size_field(header)?,
        };
        self.begin_body(stored);
        let kind = match kind {
            EntryKind::Regular => self.sparse_kind(header, &mut pax)?,
            kind => kind,
        };
        Ok(Entry { kind, name, link, mode, uid, gid, mtime, xattrs: pax.xattrs, size: self.body })
    }

    /// Tells plain from sparse files and reads the map of the latter, wherever it is.
    fn sparse_kind(&mut self, header: &Header, pax: &mut Overrides) -> Result<EntryKind, ArchiveError> {
        if header.entry_type() == EntryType::GNUSparse {
            let gnu = header::gnu_sparse(header).ok_or(ArchiveError::Header)?;
            let mut list = SegmentList::default();
            list.push_gnu(gnu.map)?;
            let mut more = gnu.continues;
            while more {
                let mut continuation = GnuExtSparseHeader::new();
                read_exact(&mut self.stream, continuation.as_mut_bytes())?;
                list.push_gnu(continuation.sparse())?;
                more = continuation.isextended[0] != 0;
            }
            let size = numeric(gnu.size).and_then(|size| size.try_into().ok()).ok_or(ArchiveError::SparseMap)?;
            return list.into_map(size, self.body).map(EntryKind::Sparse);
        }
        match pax.sparse.encoding(self.body)? {
            None => Ok(EntryKind::Regular),
            Some((size, Encoding::Records(list))) => list.into_map(size, self.body).map(EntryKind::Sparse),
            Some((size, Encoding::Body)) => {
                let list = self.sparse_map_in_body()?;
                list.into_map(size, self.body).map(EntryKind::Sparse)
            }
        }
    }

    /// The map of PAX format 1.0: decimal numbers, one a line, their count first, padded to whole blocks.
    fn sparse_map_in_body(&mut self) -> Result<SegmentList, ArchiveError> {
        let before = self.body;
        let mut list = SegmentList::default();
        for _ in 0..self.sparse_number()? {
            let offset = self.sparse_number()?;
            list.push(offset, self.sparse_number()?)?;
        }
        let read = before - self.body;
        self.read_body::<ArchiveError>(read.next_multiple_of(BLOCK) - read, |_| Ok(()))?;
        Ok(list)
    }

    fn sparse_number(&mut self) -> Result<u64, ArchiveError> {
        let mut number = 0u64;
        let mut digits = 0;
        loop {
            let mut byte = 0;
            self.read_body::<ArchiveError>(1, |bytes| {
                byte = bytes[0];
                Ok(())
            })?;
            match byte {
                b'0'..=b'9' if digits < 20 => {
                    let digit = u64::from(byte - b'0');
                    number =
                        number.checked_mul(10).and_then(|n| n.checked_add(digit)).ok_or(ArchiveError::SparseMap)?;
                    digits += 1;
                }
                b'\n' if digits > 0 => return Ok(number),
                _ => return Err(ArchiveError::SparseMap),
            }
        }
    }

    /// The next header block; `None` at the end: two blocks of zeros, or a stream that just ends between entries.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        if at_end(&mut self.stream)? {
            return Ok(None);
        }
        let read = read_exact(&mut self.stream, header.as_mut_bytes());
        let foreign = if self.is_empty { foreign::recognise(header.as_bytes()) } else { None };
        // Files of less than a block are recognised, too.
        read.map_err(|error| foreign.map_or(error, ArchiveError::Foreign))?;
        if header.as_bytes().iter().any(|byte| *byte != 0) {
            if header::checksum_matches(&header) {
                return Ok(Some(header));
            }
            return Err(foreign.map_or(ArchiveError::Header, ArchiveError::Foreign));
        }
        if !at_end(&mut self.stream)? {
            read_exact(&mut self.stream, header.as_mut_bytes())?;
            if header.as_bytes().iter().any(|byte| *byte != 0) {
                return Err(ArchiveError::Header);
            }
        }
        Ok(None)
    }

    /// The stream, at the content of the current entry or behind it.
    pub(crate) fn stream(&self) -> &R {
        &self.stream
    }

    fn begin_body(&mut self, size: u64) {
        self.body = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
    }

    /// Reads to the next header. The padding before it is missing where a writer ended the archive early.
    fn skip_body(&mut self) -> Result<(), ArchiveError> {
        self.read_body::<ArchiveError>(self.body, |_| Ok(()))?;
        while self.padding > 0 && !at_end(&mut self.stream)? {
            let available = fill(&mut self.stream)?.len() as u64;
            let count = available.min(self.padding);
            self.stream.consume(count as usize);
            self.padding -= count;
        }
        self.padding = 0;
        Ok(())
    }

    /// The body of an extension header.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let size = size_field(header)?;
        self.limits.check_extended_header(size)?;
        self.begin_body(size);
        let mut content = Vec::new();
        self.read_body::<ArchiveError>(size, |bytes| {
            content.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(content)
    }

    /// The name in the body of an extension header; an empty one says nothing.
    fn long_name(&mut self, header: &Header) -> Result<Option<Vec<u8>>, ArchiveError> {
        let body = self.extension(header)?;
        Ok(Some(header::text(&body).to_vec()).filter(|name| !name.is_empty()))
    }
}

impl<R: BufRead + Seek> Archive<R> {
    /// Goes to the next header without reading what is before it.
    pub(crate) fn seek_past_body(&mut self) -> Result<(), ArchiveError> {
        let length = i64::try_from(self.body.saturating_add(self.padding)).map_err(|_| ArchiveError::Truncated)?;
        (self.body, self.padding) = (0, 0);
        self.stream.seek_relative(length).map_err(ArchiveError::Stream)
    }
}

fn kind(header: &Header, name: &[u8]) -> EntryKind {
    // Archives from before POSIX mark directories by a slash only.
    if header.as_old().linkflag == [0] && name.ends_with(b"/") {
        return EntryKind::Directory;
    }
    match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => EntryKind::Regular,
        EntryType::Link => EntryKind::HardLink,
        EntryType::Symlink => EntryKind::Symlink,
        EntryType::Directory => EntryKind::Directory,
        EntryType::Fifo => EntryKind::Fifo,
        EntryType::Char | EntryType::Block => EntryKind::Device,
        other if other.as_byte() == GNU_DUMP_DIRECTORY => EntryKind::Directory,
        other => EntryKind::Other(other.as_byte()),
    }
}

/// Entries that consist of a header only have no body, whatever size they state.
fn has_body(header: &Header, kind: &EntryKind) -> bool {
    matches!(kind, EntryKind::Regular | EntryKind::Other(_)) || header.as_old().linkflag == [GNU_DUMP_DIRECTORY]
}

fn size_field(header: &Header) -> Result<u64, ArchiveError> {
    let size = numeric(&header.as_old().size).and_then(|size| size.try_into().ok());
    size.ok_or_else(|| ArchiveError::Field { field: "size", name: lossy(&header::name(header)) })
}

fn at_end(stream: &mut impl BufRead) -> Result<bool, ArchiveError> {
    Ok(stream.fill_buf().map_err(ArchiveError::Stream)?.is_empty())
}

fn fill(stream: &mut impl BufRead) -> Result<&[u8], ArchiveError> {
    let available = stream.fill_buf().map_err(ArchiveError::Stream)?;
    if available.is_empty() { Err(ArchiveError::Truncated) } else { Ok(available) }
}

fn read_exact(stream: &mut impl BufRead, mut into: &mut [u8]) -> Result<(), ArchiveError> {
    while !into.is_empty() {
        let available = fill(stream)?;
        let count = available.len().min(into.len());
        let (filled, rest) = into.split_at_mut(count);
        filled.copy_from_slice(&available[..count]);
        stream.consume(count);
        into = rest;
    }
    Ok(())
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
