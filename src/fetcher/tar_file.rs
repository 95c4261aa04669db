//! A local tar archive as an image of one layer.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Error;
use crate::image::{ChainId, Image, Layer};
use crate::sys::path_error::{OnPath, PathError};

/// A tar archive, or a FIFO that one can be read from.
#[derive(Debug)]
pub(super) struct TarFile {
    path: PathBuf,
}

impl TarFile {
    /// Names the archive; nothing is opened yet.
    pub(super) fn new(path: &Path) -> Self {
        TarFile { path: path.to_owned() }
    }

    /// An image of one layer, told apart by the path as given and the time of the last change.
    pub(super) fn image(&self) -> Result<Image, Error> {
        let metadata = fs::metadata(&self.path).on("stat", &self.path).map_err(Error::TimeStamp)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Err(Error::Directory);
        }
        if kind.is_char_device() || kind.is_block_device() {
            // Reading one may never end.
            let reason = std::io::Error::other("it is a device, not a tar file");
            return Err(Error::Blob(self.path.display().to_string(), PathError::new("open", &self.path, reason)));
        }
        let nanoseconds = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        let mut identity = self.path.as_os_str().as_encoded_bytes().to_vec();
        identity.extend_from_slice(format!("-{nanoseconds}").as_bytes());
        let layer = Layer {
            blob_id: self.path.display().to_string(),
            size: None,
            diff_id: None,
            chain_id: ChainId::of_text(&identity),
            urls: Vec::new(),
            is_foreign: false,
            base_directory: None,
        };
        Ok(Image { layers: vec![layer], ..Image::default() })
    }

    /// A FIFO gives what it has once.
    pub(super) fn is_repeatable(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.is_file())
    }

    pub(super) fn open(&self) -> Result<Box<dyn Read + Send + 'static>, Error> {
        let file = File::open(&self.path)
            .on("open", &self.path)
            .map_err(|e| Error::Blob(self.path.display().to_string(), e))?;
        Ok(Box::new(file))
    }
}
