//! Where a commit writes its image: a layout, an archive of one, or a registry.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::MANIFEST;
use crate::export::{Blob, LayoutWriter};
use crate::fetcher::{Options, Push, PushError, Sent};
use crate::image::{DockerReference, Reference};
use crate::redact;
use crate::store::CommitError;
use crate::sys::path_error::OnPath;
use crate::sys::scratch::Scratch;

/// The name of an image in a layout, where none is given.
const LATEST: &str = "latest";
/// Where what is sent is written first, if `TMPDIR` does not say: on many machines `/tmp` is memory.
const TEMPORARY: &str = "/var/tmp";
/// What the names of such directories begin with.
const SCRATCH: &str = ".layout-";

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
        let name = |name: Option<String>| name.unwrap_or_else(|| LATEST.to_owned());
        let absolute = |path: PathBuf| std::path::absolute(&path).on("resolve", &path);
        match Reference::parse(destination) {
            Ok(Reference::Oci { layout, name: given }) => {
                Ok(Target::Layout { path: absolute(layout)?, name: name(given) })
            }
            Ok(Reference::OciArchive { path, name: given }) => {
                Ok(Target::Archive { path: absolute(path)?, name: name(given) })
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
                let directory = path.parent().unwrap_or(Path::new("/"));
                let scratch = Scratch::directory(directory, SCRATCH)?;
                let layout = LayoutWriter::open(scratch.path())?;
                let (written, with) = work(&layout)?;
                layout.name(name, written.manifest.descriptor(MANIFEST))?;
                layout.archive(path)?;
                Ok((written, with))
            }
            Target::Registry { push, .. } => {
                let directory = env::var_os("TMPDIR").filter(|path| !path.is_empty()).unwrap_or(TEMPORARY.into());
                let scratch = Scratch::directory(Path::new(&directory), SCRATCH)?;
                let layout = LayoutWriter::open(scratch.path())?;
                let (written, with) = work(&layout)?;
                send(push, &layout, &written)?;
                Ok((written, with))
            }
        }
    }
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

fn docker(reference: &Reference) -> Option<&DockerReference> {
    match reference {
        Reference::Docker(docker) | Reference::Name { docker, .. } => Some(docker),
        _ => None,
    }
}

fn is_same_registry(reference: &DockerReference, other: &Reference) -> bool {
    docker(other).is_some_and(|other| other.server().eq_ignore_ascii_case(reference.server()))
}
