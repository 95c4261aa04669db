//! Tar archives that hold an image rather than a root filesystem: what docker save, podman save and skopeo copy write.
//!
//! The archive stays where it is. One pass notes where its members begin; they are read from there when they are wanted.
//!
//! Of a compressed archive, that pass keeps the small members, and the first layer that is wanted has all of it decompressed
//! into a file without a name in the store. Where that would take much of the room that there is, or cannot be had, the
//! archive is decompressed anew, up to the member, for each of them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::docker_archive;
use crate::archive::{Archive, ArchiveError, Decoder, EntryKind, WithinRatio};
use crate::limits::{Limits, MANIFEST, check_manifest};
use crate::sys::files;
use crate::sys::interrupt::Interruptible;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::space::space_of;

/// Most members of an image archive; images have at most a few hundred layers.
const MEMBERS: usize = 1 << 16;
/// Members that no image archive of a known tool has, before it is taken for something else.
const STRANGERS: usize = 8;
/// Most links from one member to the next.
const LINKS: usize = 8;
/// Bytes of members of a compressed archive that are kept in memory: of one, and of all.
const SMALL: u64 = 64 << 10;
const KEPT: u64 = 2 << 20;
/// The part of the free space that a decompressed archive may take: its layers are to be unpacked beside it.
const SCRATCH_PART: u64 = 8;

/// The members of an archive, by their paths.
#[derive(Debug)]
pub(super) struct ImageArchive {
    path: PathBuf,
    file: Arc<File>,
    is_compressed: bool,
    takes_much_memory: bool,
    members: HashMap<PathBuf, Member>,
    /// Where the last member ends in the uncompressed archive.
    end: u64,
    /// Most bytes to decompress it to.
    most: u64,
    /// Bytes of all members that are kept.
    kept: u64,
    scratch: OnceLock<PathBuf>,
    unpacked: OnceLock<Option<Arc<File>>>,
}

#[derive(Debug)]
enum Member {
    File(FileMember),
    Link(PathBuf),
}

#[derive(Debug)]
struct FileMember {
    /// Where it begins in the uncompressed archive.
    offset: u64,
    size: u64,
    /// Of one that is kept.
    content: Option<Arc<[u8]>>,
}

/// What a local file is.
pub(super) enum Content {
    /// The image of a docker-archive.
    Docker(ImageArchive),
    /// An OCI layout.
    Oci(ImageArchive),
    /// What Docker saved before 1.10: a directory a layer, and nothing that says which are on top of which.
    OldDocker,
    /// A root filesystem, as far as the beginning tells.
    Tar,
}

impl ImageArchive {
    /// Looks at the beginning of a file, and at all of it if that is how images begin.
    ///
    /// # Errors
    /// The file is no tar archive, or one without entries.
    pub(super) fn recognise(path: &Path, file: File, limits: &Limits) -> Result<Content, ArchiveError> {
        let (archive, is_whole) = Self::index(path, file, limits, STRANGERS)?;
        if !is_whole {
            return Ok(Content::Tar);
        }
        if let Ok(manifest) = archive.read_document(docker_archive::MANIFEST, MANIFEST)
            && docker_archive::is_manifest(&manifest)
        {
            return Ok(Content::Docker(archive));
        }
        let is_there = |name: &str| archive.find(name).is_some();
        if is_there("index.json") && is_there("oci-layout") {
            return Ok(Content::Oci(archive));
        }
        let is_old = is_there("repositories")
            && !is_there(docker_archive::MANIFEST)
            && archive.members.keys().any(|name| name.ends_with("layer.tar"));
        Ok(if is_old { Content::OldDocker } else { Content::Tar })
    }

    /// Reads which members a file has that is said to be an image archive.
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self, PathError> {
        if !std::fs::metadata(path).on("stat", path)?.is_file() {
            let reason = "an image archive is read more than once, so it has to be a file";
            return Err(PathError::new("open", path, io::Error::other(reason)));
        }
        let file = File::open(path).on("open", path)?;
        let (archive, _) = Self::index(path, file, limits, usize::MAX).map_err(io::Error::other).on("read", path)?;
        Ok(archive)
    }

