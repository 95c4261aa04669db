//! Tar archives, entry by entry, with whatever a test wants wrong in them.

use std::io::Write;

use tar::{Builder, EntryType, Header};

/// Modification time of entries whose test does not care: 2001-09-09T01:46:40Z.
const MTIME: u64 = 1_000_000_000;

/// An archive being written in memory.
pub struct Archive {
    builder: Builder<Vec<u8>>,
    owner: (u64, u64),
    mtime: u64,
    pax: Vec<(String, Vec<u8>)>,
}

impl Archive {
    /// No entries yet. Entries belong to root and were changed long ago, unless said otherwise.
    pub fn new() -> Self {
        Archive { builder: Builder::new(Vec::new()), owner: (0, 0), mtime: MTIME, pax: Vec::new() }
    }

    /// Owner and group of the entries that follow.
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// Modification time, in seconds, of the entries that follow.
    pub fn mtime(mut self, seconds: u64) -> Self {
        self.mtime = seconds;
        self
    }

    /// Adds a PAX record to the next entry.
    pub fn pax(mut self, key: &str, value: &[u8]) -> Self {
        self.pax.push((key.to_owned(), value.to_vec()));
        self
    }

    /// Adds an extended attribute to the next entry.
    pub fn xattr(self, name: &str, value: &[u8]) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// A regular file.
    pub fn file(self, name: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, mode, None, content)
    }

    /// A directory.
    pub fn directory(self, name: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, &format!("{name}/"), mode, None, b"")
    }

    /// A symbolic link.
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, 0o777, Some(target), b"")
    }

    /// A hard link; `target` is a name in the archive.
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, 0o644, Some(target), b"")
    }

    /// A named pipe.
    pub fn fifo(self, name: &str, mode: u32) -> Self {
        self.entry(EntryType::Fifo, name, mode, None, b"")
    }

    /// A character device.
    pub fn character_device(self, name: &str) -> Self {
        self.entry(EntryType::Char, name, 0o600, None, b"")
    }

    /// A block device.
    pub fn block_device(self, name: &str) -> Self {
        self.entry(EntryType::Block, name, 0o600, None, b"")
    }

    /// The mark that says that `name`, a path of an earlier layer, is gone.
    pub fn whiteout(self, name: &str) -> Self {
        let (parent, base) = name.rsplit_once('/').map_or((String::new(), name), |(p, b)| (format!("{p}/"), b));
        self.file(&format!("{parent}.wh.{base}"), 0o600, b"")
    }

    /// The mark that says that what earlier layers have in the directory is gone.
    pub fn opaque(self, directory: &str) -> Self {
        self.file(&format!("{directory}/.wh..wh..opq"), 0o600, b"")
    }

    /// Any entry. The name is written as given: `..`, a leading `/`, whatever. Names too long for a header go into a
    /// PAX record.
    pub fn entry(mut self, kind: EntryType, name: &str, mode: u32, link: Option<&str>, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(self.owner.0.min(0o7_777_777));
        header.set_gid(self.owner.1.min(0o7_777_777));
        header.set_mtime(self.mtime);
        header.set_size(content.len() as u64);
        if self.owner.0 > 0o7_777_777 {
            self.pax.push(("uid".into(), self.owner.0.to_string().into_bytes()));
        }
        if self.owner.1 > 0o7_777_777 {
            self.pax.push(("gid".into(), self.owner.1.to_string().into_bytes()));
        }
        fill(&mut header.as_old_mut().name, name, "path", &mut self.pax);
        if let Some(link) = link {
            fill(&mut header.as_old_mut().linkname, link, "linkpath", &mut self.pax);
        }
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(1).expect("ustar has devices");
            header.set_device_minor(3).expect("ustar has devices");
        }
        header.set_cksum();
        self.write_extended_header();
        self.builder.append(&header, content).expect("written to memory");
        self
    }

    /// The PAX records that are meant for the entry that follows.
    fn write_extended_header(&mut self) {
        let records = std::mem::take(&mut self.pax);
        if !records.is_empty() {
            let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            self.builder.append_pax_extensions(records).expect("written to memory");
        }
    }

    /// A header whose bytes are changed before its checksum is computed, for dialects that no library writes.
    pub fn header(mut self, name: &str, kind: u8, edits: &[(usize, &[u8])], content: &[u8]) -> Self {
        let mut header = Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkflag = [kind];
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(content.len() as u64);
        for (offset, bytes) in edits {
            header.as_mut_bytes()[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        header.set_cksum();
        self.write_extended_header();
        self.builder.append(&header, content).expect("written to memory");
        self
    }

    /// The header of an entry of `size` bytes, which are not there, and what was added before it. No file is made of it.
    pub fn entry_of_size(self, name: &str, size: u64) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_path(name).expect("a short name");
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header.set_entry_type(EntryType::new(b'Z'));
        header.set_cksum();
        let mut bytes = self.builder.get_ref().clone();
        bytes.extend_from_slice(header.as_bytes());
        bytes
    }

    /// The finished archive.
    pub fn bytes(self) -> Vec<u8> {
        self.builder.into_inner().expect("written to memory")
    }
}

/// Puts a name into its header field, or, where it does not fit, into a PAX record.
fn fill(field: &mut [u8; 100], name: &str, key: &str, pax: &mut Vec<(String, Vec<u8>)>) {
    let bytes = name.as_bytes();
    let fitting = bytes.len().min(field.len());
    field[..fitting].copy_from_slice(&bytes[..fitting]);
    if fitting < bytes.len() {
        pax.push((key.to_owned(), bytes.to_vec()));
    }
}

/// Compresses with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written to memory");
    encoder.finish().expect("written to memory")
}

/// Compresses with zstd.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("written to memory")
}
