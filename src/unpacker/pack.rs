//! A container's changes as a layer: a tar archive with whiteouts (OCI image specification, `layer.md`). The same changes
//! give the same bytes: entries are sorted, and nothing of the machine is in them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, Stat, fstat};
use tar::{EntryType, Header};

use super::changes::{Change, ChangeKind, OverlayAttributes, attributes_of, within_root};
use crate::archive::Xattr;
use crate::idmap::IdMappings;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::{descriptors, dirfd};

/// Longest name and longest target of a link in a header.
const NAME_FIELD: usize = 100;
/// Largest id that its field of seven octal digits holds.
const LARGEST_ID: u64 = 0o7_777_777;
/// Largest size that its field of eleven octal digits holds.
const LARGEST_SIZE: u64 = 0o77_777_777_777;
const BLOCK: usize = 512;
/// Why a file cannot be packed that an overlay with `metacopy` has.
const METACOPY: &str = "its content is in a layer below (metacopy of the overlay), which is not followed: open it for \
                        writing in the container first";

/// Why a file cannot be packed whose name means something else in a layer.
const WHITEOUT_NAME: &str = "in a layer a name that begins with `.wh.` deletes a file of the layers below: rename it in the \
                             container first";

/// What a layer is made of.
pub struct LayerSource<'a> {
    /// The tree that has the files: an upper directory, or a root filesystem.
    pub root: BorrowedFd<'a>,
    /// Where the overlay has its own attributes.
    pub attributes: OverlayAttributes,
    /// From ids on disk to those of the image.
    pub ids: &'a IdMappings,
}

/// Writes `changes`, which are sorted, as an archive, and returns the time of the latest, in seconds since 1970.
///
/// # Errors
/// Those of the system calls, and of the writer; for a file that a layer cannot have as it is.
pub fn pack(source: &LayerSource<'_>, changes: &[Change], writer: &mut impl Write) -> Result<u64, PathError> {
    let mut packer = Packer { source, writer, links: HashMap::new(), latest: 0 };
    for change in changes {
        match change.kind {
            ChangeKind::Deleted => packer.whiteout(&change.path)?,
            ChangeKind::Added | ChangeKind::Changed => packer.file(&change.path)?,
        }
    }
    packer.writer.write_all(&[0; 2 * BLOCK]).on("write", "layer")?;
    Ok(packer.latest)
}

struct Packer<'a, W> {
    source: &'a LayerSource<'a>,
    writer: &'a mut W,
    /// Paths of files with several names, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    latest: u64,
}

/// A name that may be too long for a header, and extended records.
#[derive(Default)]
struct Extended(Vec<u8>);

impl Extended {
    /// One record: its length in decimal, which counts itself, key and value.
    fn push(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + " =\n".len();
        let mut length = rest;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        self.0.extend_from_slice(format!("{length} ").as_bytes());
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// The time of modification, where its field of eleven octal digits does not hold all of it.
    fn push_time(&mut self, stat: &Stat) {
        let is_held = stat.st_mtime_nsec == 0 && u64::try_from(stat.st_mtime).is_ok_and(|time| time <= LARGEST_SIZE);
        if !is_held {
            self.push(b"mtime", decimal_time(stat.st_mtime, stat.st_mtime_nsec).as_bytes());
        }
    }
}

/// Seconds since 1970 with their fraction. Nanoseconds count from the second on, before 1970 too.
fn decimal_time(seconds: i64, nanoseconds: u64) -> String {
    let (sign, whole, fraction) = match (seconds, nanoseconds) {
        (0.., _) => ("", seconds.unsigned_abs(), nanoseconds),
        (_, 0) => ("-", seconds.unsigned_abs(), 0),
        (..0, _) => ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - nanoseconds),
    };
    match fraction {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction:09}"),
    }
}

