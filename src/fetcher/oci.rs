//! An OCI image layout (OCI image-layout specification), in a directory or in a tar archive, and what skopeo's `dir:`
//! makes of one. They are read leniently: no `oci-layout` file is asked for, sizes may be missing, blobs may be symbolic
//! links.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::docker_archive::listed;
use super::http::{Reach, Zone};
use super::image_archive::ImageArchive;
use super::metadata::{self, INDEX_DEPTH, choose_by_platform, parse};
use super::remote::{self, RemoteError, RemoteLayers};
use super::{Error, Options};
use crate::image::{Descriptor, Image, Layer, ManifestOrIndex, REFERENCE_NAME_ANNOTATION};
use crate::limits::check_manifest;
use crate::sys::files;
use crate::sys::path_error::{OnPath, PathError};

/// Annotation of an index entry with the whole name of the image, from containerd.
const CONTAINERD_NAME_ANNOTATION: &str = "io.containerd.image.name";
/// Whoever puts a layout on this machine may keep its layers on a server of this machine, but not among the secrets of
/// its cloud.
const REACH: Reach = Reach::NetworkAnd(Zone::Loopback);

/// A layout directory and the image asked for in it.
#[derive(Debug)]
pub(super) struct OciLayout {
    files: Files,
    name: Option<String>,
    verify: bool,
    offline: bool,
    /// Bytes that a manifest, index or configuration may have.
    document_limit: u64,
    remote: RemoteLayers,
}

/// Where the files of a layout are.
#[derive(Debug)]
pub(super) enum Files {
    /// `index.json` and `blobs/` in a directory.
    Directory(PathBuf),
    /// The same in an archive.
    Archive(ImageArchive),
    /// Skopeo's `dir:`: `manifest.json`, and each blob under the hex digits of its digest.
    Flat(PathBuf),
}

impl Files {
    fn path(&self) -> &Path {
        match self {
            Files::Directory(path) | Files::Flat(path) => path,
            Files::Archive(archive) => archive.path(),
        }
    }

    /// The document that leads to all others.
    fn index(&self) -> &'static str {
        if matches!(self, Files::Flat(_)) { "manifest.json" } else { "index.json" }
    }

    /// Parts of a digest must be plain names, or it could lead out of the layout.
    fn blob(&self, digest: &str) -> Option<PathBuf> {
        let is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+'))
        };
        let (algorithm, hex) =
            digest.split_once(':').filter(|(algorithm, hex)| is_plain(algorithm) && is_plain(hex))?;
        Some(match self {
            Files::Flat(_) => PathBuf::from(hex),
            Files::Directory(_) | Files::Archive(_) => Path::new("blobs").join(algorithm).join(hex),
        })
    }

    fn read(&self, name: &Path, limit: u64) -> Result<Vec<u8>, PathError> {
        match self {
            Files::Directory(path) => read_document(&path.join(name), limit),
            // The manifests of an index have a suffix.
            Files::Flat(path) => read_document(&path.join(name), limit).or_else(|error| {
                read_document(&path.join(format!("{}.manifest.json", name.display())), limit).map_err(|_| error)
            }),
            Files::Archive(archive) => archive.read_document(name, limit),
        }
    }

    fn open(&self, name: &Path) -> Result<Box<dyn Read + Send>, PathError> {
        match self {
            Files::Directory(path) | Files::Flat(path) => Ok(Box::new(open_blob(&path.join(name))?)),
            Files::Archive(archive) => archive.open_member(name),
        }
    }
}

impl OciLayout {
    /// Names the image; nothing is opened yet.
    pub(super) fn new(files: Files, name: Option<&str>, options: &Options) -> Self {
        OciLayout {
            files,
            name: name.map(str::to_owned),
            verify: !options.skip_validation,
            offline: options.offline,
            document_limit: options.transfer_limits.manifest_bytes,
            remote: RemoteLayers::new(options.certificates.as_deref(), options),
        }
    }

    /// Walks from the index over the manifest to the configuration.
    pub(super) fn image(&self) -> Result<Image, Error> {
        let (digest, config, layers) = self.manifest()?;
        let config = self.document(&config).map_err(|error| match error {
            Error::ManifestOrIndex(error) => Error::BadConfig(error.to_string()),
            Error::BadManifest(name, reason) => Error::BadConfig(format!("{name}: {reason}")),
            other => other,
        })?;
        Ok(Image { manifest_digest: Some(digest), ..metadata::image(&config, layers)? })
    }

    /// See [`ImageArchive::takes_much_memory`].
    pub(super) fn takes_much_memory(&self) -> bool {
        matches!(&self.files, Files::Archive(archive) if archive.takes_much_memory())
    }

    /// See [`ImageArchive::use_scratch`].
    pub(super) fn use_scratch(&self, directory: &Path) {
        if let Files::Archive(archive) = &self.files {
            archive.use_scratch(directory);
        }
    }

