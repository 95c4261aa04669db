//! Archives made by hand, volumes to unpack them into, and what must come of it.

mod entries;
mod hostile;
mod model;
mod other_readers;
mod parents;
mod removal;
mod sparse;
mod stream;
mod whiteouts;

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};
use tar::Header;
use tempfile::TempDir;

use grootfs::idmap::IdMappings;
use grootfs::limits::{Limits, Usage};
use grootfs::unpacker::{
    Error, Expected, Layer, LeftOut, OwnMemory, Privileged, UnpackFailure, Unpacked, WhiteoutFormat, unpack,
};

/// Modification time of all entries that do not ask for another, in seconds.
const MTIME: i64 = 1_500_000_000;

/// An archive in the making.
#[derive(Default, Clone)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

/// The fields of an entry that tests change.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    name: &'a [u8],
    kind: u8,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
    link: &'a [u8],
    content: &'a [u8],
}

impl Default for Fields<'_> {
    fn default() -> Self {
        let mtime = MTIME.unsigned_abs();
        Self { name: b"", kind: b'0', mode: 0o644, uid: 0, gid: 0, mtime, link: b"", content: b"" }
    }
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.add(&Fields { name: name.as_bytes(), content: content.as_bytes(), ..Fields::default() })
    }

    pub(crate) fn directory(self, name: &str, mode: u32) -> Self {
        self.add(&Fields { name: name.as_bytes(), kind: b'5', mode, ..Fields::default() })
    }

    pub(crate) fn symlink(self, name: &str, text: &str) -> Self {
        let link = text.as_bytes();
        self.add(&Fields { name: name.as_bytes(), kind: b'2', mode: 0o777, link, ..Fields::default() })
    }

    pub(crate) fn hard_link(self, name: &str, old: &str) -> Self {
        self.add(&Fields { name: name.as_bytes(), kind: b'1', link: old.as_bytes(), ..Fields::default() })
    }

    /// An entry; names that are too long for a header go into GNU extension headers.
    pub(crate) fn add(mut self, fields: &Fields<'_>) -> Self {
        let mut header = Header::new_gnu();
        for (long, kind, max) in [(fields.name, b'L', 100), (fields.link, b'K', 100)] {
            if long.len() > max {
                self = self.add(&Fields { name: b"././@LongLink", kind, content: long, ..Fields::default() });
            }
        }
        let old = header.as_old_mut();
        let (name, link) = (&fields.name[..fields.name.len().min(100)], &fields.link[..fields.link.len().min(100)]);
        old.name[..name.len()].copy_from_slice(name);
        old.linkname[..link.len()].copy_from_slice(link);
        header.as_old_mut().linkflag = [fields.kind];
        header.set_mode(fields.mode);
        header.set_uid(fields.uid);
        header.set_gid(fields.gid);
        header.set_mtime(fields.mtime);
        header.set_size(fields.content.len() as u64);
        self.raw(&mut header, fields.content)
    }

    /// A header as it is, but for its checksum, and whatever follows it, padded.
    pub(crate) fn raw(mut self, header: &mut Header, content: &[u8]) -> Self {
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// An extended header for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.pax_kind(b'x', records)
    }

    pub(crate) fn pax_kind(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..).map(|digits| rest + digits).find(|sum| sum.to_string().len() + rest == *sum);
            content.extend_from_slice(format!("{} {key}=", length.unwrap()).as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.add(&Fields { name: b"PaxHeaders/x", kind, content: &content, ..Fields::default() })
    }

    /// The whole archive with its end marker.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

/// A directory to unpack into, in a directory of its own that must not change otherwise.
pub(crate) struct Volume {
    around: TempDir,
    root: File,
}