impl<W: Write> Packer<'_, W> {
    fn whiteout(&mut self, path: &Path) -> Result<(), PathError> {
        let name = [b".wh.", path.file_name().unwrap_or_default().as_bytes()].concat();
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0);
        self.entry(header, &path.with_file_name(OsStr::from_bytes(&name)), (0, 0, 0), None, Extended::default())
    }

    fn file(&mut self, path: &Path) -> Result<(), PathError> {
        if path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".wh.")) {
            return Err(PathError::new("pack", path, io::Error::other(WHITEOUT_NAME)));
        }
        let opened = self.open(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let stat = fstat(&opened).on("stat", path)?;
        let mut header = Header::new_ustar();
        header.set_mode(stat.st_mode & 0o7777);
        let modified = u64::try_from(stat.st_mtime).unwrap_or(0);
        self.latest = self.latest.max(modified);
        header.set_mtime(modified.min(LARGEST_SIZE));
        let owner = (self.id(stat.st_uid, IdMappings::uid, path)?, self.id(stat.st_gid, IdMappings::gid, path)?);
        let kind = dirfd::file_type(&stat);
        if !kind.is_dir() && stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key).cloned() {
                header.set_entry_type(EntryType::Link);
                return self.entry(header, path, (owner.0, owner.1, 0), Some(first.as_os_str()), Extended::default());
            }
            self.links.insert(key, path.to_owned());
        }
        let Some(entry_type) = entry_type(&stat) else { return Ok(()) };
        header.set_entry_type(entry_type);
        let mut extended = Extended::default();
        extended.push_time(&stat);
        for Xattr { name, value } in self.attributes(&opened, &stat, path)? {
            if name.as_bytes().contains(&b'=') {
                return Err(PathError::new("pack", path, io::Error::other(unwritable(&name))));
            }
            extended.push(&[b"SCHILY.xattr.", name.as_bytes()].concat(), &value);
        }
        match entry_type {
            EntryType::Regular => self.regular(header, path, owner, (&opened, &stat), extended),
            EntryType::Symlink => {
                let target = dirfd::read_link(&opened, OsStr::new("")).on("readlink", path)?;
                self.entry(header, path, (owner.0, owner.1, 0), Some(&target), extended)
            }
            _ => {
                if matches!(entry_type, EntryType::Char | EntryType::Block) {
                    header.set_device_major(rustix::fs::major(stat.st_rdev)).on("pack", path)?;
                    header.set_device_minor(rustix::fs::minor(stat.st_rdev)).on("pack", path)?;
                }
                self.entry(header, path, (owner.0, owner.1, 0), None, extended)
            }
        }
    }

    fn regular(
        &mut self,
        header: Header,
        path: &Path,
        (uid, gid): (u32, u32),
        (opened, stat): (&OwnedFd, &Stat),
        extended: Extended,
    ) -> Result<(), PathError> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        // Not by its path, where a container that runs may have put a device meanwhile.
        let file = File::open(descriptors::name_of(opened)).on("open", path)?;
        if self.source.attributes.get(&file, "metacopy").on("read attribute of", path)?.is_some() {
            return Err(PathError::new("pack", path, io::Error::other(METACOPY)));
        }
        self.entry(header, path, (uid, gid, size), None, extended)?;
        let copied = io::copy(&mut file.take(size), self.writer).on("read", path)?;
        if copied != size {
            return Err(PathError::new("read", path, io::Error::other("it became shorter: stop the container first")));
        }
        self.pad(size)
    }

    fn entry(
        &mut self,
        mut header: Header,
        path: &Path,
        (uid, gid, size): (u32, u32, u64),
        link: Option<&OsStr>,
        mut extended: Extended,
    ) -> Result<(), PathError> {
        let mut name = path.as_os_str().as_bytes().to_vec();
        if header.entry_type().is_dir() {
            name.push(b'/');
        }
        if let Some(ustar) = header.as_ustar_mut() {
            put_name(&mut ustar.name, &name, b"path", &mut extended);
            put_name(&mut ustar.linkname, link.unwrap_or_default().as_bytes(), b"linkpath", &mut extended);
        }
        let mut number = |key: &[u8], value: u64, largest: u64| {
            if value > largest {
                extended.push(key, value.to_string().as_bytes());
            }
            value.min(largest)
        };
        header.set_uid(number(b"uid", uid.into(), LARGEST_ID));
        header.set_gid(number(b"gid", gid.into(), LARGEST_ID));
        header.set_size(number(b"size", size, LARGEST_SIZE));
        header.set_cksum();
        if !extended.0.is_empty() {
            self.extended(&extended.0).on("write", "layer")?;
        }
        self.writer.write_all(header.as_bytes()).on("write", "layer")
    }

    fn extended(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        if let Some(ustar) = header.as_ustar_mut() {
            ustar.name[..b"PaxHeader".len()].copy_from_slice(b"PaxHeader");
        }
        header.set_cksum();
        self.writer.write_all(header.as_bytes())?;
        self.writer.write_all(records)?;
        self.writer.write_all(&[0; BLOCK][..(BLOCK - records.len() % BLOCK) % BLOCK])
    }

    fn pad(&mut self, size: u64) -> Result<(), PathError> {
        let beyond = (size % BLOCK as u64) as usize;
        self.writer.write_all(&[0; BLOCK][..(BLOCK - beyond) % BLOCK]).on("write", "layer")
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, PathError> {
        dirfd::resolve(self.source.root, path, flags, within_root()).on("open", path)
    }

    fn id(
        &self,
        id: u32,
        translate: fn(&IdMappings, u32) -> Result<u32, crate::idmap::IdError>,
        path: &Path,
    ) -> Result<u32, PathError> {
        translate(self.source.ids, id).map_err(|error| PathError::new("pack", path, io::Error::other(error)))
    }

    /// Extended attributes that belong to the file, sorted, with the ids of the image.
    fn attributes(&self, opened: &OwnedFd, stat: &Stat, path: &Path) -> Result<Vec<Xattr>, PathError> {
        let kind = dirfd::file_type(stat);
        if !kind.is_file() && !kind.is_dir() {
            return Ok(Vec::new());
        }
        // Nothing is read from a descriptor of a path alone, but its name leads to the file.
        let file = File::open(descriptors::name_of(opened)).on("open", path)?;
        attributes_of(&file, self.source.ids).on("read attributes of", path)
    }
}

