//! Writes OCI image layouts (OCI image specification, `image-layout.md`), in directories and in archives.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::archive::{Decoder, WithinRatio};
use crate::limits::Limits;
use crate::sys::lock;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::scratch::Scratch;
use crate::sys::umask;

/// Annotation of an index entry with the name of the image.
const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";
const BLOBS: &str = "blobs/sha256";
/// What the names of files begin with that are being written.
const SCRATCH: &str = ".new-";
const INDEX: &str = "index.json";
const MARKER: &str = "oci-layout";
/// Bytes of the largest index that is read.
const LARGEST_INDEX: u64 = 8 << 20;
/// Another process may be naming an image.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// A layout that images are added to. What it has already stays.
#[derive(Debug)]
pub struct LayoutWriter {
    root: PathBuf,
}

/// A blob that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest, with the algorithm.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// A layer that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedLayer {
    /// Its blob.
    pub blob: Blob,
    /// What its media type ends with.
    pub suffix: &'static str,
    /// Digest of the uncompressed archive.
    pub diff_id: String,
}

impl Blob {
    /// A descriptor of it (OCI image specification, `descriptor.md`).
    pub fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.size })
    }
}

impl LayoutWriter {
    /// Opens a layout, or makes one where there is none.
    ///
    /// # Errors
    /// Those of the system calls; what is there has an index that is none.
    pub fn open(root: &Path) -> Result<Self, PathError> {
        read_index(&root.join(INDEX))?;
        let mode = umask::allowed(0o777);
        DirBuilder::new().recursive(true).mode(mode).create(root.join(BLOBS)).on("mkdir", root.join(BLOBS))?;
        Ok(LayoutWriter { root: root.to_owned() })
    }