    /// Also tells whether there were no more than so many members that an image has no use for.
    fn index(path: &Path, file: File, limits: &Limits, strangers: usize) -> Result<(Self, bool), ArchiveError> {
        let file = Arc::new(file);
        let decoder = Decoder::new(BufReader::new(&*file)).map_err(ArchiveError::Stream)?;
        let is_compressed = !decoder.is_plain();
        let mut archive = ImageArchive {
            path: path.to_owned(),
            file: Arc::clone(&file),
            is_compressed,
            takes_much_memory: decoder.keeps_much(),
            members: HashMap::new(),
            end: 0,
            most: limits.unpacked_bytes.unwrap_or(u64::MAX),
            kept: 0,
            scratch: OnceLock::new(),
            unpacked: OnceLock::new(),
        };
        let is_image = if is_compressed {
            let packed = file.metadata().map_err(ArchiveError::Stream)?.len();
            let unpacked = WithinRatio::new(decoder, |unpacked| limits.check_archive_ratio(packed, unpacked));
            let stream = Counted::new(BufReader::new(unpacked));
            archive.collect(Archive::new(stream, limits.clone()), strangers, |_| Ok(()))?
        } else {
            drop(decoder);
            (&*file).seek(SeekFrom::Start(0)).map_err(ArchiveError::Stream)?;
            let stream = Counted::new(BufReader::new(&*file));
            archive.collect(Archive::new(stream, limits.clone()), strangers, Archive::seek_past_body)?
        };
        Ok((archive, is_image))
    }

    fn collect<R: BufRead>(
        &mut self,
        mut archive: Archive<Counted<R>>,
        mut strangers: usize,
        skip: impl Fn(&mut Archive<Counted<R>>) -> Result<(), ArchiveError>,
    ) -> Result<bool, ArchiveError> {
        while let Some(entry) = archive.next_entry()? {
            let name = clean(Path::new(std::ffi::OsStr::from_bytes(&entry.name)));
            let link = Path::new(std::ffi::OsStr::from_bytes(&entry.link));
            if !is_of_an_image(&name, entry.kind == EntryKind::Directory) {
                // A directory of some other name is one of a root filesystem, or of an application.
                if entry.kind == EntryKind::Directory && strangers != usize::MAX || strangers == 0 {
                    return Ok(false);
                }
                strangers -= 1;
            }
            let member = match entry.kind {
                EntryKind::Regular => {
                    let (offset, size) = (archive.stream().position, entry.size);
                    self.end = self.end.max(offset.saturating_add(size));
                    Some(Member::File(FileMember { offset, size, content: self.keep(size, &mut archive)? }))
                }
                EntryKind::HardLink => Some(Member::Link(clean(link))),
                EntryKind::Symlink => Some(Member::Link(clean(&name.parent().unwrap_or(Path::new("")).join(link)))),
                _ => None,
            };
            if self.members.len() == MEMBERS {
                return Ok(false);
            }
            self.members.extend(member.map(|member| (name, member)));
            skip(&mut archive)?;
        }
        if archive.is_empty() {
            archive.drain()?;
            return Err(ArchiveError::Empty);
        }
        Ok(true)
    }

