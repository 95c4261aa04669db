//! A local tar archive as an image of one layer.
//!
//! A file is known by its path and the time of its last change, as in the original, and told apart from another one at
//! the same path and of the same time by what the filesystem knows of it. What is no file – standard input, a FIFO – has
//! no name that it could be found by again: it is read once, and its layer belongs to one image.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Error;
use crate::image::{ChainId, FileIdentity, Image, Layer};
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::random::random_number;

/// A tar archive, or something that one can be read from.
#[derive(Debug)]
pub(super) struct TarFile {
    path: PathBuf,
}

impl TarFile {
    /// Names the archive; nothing is opened yet. `-` is standard input.
    pub(super) fn new(path: &Path) -> Self {
        TarFile { path: path.to_owned() }
    }

    /// An image of one layer.
    pub(super) fn image(&self) -> Result<Image, Error> {
        let metadata = self.metadata().map_err(Error::TimeStamp)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Err(Error::Directory);
        }
        if kind.is_char_device() || kind.is_block_device() {
            // Reading one may never end.
            let reason = io::Error::other("it is a device, not a tar file");
            return Err(Error::Blob(self.path.display().to_string(), PathError::new("open", &self.path, reason)));
        }
        let source = (kind.is_file() && self.is_named()).then(|| identity(&metadata));
        let layer = Layer {
            blob_id: self.path.display().to_string(),
            has_blob_digest: false,
            size: None,
            diff_id: None,
            chain_id: if source.is_some() { self.chain_id(&metadata) } else { self.chain_id_of_its_own()? },
            source,
            urls: Vec::new(),
            media_type: String::new(),
            is_foreign: false,
            base_directory: None,
        };
        Ok(Image { layers: vec![layer], ..Image::default() })
    }

    /// What can be read once gives what it has once.
    pub(super) fn is_repeatable(&self) -> bool {
        self.is_named() && fs::metadata(&self.path).is_ok_and(|metadata| metadata.is_file())
    }

    pub(super) fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send + 'static>, Error> {
        let failed = |error| Error::Blob(self.path.display().to_string(), error);
        let file = if self.is_standard_input() { standard_input() } else { File::open(&self.path) };
        let file = file.on("open", &self.path).map_err(failed)?;
        let Some(expected) = layer.source else { return Ok(Box::new(file)) };
        let unchanged = Unchanged { file, expected };
        unchanged.check().on("open", &self.path).map_err(failed)?;
        Ok(Box::new(unchanged))
    }

    fn metadata(&self) -> Result<Metadata, PathError> {
        let found = if self.is_standard_input() {
            standard_input().and_then(|file| file.metadata())
        } else {
            fs::metadata(&self.path)
        };
        found.on("stat", &self.path)
    }

    /// The path as given and the time of the last change: the name that the original gives the layer.
    fn chain_id(&self, metadata: &Metadata) -> ChainId {
        let nanoseconds = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        let mut name = self.path.as_os_str().as_encoded_bytes().to_vec();
        name.extend_from_slice(format!("-{nanoseconds}").as_bytes());
        ChainId::of_text(&name)
    }

    fn chain_id_of_its_own(&self) -> Result<ChainId, Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let number = random_number().map_err(Error::TimeStamp)?;
        Ok(ChainId::of_text(format!("stream {now} {number}").as_bytes()))
    }

    /// Whether the path means the same file to everybody. Those of descriptors mean something else in each process.
    fn is_named(&self) -> bool {
        let is_descriptor = ["/dev/stdin", "/dev/fd/", "/proc/"]
            .iter()
            .any(|start| self.path.as_os_str().as_encoded_bytes().starts_with(start.as_bytes()));
        !is_descriptor && self.path != Path::new("-")
    }

    /// A socket cannot be opened by its name, so the descriptor itself is used.
    fn is_standard_input(&self) -> bool {
        ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| self.path == Path::new(name))
    }
}

fn standard_input() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

fn identity(metadata: &Metadata) -> FileIdentity {
    FileIdentity { size: metadata.len(), inode: metadata.ino(), changed: (metadata.ctime(), metadata.ctime_nsec()) }
}

/// A file that must stay what it was when its layer got its name.
struct Unchanged {
    file: File,
    expected: FileIdentity,
}

impl Unchanged {
    fn check(&self) -> io::Result<()> {
        match identity(&self.file.metadata()?) == self.expected {
            true => Ok(()),
            false => Err(io::Error::other("it was changed meanwhile; create the image again")),
        }
    }
}

impl Read for Unchanged {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.check()?;
        }
        Ok(count)
    }
}