impl Volume {
    pub(crate) fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        fs::create_dir(around.path().join("volume")).unwrap();
        let root = File::open(around.path().join("volume")).unwrap();
        Self { around, root }
    }

    /// A finished volume of one layer on top of `parents`.
    pub(crate) fn of(tar: Tar, parents: &[&Volume]) -> Self {
        let volume = Self::new();
        volume.finish(tar, parents).unwrap();
        volume
    }

    pub(crate) fn unpack(&self, tar: Tar) -> Result<Unpacked, Error> {
        self.unpack_stream(&tar.end(), &layer())
    }

    pub(crate) fn unpack_stream(&self, bytes: &[u8], layer: &Layer<'_>) -> Result<Unpacked, Error> {
        self.unpack_source(bytes, layer)
    }

    pub(crate) fn unpack_source(&self, source: impl Read + Send, layer: &Layer<'_>) -> Result<Unpacked, Error> {
        let result = unpack_into(self.fd(), source, layer);
        let around = fs::read_dir(self.around.path()).unwrap().count();
        assert_eq!(around, 1, "something was made outside of the volume");
        result
    }

    pub(crate) fn finish(&self, tar: Tar, parents: &[&Volume]) -> Result<u64, Error> {
        let parents: Vec<BorrowedFd<'_>> = parents.iter().map(|parent| parent.fd()).collect();
        Ok(self.unpack(tar)?.finish(self.fd(), &parents, &LeftOut::default())?.size)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.around.path().join("volume").join(name)
    }

    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.around.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn stat(&self, name: &str) -> fs::Metadata {
        fs::symlink_metadata(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        self.stat(name).mode() & 0o7777
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    pub(crate) fn is_whiteout(&self, name: &str) -> bool {
        let stat = self.stat(name);
        stat.file_type().is_char_device() && stat.rdev() == 0
    }

    pub(crate) fn is_opaque(&self, name: &str) -> bool {
        self.xattr(name, "trusted.overlay.opaque").as_deref() == Some(b"y")
    }

    pub(crate) fn xattr(&self, name: &str, attribute: &str) -> Option<Vec<u8>> {
        xattr_of(&self.path(name), attribute)
    }

    pub(crate) fn access_acl(&self, name: &str) -> Option<Vec<u8>> {
        self.xattr(name, "system.posix_acl_access")
    }

    pub(crate) fn default_acl(&self, name: &str) -> Option<Vec<u8>> {
        self.xattr(name, "system.posix_acl_default")
    }

    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Unpacks into a directory that is there.
pub(crate) fn unpack_into(
    directory: BorrowedFd<'_>,
    source: impl Read + Send,
    layer: &Layer<'_>,
) -> Result<Unpacked, Error> {
    let open = || Ok::<_, Infallible>(directory.try_clone_to_owned().unwrap());
    unpack(source, open, layer).map_err(|failure| match failure {
        UnpackFailure::Volume(never) => match never {},
        UnpackFailure::Layer(error) => error,
    })
}

static USAGE: std::sync::LazyLock<Usage> = std::sync::LazyLock::new(|| Usage::new(&Limits::default()));
static NOT_CANCELLED: AtomicBool = AtomicBool::new(false);

/// A layer that nothing special is known of.
pub(crate) fn layer() -> Layer<'static> {
    static IDENTITY: std::sync::LazyLock<IdMappings> = std::sync::LazyLock::new(IdMappings::identity);
    Layer {
        expected: Expected::default(),
        is_unnamed: false,
        base_directory: None,
        whiteouts: WhiteoutFormat::Overlay,
        fingerprints: true,
        read_ahead: 0,
        ids: &IDENTITY,
        privileged: Privileged::All,
        budget: None,
        usage: &USAGE,
        room: None,
        cancel: &NOT_CANCELLED,
        inode_budget: None,
        decoder_memory: &OwnMemory,
    }
}

/// A layer for a volume that has all that its parent has.
pub(crate) fn removal() -> Layer<'static> {
    Layer { whiteouts: WhiteoutFormat::Removal, ..layer() }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xattr_of(path: &Path, attribute: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = rustix::fs::lgetxattr(path, attribute, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

type Acl = [u8; 44];
/// user::rwx, user:1234:rwx, group::r-x, mask::rwx, other::r-x
const DEFAULT_ACL: Acl = acl([7, 7, 5, 7, 5]);

/// An access control list with an entry for user 1234, in order of <linux/posix_acl_xattr.h>.
const fn acl(permissions: [u8; 5]) -> Acl {
    let [user, named, group, mask, other] = permissions;
    let id = 1234_u32.to_le_bytes();
    let (none, [id0, id1, id2, id3]) = (0xff, id);
    [
        2, 0, 0, 0, // the version
        0x01, 0, user, 0, none, none, none, none, //
        0x02, 0, named, 0, id0, id1, id2, id3, //
        0x04, 0, group, 0, none, none, none, none, //
        0x10, 0, mask, 0, none, none, none, none, //
        0x20, 0, other, 0, none, none, none, none,
    ]
}

/// Has a directory hand down group 77 and permissions.
fn hand_down(directory: &Path) {
    std::os::unix::fs::chown(directory, None, Some(77)).unwrap();
    fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o2755)).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(directory, "system.posix_acl_default", &DEFAULT_ACL, flags).unwrap();
}

fn set_times(path: &Path, mtime: i64) {
    let time = rustix::fs::Timespec { tv_sec: mtime, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn text(result: Result<impl Sized, Error>) -> String {
    match result {
        Ok(_) => panic!("this must fail"),
        Err(error) => error.to_string(),
    }
}

fn os(text: &str) -> &OsStr {
    OsStr::new(text)
}