    /// Reads a member that is worth to be kept.
    fn keep<R: BufRead>(
        &mut self,
        size: u64,
        archive: &mut Archive<Counted<R>>,
    ) -> Result<Option<Arc<[u8]>>, ArchiveError> {
        if !self.is_compressed || size > SMALL || self.kept + size > KEPT {
            return Ok(None);
        }
        self.kept += size;
        let mut content = Vec::new();
        archive.read_body(size, |piece| {
            content.extend_from_slice(piece);
            Ok::<_, ArchiveError>(())
        })?;
        Ok(Some(content.into()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Has layers decompressed into a file in `directory`.
    pub(super) fn use_scratch(&self, directory: &Path) {
        let _ = self.scratch.set(directory.to_owned());
    }

    /// Whether each member that is open keeps much of the archive in memory.
    pub(super) fn takes_much_memory(&self) -> bool {
        self.takes_much_memory
    }

    fn find(&self, name: impl AsRef<Path>) -> Option<&FileMember> {
        let mut name = clean(name.as_ref());
        for _ in 0..LINKS {
            match self.members.get(&name)? {
                Member::File(file) => return Some(file),
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }

    /// The size of a member.
    pub(super) fn size(&self, name: impl AsRef<Path>) -> Option<u64> {
        self.find(name).map(|file| file.size)
    }

    /// Reads a manifest, index or configuration of so many bytes at most.
    pub(super) fn read_document(&self, name: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, PathError> {
        let name = name.as_ref();
        let in_archive = self.path.join(name);
        let size = self.size(name).unwrap_or_default();
        check_manifest(limit, size).map_err(io::Error::from).on("read", &in_archive)?;
        let mut bytes = Vec::new();
        self.open_member(name)?.read_to_end(&mut bytes).on("read", in_archive)?;
        Ok(bytes)
    }

    pub(super) fn open_member(&self, name: impl AsRef<Path>) -> Result<Box<dyn Read + Send>, PathError> {
        let in_archive = self.path.join(name.as_ref());
        let missing = || PathError::new("open", &in_archive, io::Error::from_raw_os_error(libc::ENOENT));
        let FileMember { offset, size, ref content } = *self.find(name).ok_or_else(missing)?;
        if let Some(content) = content {
            return Ok(Box::new(io::Cursor::new(Arc::clone(content))));
        }
        if !self.is_compressed {
            return Ok(Box::new(Section { file: Arc::clone(&self.file), offset, left: size }));
        }
        if let Some(file) = self.unpacked() {
            return Ok(Box::new(Section { file: Arc::clone(file), offset, left: size }));
        }
        let mut stream = Interruptible(self.decoder().on("read", &in_archive)?);
        io::copy(&mut stream.by_ref().take(offset), &mut io::sink()).on("read", &in_archive)?;
        Ok(Box::new(stream.take(size)))
    }

    fn decoder(&self) -> io::Result<Decoder<'static, impl BufRead + use<>>> {
        Decoder::new(BufReader::new(Section { file: Arc::clone(&self.file), offset: 0, left: u64::MAX }))
    }

    /// The decompressed archive, made by who asks first, while others wait.
    fn unpacked(&self) -> Option<&Arc<File>> {
        let unpacked = self.unpacked.get_or_init(|| {
            let unpacked = self.scratch.get().map(|directory| self.unpack(directory)).transpose();
            unpacked.map(Option::flatten).unwrap_or_else(|error| {
                tracing::info!(%error, "archive-is-decompressed-for-each-layer");
                None
            })
        });
        unpacked.as_ref()
    }

    fn unpack(&self, directory: &Path) -> Result<Option<Arc<File>>, PathError> {
        if self.end > self.most.min(space_of(directory)?.available / SCRATCH_PART) {
            return Ok(None);
        }
        let mut file = files::create_nameless(directory)?;
        let mut stream = Interruptible(self.decoder().on("read", &self.path)?).take(self.end);
        if io::copy(&mut stream, &mut file).on("read", &self.path)? != self.end {
            return Err(PathError::new("read", &self.path, io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        Ok(Some(Arc::new(file)))
    }
}

/// A path in an archive: relative, without `.` and `..`.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// Whether archives of images have members like this one.
fn is_of_an_image(name: &Path, is_directory: bool) -> bool {
    let Some(first) = name.components().next() else { return true };
    let Some(first) = first.as_os_str().to_str() else { return false };
    let is_alone = name.components().count() == 1;
    let stem = first.strip_prefix("sha256:").unwrap_or(first).split('.').next().unwrap_or_default();
    let is_digest = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    match first {
        "blobs" => true,
        "manifest.json" | "index.json" | "oci-layout" | "repositories" | "config.json" | "version" => {
            is_alone && !is_directory
        }
        _ => is_digest,
    }
}

/// A part of a file, read without moving its position.
struct Section {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = std::os::unix::fs::FileExt::read_at(&*self.file, &mut buffer[..wanted], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// A stream that knows how far it has been read.
struct Counted<R> {
    stream: R,
    position: u64,
}

impl<R> Counted<R> {
    fn new(stream: R) -> Self {
        Counted { stream, position: 0 }
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.stream.consume(count);
        self.position += count as u64;
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.stream.seek(to)?;
        Ok(self.position)
    }

    fn seek_relative(&mut self, by: i64) -> io::Result<()> {
        self.stream.seek_relative(by)?;
        self.position = self.position.saturating_add_signed(by);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_images_and_of_root_filesystems() {
        let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for (name, is_image) in [
            ("", true),
            ("manifest.json", true),
            ("blobs/sha256/x", true),
            (&format!("{digest}/layer.tar"), true),
            (&format!("{digest}.tar.gz"), true),
            (&format!("sha256:{digest}"), true),
            (&format!("{digest}.json"), true),
            ("repositories", true),
            ("bin", false),
            ("index.json/x", false),
            ("etc/passwd", false),
            ("deadbeef.json", false),
        ] {
            assert_eq!(is_of_an_image(Path::new(name), false), is_image, "{name}");
        }
        assert!(!is_of_an_image(Path::new("version"), true));
    }
}
