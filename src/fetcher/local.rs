//! What a local path means. What is there decides, not what it is called.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

use super::docker_archive::{DockerArchive, configs};
use super::image_archive::{Content, ImageArchive};
use super::oci::{Files, OciLayout};
use super::tar_file::TarFile;
use super::{Error, Options, Source};
use crate::archive::ArchiveError;
use crate::sys::path_error::OnPath;

/// Manifests are a few kilobytes.
const DOCUMENT_LIMIT: u64 = 1 << 20;

/// The source for a path without a transport: an image that it holds, or the tar archive of a root filesystem.
pub(super) fn source(path: &Path, options: &Options) -> Result<Source, Error> {
    let tar = || Source::Tar(TarFile::new(path));
    let Ok(metadata) = fs::metadata(path) else { return Ok(tar()) };
    if metadata.is_dir() {
        return Ok(directory_of_image(path).map_or_else(tar, |files| oci(files, None, options)));
    }
    // Whatever else can be read once is not to be read here.
    if !metadata.is_file() {
        return Ok(tar());
    }
    let file = File::open(path).on("open", path);
    let file = file.map_err(|error| Error::Blob(path.display().to_string(), error))?;
    match ImageArchive::recognise(path, file, &options.limits) {
        Ok(Content::Docker(archive)) => Ok(Source::DockerArchive(DockerArchive::new(archive, None, options))),
        Ok(Content::OldDocker) => Err(Error::SavedByOldDocker(path.to_owned())),
        Ok(Content::Oci(archive)) => Ok(oci(Files::Archive(archive), None, options)),
        Err(error @ (ArchiveError::Foreign(_) | ArchiveError::Empty)) => {
            Err(Error::NotAnArchive(path.to_owned(), error))
        }
        // Any other error is met again where the archive is unpacked, if its layer is not there already.
        Ok(Content::Tar) | Err(_) => Ok(tar()),
    }
}

fn directory_of_image(path: &Path) -> Option<Files> {
    if path.join("index.json").is_file() && path.join("oci-layout").is_file() {
        return Some(Files::Directory(path.to_owned()));
    }
    let is_flat = path.join("manifest.json").is_file() && path.join("version").is_file();
    is_flat.then(|| Files::Flat(path.to_owned()))
}

/// The transport that reads an image whose files have been unpacked into `root`; `None` for a root filesystem.
///
/// An archive that comes through a pipe cannot be looked at beforehand.
pub fn transport_of_unpacked(root: BorrowedFd<'_>) -> Option<&'static str> {
    let document = |name: &str| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(root, name, flags, Mode::empty()).ok()?);
        let mut bytes = Vec::new();
        let is_file = file.metadata().ok()?.is_file();
        is_file.then(|| file.take(DOCUMENT_LIMIT).read_to_end(&mut bytes).ok()).flatten().map(|_| bytes)
    };
    let is_there = |name: &str| statat(root, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    let manifest = document("manifest.json").unwrap_or_default();
    if configs(&manifest).iter().any(|config| is_there(config)) {
        return Some("docker-archive");
    }
    let is_layout = document("oci-layout").is_some() && document("index.json").is_some() && is_there("blobs");
    is_layout.then_some("oci-archive")
}

/// The layout in a directory.
pub(super) fn layout(path: &Path, name: Option<&str>, options: &Options) -> Source {
    oci(Files::Directory(path.to_owned()), name, options)
}

/// What skopeo's `dir:` has written.
pub(super) fn directory(path: &Path, options: &Options) -> Source {
    oci(Files::Flat(path.to_owned()), None, options)
}

/// The layout in an archive.
pub(super) fn oci_archive(path: &Path, name: Option<&str>, options: &Options) -> Result<Source, Error> {
    let archive = ImageArchive::open(path, &options.limits).map_err(Error::ManifestOrIndex)?;
    Ok(oci(Files::Archive(archive), name, options))
}

/// The image in an archive of `docker save`.
pub(super) fn docker_archive(path: &Path, name: Option<&str>, options: &Options) -> Result<Source, Error> {
    let archive = ImageArchive::open(path, &options.limits).map_err(Error::ManifestOrIndex)?;
    Ok(Source::DockerArchive(DockerArchive::new(archive, name, options)))
}

fn oci(files: Files, name: Option<&str>, options: &Options) -> Source {
    Source::Oci(Box::new(OciLayout::new(files, name, options)))
}
