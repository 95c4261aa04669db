//! Where a commit writes its image: a layout, an archive of one, or a registry.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::MANIFEST;
use crate::export::{Blob, LayoutWriter};
use crate::fetcher::{Options, Push, PushError, Sent};
use crate::image::{DockerReference, Reference};
use crate::redact;
use crate::store::CommitError;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::scratch::Scratch;

/// The name of an image in a layout, where none is given.
const LATEST: &str = "latest";
/// Where what is sent is written first, if `TMPDIR` does not say: on many machines `/tmp` is memory.
const TEMPORARY: &str = "/var/tmp";
/// What the names of such directories begin with.
const SCRATCH: &str = ".layout-";

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Where an image is written to.
pub(super) enum Target {
    Layout { path: PathBuf, name: String },
    Archive { path: PathBuf, name: String },
    Registry { push: Box<Push>, reference: DockerReference },
}

/// An image in a layout, but for its name there.
pub(super) struct Written {
    /// Its blobs, without those that the target had before.
    pub(super) blobs: Vec<Blob>,
    pub(super) manifest: Blob,
    /// What the manifest says.
    pub(super) document: Value,
}

impl Target {
    /// Creates and sends nothing yet.
    pub(super) fn parse(destination: &str, options: &Options) -> Result<Self, CommitError> {
        let name = |name: Option<String>| match name.unwrap_or_else(|| LATEST.to_owned()) {
            name if is_reference_name(&name) => Ok(name),
            name => Err(CommitError::NotAName { name }),
        };
        let absolute = |path: PathBuf| std::path::absolute(&path).on("resolve", &path);
        match Reference::parse(destination) {
            Ok(Reference::Oci { layout, name: given }) => {
                Ok(Target::Layout { path: absolute(layout)?, name: name(given)? })
            }
            Ok(Reference::OciArchive { path, name: given }) => {
                Ok(Target::Archive { path: absolute(path)?, name: name(given)? })
            }
            Ok(Reference::Docker(reference)) => {
                let push = Box::new(Push::new(&reference, &redact::address(destination), options)?);
                Ok(Target::Registry { push, reference })
            }
            _ => Err(CommitError::NotATarget { destination: redact::address(destination).into_owned() }),
        }
    }

    /// How the image's base is to be read from `source`: what the user says of credentials is meant for the registry that
    /// is written to, and for the base's own registry if that is the same or nothing is written to one.
    pub(super) fn options_of_base(&self, source: &Reference, options: &Options) -> Options {
        let credentials = match self {
            Target::Registry { reference, .. } if !is_same_registry(reference, source) => None,
            _ => options.credentials.clone(),
        };
        Options { credentials, ..options.clone() }
    }

    /// Whether the target has a layer of the image at `source`, so that it need not be read.
    pub(super) fn has_layer(&self, digest: &str, size: u64, source: &Reference) -> Result<bool, PushError> {
        let Target::Registry { push, reference } = self else { return Ok(false) };
        let is_near = is_same_registry(reference, source);
        let from = docker(source).filter(|source| is_near && source.repository != reference.repository);
        push.has_blob(Sent { digest, size }, from.map(|source| source.repository.as_str()))
    }

    /// Has `work` write the image, and names it.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&LayoutWriter) -> Result<(Written, T), CommitError>,
    ) -> Result<(Written, T), CommitError> {
        match self {
            Target::Layout { path, name } => {
                let layout = LayoutWriter::open(path)?;
                let (written, with) = work(&layout)?;
                layout.name(name, written.manifest.descriptor(MANIFEST))?;
                Ok((written, with))
            }
            Target::Archive { path, name } => {
                let place = Place::at(path)?;
                let scratch = match &place {
                    Place::File(path) => Scratch::directory(path.parent().unwrap_or(Path::new("/")), SCRATCH)?,
                    Place::Stream => Scratch::directory(&temporary(), SCRATCH)?,
                };
                let layout = LayoutWriter::open(scratch.path())?;
                let (written, with) = work(&layout)?;
                layout.name(name, written.manifest.descriptor(MANIFEST))?;
                match &place {
                    Place::File(path) => layout.archive(path)?,
                    Place::Stream => layout.stream(path)?,
                }
                Ok((written, with))
            }
            Target::Registry { push, .. } => {
                let scratch = Scratch::directory(&temporary(), SCRATCH)?;
                let layout = LayoutWriter::open(scratch.path())?;
                let (written, with) = work(&layout)?;
                send(push, &layout, &written)?;
                Ok((written, with))
            }
        }
    }
}