    /// A blob to be written; without [`BlobWriter::finish`] it goes again.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn blob(&self) -> Result<BlobWriter, PathError> {
        let directory = self.root.join(BLOBS);
        let (scratch, file) = Scratch::file(&directory, SCRATCH)?;
        Ok(BlobWriter { file, scratch, directory, digest: Sha256::new(), size: 0 })
    }

    /// Writes a document as a blob.
    ///
    /// # Errors
    /// Those of writing it.
    pub fn document(&self, document: &Value) -> Result<Blob, PathError> {
        let mut blob = self.blob()?;
        blob.write_all(document.to_string().as_bytes()).on("write", blob.path())?;
        blob.finish()
    }

    /// Where a blob is.
    pub fn path(&self, blob: &Blob) -> PathBuf {
        self.root.join(BLOBS).join(blob.digest.trim_start_matches("sha256:"))
    }

    /// Copies `most` bytes of a layer at most.
    ///
    /// # Errors
    /// Those of reading and writing it.
    pub fn copy(&self, source: &mut dyn Read, most: u64) -> Result<BlobWriter, PathError> {
        let mut blob = self.blob()?;
        io::copy(&mut source.take(most), &mut blob).on("copy", blob.path())?;
        Ok(blob)
    }

    /// Takes a copied layer. What no media type of layers stands for, xz and bzip2, is written uncompressed.
    ///
    /// # Errors
    /// Those of reading and writing it; it is packed better than `limits` allow.
    pub fn layer(&self, blob: BlobWriter, limits: &Limits) -> Result<CopiedLayer, PathError> {
        let path = blob.path().to_owned();
        let decoder = Decoder::new(io::BufReader::new(File::open(&path).on("open", &path)?)).on("read", &path)?;
        let suffix = decoder.media_suffix();
        let packed = blob.size;
        let mut content = WithinRatio::new(decoder, |unpacked| limits.check_ratio(packed, unpacked));
        let mut digest = Sha256::new();
        if let Some(suffix) = suffix {
            io::copy(&mut content, &mut Hasher(&mut digest)).on("read", &path)?;
            return Ok(CopiedLayer { blob: blob.finish()?, suffix, diff_id: text(&digest) });
        }
        let mut plain = self.blob()?;
        io::copy(&mut content, &mut plain).on("read", &path)?;
        let blob = plain.finish()?;
        Ok(CopiedLayer { diff_id: blob.digest.clone(), blob, suffix: "" })
    }

    /// Names the image with this descriptor of a manifest, in place of one that has the name.
    ///
    /// # Errors
    /// Those of reading and writing the index.
    pub fn name(&self, name: &str, mut descriptor: Value) -> Result<(), PathError> {
        descriptor["annotations"] = json!({ REFERENCE_NAME: name });
        let path = self.root.join(INDEX);
        let _marker = self.lock()?;
        let mut index = read_index(&path)?;
        if let Some(entries) = index["manifests"].as_array_mut() {
            entries.retain(|entry| entry["annotations"][REFERENCE_NAME] != name);
            entries.push(descriptor);
        }
        let (new, mut file) = Scratch::file(&self.root, SCRATCH)?;
        file.write_all(index.to_string().as_bytes()).on("write", new.path())?;
        new.rename(&path)
    }

    /// Writes the marker of a layout, which is locked while the index is changed, so that of two who name an image at once
    /// neither takes the other's away. Filesystems without such locks do without.
    fn lock(&self) -> Result<File, PathError> {
        let path = self.root.join(MARKER);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(umask::allowed(0o666));
        let mut file = options.open(&path).on("open", &path)?;
        if let Ok(false) = lock::own_file_within(&file, LOCK_TIMEOUT) {
            return Err(PathError::new("lock", &path, io::Error::other("another process writes to the layout")));
        }
        file.set_len(0).and_then(|()| file.write_all(br#"{"imageLayoutVersion":"1.0.0"}"#)).on("write", &path)?;
        Ok(file)
    }

    /// Writes the layout as an archive to `path`, in place of a file there. The same layout gives the same bytes.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn archive(&self, path: &Path) -> Result<(), PathError> {
        let (new, file) = Scratch::file(path.parent().unwrap_or(Path::new("/")), SCRATCH)?;
        self.write_archive(new.path(), file)?;
        new.rename(path)
    }

    /// Writes the layout as an archive into what is at `path` and no file: a FIFO, a terminal, a pipe.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn stream(&self, path: &Path) -> Result<(), PathError> {
        let file = File::options().write(true).open(path).on("open", path)?;
        self.write_archive(path, file)
    }

    fn write_archive(&self, path: &Path, file: File) -> Result<(), PathError> {
        let mut builder = tar::Builder::new(io::BufWriter::new(file));
        let mut names: Vec<String> = Vec::new();
        let blobs = self.root.join(BLOBS);
        for entry in fs::read_dir(&blobs).on("read", &blobs)? {
            names.extend(entry.on("read", &blobs)?.file_name().into_string().ok());
        }
        names.sort();
        let files = [MARKER.to_owned(), INDEX.to_owned()].into_iter();
        for name in files.chain(names.into_iter().map(|name| format!("{BLOBS}/{name}"))) {
            let source = self.root.join(&name);
            let file = File::open(&source).on("open", &source)?;
            let mut header = tar::Header::new_ustar();
            header.set_size(file.metadata().on("stat", &source)?.len());
            header.set_mode(0o644);
            builder.append_data(&mut header, &name, file).on("write", path)?;
        }
        builder.into_inner().and_then(|mut file| file.flush()).on("write", path)
    }
}

/// The index, or an empty one where there is none.
fn read_index(path: &Path) -> Result<Value, PathError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(json!({ "schemaVersion": 2, "manifests": [] }));
        }
        opened => opened.on("open", path)?,
    };
    let mut text = String::new();
    file.take(LARGEST_INDEX).read_to_string(&mut text).on("read", path)?;
    let index: Value = serde_json::from_str(&text).on("read", path)?;
    match index["manifests"].is_array() {
        true => Ok(index),
        false => Err(PathError::new("read", path, io::Error::other("it is not the index of a layout"))),
    }
}

/// A blob that is being written under a name of its own.
#[derive(Debug)]
pub struct BlobWriter {
    file: File,
    scratch: Scratch,
    directory: PathBuf,
    digest: Sha256,
    size: u64,
}

impl BlobWriter {
    /// Gives the blob its name.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn finish(self) -> Result<Blob, PathError> {
        let blob = self.written();
        let target = self.directory.join(blob.digest.trim_start_matches("sha256:"));
        self.scratch.rename(&target)?;
        Ok(blob)
    }

    /// What has been written so far.
    pub fn written(&self) -> Blob {
        Blob { digest: text(&self.digest), size: self.size }
    }

    /// Where it is while it is written.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

struct Hasher<'a>(&'a mut Sha256);

impl Write for Hasher<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A digest with its algorithm.
fn text(digest: &Sha256) -> String {
    let hex: String = digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