    /// Opens a layer: at the URLs that its descriptor names, if there are any, else its blob in the layout. Reading from
    /// a URL ends with an error soon after `cancel` is set.
    pub(super) fn open<'a>(&self, layer: &Layer, cancel: &'a AtomicBool) -> Result<Box<dyn Read + Send + 'a>, Error> {
        let urls = remote::supported(layer);
        if !urls.is_empty() {
            let opened =
                if self.offline { Err(RemoteError::Offline) } else { self.remote.open(urls, REACH, layer, cancel) };
            return opened.map_err(|error| Error::RemoteLayer(layer.blob_id.clone(), error));
        }
        let file = self.blob(&layer.blob_id).map(|path| self.files.open(&path))?;
        file.map_err(|error| Error::Blob(layer.blob_id.clone(), error))
    }

    /// The manifest's digest, its configuration and its layers.
    fn manifest(&self) -> Result<(String, Descriptor, Vec<Descriptor>), Error> {
        let index_path = self.files.path().join(self.files.index());
        let index =
            self.files.read(Path::new(self.files.index()), self.document_limit).map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => self.no_such_source(),
                _ => Error::ManifestOrIndex(e),
            })?;
        let mut document = parse(&index, &index_path.display().to_string())?;
        let mut digest = metadata::digest(&index);
        for depth in 0..=INDEX_DEPTH {
            let descriptor = match document {
                ManifestOrIndex::Manifest { config, layers } => return Ok((digest, config, layers)),
                ManifestOrIndex::Index(entries) if depth == 0 => self.choose_by_name(entries)?,
                ManifestOrIndex::Index(entries) => choose_by_platform(entries)?,
            };
            let bytes = self.document(&descriptor)?;
            document = parse(&bytes, &descriptor.digest)?;
            digest = metadata::digest(&bytes);
        }
        Err(Error::BadManifest(index_path.display().to_string(), "indexes nest too deeply".into()))
    }

    /// `oci://` takes all paths for absolute ones, so one that is there is hinted at.
    fn no_such_source(&self) -> Error {
        let relative = self.files.path().strip_prefix("/").unwrap_or(Path::new(""));
        if matches!(self.files, Files::Directory(_)) && relative.join("index.json").exists() {
            return Error::RelativeLayout(self.files.path().to_owned(), relative.to_owned());
        }
        Error::NoSuchSource
    }

    /// The index of a layout tells its images apart by name; one image needs none.
    fn choose_by_name(&self, entries: Vec<Descriptor>) -> Result<Descriptor, Error> {
        let names = |entries: &[Descriptor]| {
            let names: Vec<String> = entries.iter().filter_map(reference_name).map(str::to_owned).collect();
            listed(&names)
        };
        match &self.name {
            Some(name) => {
                let has_name = |entry: &Descriptor| {
                    reference_name(entry) == Some(name.as_str()) || full_name(entry) == Some(name.as_str())
                };
                let (named, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(has_name);
                match named.len() {
                    0 => Err(Error::NoSuchName(name.clone(), names(&others))),
                    1 => one(named),
                    _ => choose_by_platform(named),
                }
            }
            None if entries.len() == 1 => one(entries),
            // The manifest of skopeo's directory is an image for several platforms.
            None if matches!(self.files, Files::Flat(_)) => choose_by_platform(entries),
            None => Err(Error::Ambiguous { count: entries.len(), names: names(&entries) }),
        }
    }

    /// A small document by its digest.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        descriptor.check().map_err(|reason| Error::BadManifest(descriptor.digest.clone(), reason))?;
        metadata::check_algorithm(&descriptor.digest)?;
        let bytes =
            self.files.read(&self.blob(&descriptor.digest)?, self.document_limit).map_err(Error::ManifestOrIndex)?;
        if self.verify {
            metadata::check_digest(&bytes, &descriptor.digest)?;
        }
        Ok(bytes)
    }

    fn blob(&self, digest: &str) -> Result<PathBuf, Error> {
        let invalid =
            || Error::BadManifest(self.files.path().display().to_string(), format!("invalid digest `{digest}`"));
        self.files.blob(digest).ok_or_else(invalid)
    }
}

fn reference_name(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REFERENCE_NAME_ANNOTATION).map(String::as_str)
}

/// The name with the repository that newer Dockers write beside the tag.
fn full_name(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(CONTAINERD_NAME_ANNOTATION).map(String::as_str)
}

fn one(entries: Vec<Descriptor>) -> Result<Descriptor, Error> {
    entries.into_iter().next().ok_or(Error::NoSuchSource)
}

fn read_document(path: &Path, limit: u64) -> Result<Vec<u8>, PathError> {
    // A FIFO that nobody writes to must not stall the look at what it is.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).on("open", path)?;
    let metadata = file.metadata().on("stat", path)?;
    if !metadata.is_file() {
        return Err(PathError::new("read", path, std::io::Error::other("not a regular file")));
    }
    let length = metadata.len().min(limit);
    let bytes = files::read_whole(file.take(limit.saturating_add(1)), length).on("read", path)?;
    check_manifest(limit, bytes.len() as u64).map_err(std::io::Error::from).on("read", path)?;
    Ok(bytes)
}

/// Blobs may be links, and a link may lead to a device: reading one may never end, and even opening it may do things.
fn open_blob(path: &Path) -> Result<File, PathError> {
    let kind = fs::metadata(path).on("open", path)?.file_type();
    if kind.is_char_device() || kind.is_block_device() {
        return Err(PathError::new("open", path, std::io::Error::other("it is a device, not a blob")));
    }
    File::open(path).on("open", path)
}