/// What an archive is written to.
enum Place {
    /// A file, which is replaced when the archive is complete, or is not there yet. No link.
    File(PathBuf),
    /// What takes bytes as they come, and stays: a FIFO, a pipe, a terminal, `/dev/null`.
    Stream,
}

impl Place {
    fn at(path: &Path) -> Result<Self, PathError> {
        let refused = |what: &str| Err(PathError::new("write", path, io::Error::other(format!("it is {what}"))));
        let kind = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::File(end_of_links(path)?)),
            found => found.on("stat", path)?.file_type(),
        };
        match kind {
            kind if kind.is_fifo() || kind.is_char_device() => Ok(Place::Stream),
            kind if kind.is_dir() => refused("a directory: name a file in it"),
            kind if kind.is_block_device() => refused("a block device, which no archive is written to"),
            kind if kind.is_socket() => refused("a socket, which no archive is written to"),
            _ => Ok(Place::File(end_of_links(path)?)),
        }
    }
}

/// Where a path leads to whose last component may be a link, perhaps to what is not there.
fn end_of_links(path: &Path) -> Result<PathBuf, PathError> {
    let mut end = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&end) {
            Ok(target) => end = end.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return Ok(end),
        }
    }
    Err(PathError::new("open", path, io::Error::from(rustix::io::Errno::LOOP)))
}

/// Where what is written first goes that has no place of its own.
fn temporary() -> PathBuf {
    env::var_os("TMPDIR").filter(|path| !path.is_empty()).unwrap_or(TEMPORARY.into()).into()
}

/// Sends what is not there, and the manifest last, so that it names nothing that is missing.
fn send(push: &Push, layout: &LayoutWriter, written: &Written) -> Result<(), PushError> {
    for blob in &written.blobs {
        let sent = Sent { digest: &blob.digest, size: blob.size };
        if !push.has_blob(sent, None)? {
            push.blob(sent, &layout.path(blob))?;
        }
    }
    let Blob { digest, size } = &written.manifest;
    push.manifest(Sent { digest, size: *size }, MANIFEST, written.document.to_string().into_bytes())
}

/// Whether other tools read an image of a layout by this name (OCI image specification, `annotations.md`).
fn is_reference_name(name: &str) -> bool {
    let is_component = |component: &str| {
        let joined = component.replace("--", "-");
        joined
            .split(['-', '.', '_', ':', '@', '+'])
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    name.split('/').all(is_component)
}

fn docker(reference: &Reference) -> Option<&DockerReference> {
    match reference {
        Reference::Docker(docker) | Reference::Name { docker, .. } => Some(docker),
        _ => None,
    }
}

fn is_same_registry(reference: &DockerReference, other: &Reference) -> bool {
    docker(other).is_some_and(|other| other.server().eq_ignore_ascii_case(reference.server()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        for name in ["latest", "1.0", "a-b--c_d", "host:5000/name:1.0", "name@sha256:1f", "A+b"] {
            assert!(is_reference_name(name), "{name}");
        }
        for name in ["", "a\nb", "a b", "-a", "a.", "a..b", "a---b", "/a", "a//b", "a/", "\u{e4}", "a\0"] {
            assert!(!is_reference_name(name), "{name:?}");
        }
    }
}