/// Why a file cannot be packed that has this attribute: the key of a record ends at its first `=`.
fn unwritable(attribute: &OsStr) -> String {
    let name = attribute.display();
    format!(
        "a layer cannot have its extended attribute `{name}`, whose name has a `=`: remove it in the container first"
    )
}

/// Sockets are in no archive.
fn entry_type(stat: &Stat) -> Option<EntryType> {
    use rustix::fs::FileType;
    Some(match dirfd::file_type(stat) {
        FileType::RegularFile => EntryType::Regular,
        FileType::Directory => EntryType::Directory,
        FileType::Symlink => EntryType::Symlink,
        FileType::CharacterDevice => EntryType::Char,
        FileType::BlockDevice => EntryType::Block,
        FileType::Fifo => EntryType::Fifo,
        _ => return None,
    })
}

/// Puts a name into its field, or, where it does not fit, its beginning there and all of it into a record.
fn put_name(field: &mut [u8; NAME_FIELD], name: &[u8], key: &[u8], extended: &mut Extended) {
    if name.len() > NAME_FIELD {
        extended.push(key, name);
    }
    let length = name.len().min(NAME_FIELD);
    field[..length].copy_from_slice(&name[..length]);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    use super::*;

    /// Calls back when the first header is written, which is after the look at the file and before its content is read.
    struct Interrupted<F> {
        written: Vec<u8>,
        meanwhile: F,
    }

    impl<F: Fn()> Write for Interrupted<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.written.is_empty() {
                (self.meanwhile)();
            }
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What an archive of the file `f` of a directory says is in it.
    fn packed(directory: &Path, meanwhile: impl Fn()) -> Result<Vec<u8>, PathError> {
        let root = File::open(directory).unwrap();
        let ids = IdMappings::default();
        let source = LayerSource { root: root.as_fd(), attributes: OverlayAttributes::User, ids: &ids };
        let changes = [Change { path: "f".into(), kind: ChangeKind::Added }];
        let mut writer = Interrupted { written: Vec::new(), meanwhile };
        pack(&source, &changes, &mut writer)?;
        let mut content = Vec::new();
        let mut archive = tar::Archive::new(&*writer.written);
        let mut entries = archive.entries().unwrap();
        entries.next().unwrap().unwrap().read_to_end(&mut content).unwrap();
        assert!(entries.next().is_none());
        Ok(content)
    }

    #[test]
    fn a_file_that_changes_its_length_is_packed_with_the_first_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        let becomes = |length| {
            fs::write(&file, [7; 5000]).unwrap();
            packed(directory.path(), || File::options().write(true).open(&file).unwrap().set_len(length).unwrap())
        };
        assert_eq!(becomes(10_000).unwrap(), [7; 5000]);
        let shorter = becomes(4999).unwrap_err().to_string();
        assert!(shorter.contains("it became shorter"), "{shorter}");
    }

    /// While a container exchanges a file for a link to one of the machine, over and over, either the file is packed or the
    /// link.
    #[test]
    fn what_a_file_is_exchanged_for_is_not_read_in_its_place() {
        let scene = tempfile::tempdir().unwrap();
        let (root, secret) = (scene.path().join("root"), scene.path().join("secret"));
        fs::create_dir(&root).unwrap();
        fs::write(&secret, "secret").unwrap();
        fs::write(root.join("f"), "inside").unwrap();
        symlink(&secret, root.join("other")).unwrap();
        let (is_over, exchanges) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    renameat_with(CWD, root.join("f"), CWD, root.join("other"), RenameFlags::EXCHANGE).unwrap();
                    exchanges.fetch_add(1, Ordering::Relaxed);
                }
            });
            let has_more = |number: usize| number < 2000 || exchanges.load(Ordering::Relaxed) < 2000;
            let packed: Vec<_> = (0..).take_while(|number| has_more(*number)).map(|_| packed(&root, || ())).collect();
            is_over.store(true, Ordering::Relaxed);
            for content in packed {
                let content = content.unwrap();
                assert!(content == b"inside" || content.is_empty(), "{}", String::from_utf8_lossy(&content));
            }
        });
    }

    #[test]
    fn times_before_1970_count_from_the_second_before() {
        for (seconds, nanoseconds, expected) in [
            (0, 0, "0"),
            (1_700_000_000, 123_456_789, "1700000000.123456789"),
            (9_000_000_000, 0, "9000000000"),
            (0, 1, "0.000000001"),
            (-1, 0, "-1"),
            (-1, 999_999_999, "-0.000000001"),
            (-2, 750_000_000, "-1.250000000"),
            (-315_619_200, 0, "-315619200"),
            (i64::MIN, 0, "-9223372036854775808"),
            (i64::MIN, 1, "-9223372036854775807.999999999"),
        ] {
            assert_eq!(decimal_time(seconds, nanoseconds), expected);
        }
    }
}
