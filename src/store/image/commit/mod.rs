//! What a container changed: told, and written as an image on top of the layers that it was created from.
//!
//! Layers are kept unpacked alone, so those of the base image are read from its source again; that is taken for the same
//! image only if its layers have the chain ids that are on record.

mod target;

use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::target::{Target, Written};
use crate::driver::Volume;
use crate::export::{Blob, CopiedLayer, LayoutWriter};
use crate::fetcher::{Fetcher, Options, PushError};
use crate::idmap::IdMappings;
use crate::image::{
    BASE_DIRECTORY_ANNOTATION, EMPTY_ARCHIVE, Image, Layer, Platform, Reference, is_sha256, layer_media_suffix,
};
use crate::limits::Limits;
use crate::store::image::error::BaseError;
use crate::store::image::origin::Origin;
use crate::store::layer::manifest_cache::ManifestCache;
use crate::store::layer::volumes;
use crate::store::on_disk_format::OnDiskFormat;
use crate::store::{CommitError, ImageError, ImageId, ImageSelector, Store, StoreError};
use crate::sys::files;
use crate::sys::interrupt::Interruptible;
use crate::sys::path_error::OnPath;
use crate::unpacker::{Change, LayerSource, MergedView, OverlayAttributes, changes_of_copy, changes_of_upper, pack};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// In seconds since 1970.
const END_OF_YEAR_9999: u64 = 253_402_300_799;

/// An image that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The image it was made of.
    pub id: ImageId,
    /// Digest of the manifest.
    pub digest: String,
    /// The container's own layer.
    pub layer: Blob,
    /// How many changes are in it.
    pub changes: usize,
}

impl Store {
    /// What the container of an image added, changed and deleted, sorted by path.
    pub fn diff(&self, image: ImageSelector<'_>) -> Result<(ImageId, Vec<Change>), ImageError> {
        self.check_initialised()?;
        let id = image.existing(self)?;
        let changes = self.changes(&id)?;
        Ok((id, changes))
    }

    /// Writes a container's changes, on top of the layers of its image, as an image to `destination`, `oci:`, `oci-archive:`
    /// or `docker://`. The same changes give the same image. While the base is read and the image is sent, no lock is held.
    pub fn commit(
        &self,
        image: ImageSelector<'_>,
        destination: &str,
        options: &Options,
    ) -> Result<Committed, CommitError> {
        let target = Target::parse(destination, options)?;
        let id = image.existing(self)?;
        let origin = self.origin(&id)?.ok_or_else(|| CommitError::UnknownOrigin { id: id.to_string() })?;
        let base = Base::open(self, &id, &origin, &target, options).map_err(|source| CommitError::Base {
            id: id.to_string(),
            reference: origin.reference.clone(),
            source: Box::new(source),
        })?;
        let (written, packed) = target.write(|layout| {
            let mut layers = base.write(layout, &target)?;
            let packed = self.pack(&id, &base, layout)?;
            let descriptor = packed.blob.descriptor(&format!("{LAYER}+gzip"));
            let (blob, diff_id) = (Some(packed.blob.clone()), packed.diff_id.clone());
            layers.push(WrittenLayer { descriptor, diff_id, blob });
            let config = base.config(&layers, packed.latest);
            Ok((write_image(layers, &config, layout)?, packed))
        })?;
        Ok(Committed { id, digest: written.manifest.digest, layer: packed.blob, changes: packed.changes })
    }

    /// Writes the container's own layer, if the image is still the one that has this base.
    fn pack(&self, id: &ImageId, base: &Base, layout: &LayoutWriter) -> Result<Packed, CommitError> {
        let (id, _lock) = self.share_existing(ImageSelector(id.as_str()))?;
        if !base.is_of(&self.recorded_volumes(&id)?) {
            return Err(CommitError::Replaced { id: id.to_string() });
        }
        let changes = self.changes(&id)?;
        Ok(self.write_layer(&id, &changes, layout)?)
    }

    fn changes(&self, id: &ImageId) -> Result<Vec<Change>, ImageError> {
        let layers_in = self.layers_in()?;
        let recorded = self.recorded_volumes(id)?;
        let mut opened = Vec::new();
        for volume in recorded.iter().rev() {
            opened.push(files::open_directory(&layers_in.layout.volume(volume.chain_id.as_str()))?);
        }
        let root = files::open_directory(&self.driver.own_files(&self.layout.image(id.as_str()))?)?;
        if self.driver.volumes_are_snapshots() {
            let Some(top) = opened.first() else { return Ok(Vec::new()) };
            return Ok(changes_of_copy(root.as_fd(), top.as_fd())?);
        }
        let layers: Vec<_> = opened.iter().map(AsFd::as_fd).collect();
        let mappings = self.mappings()?;
        let mut view = MergedView::new(&layers, layers_in.format(&mappings).whiteouts);
        let format = OnDiskFormat::new(self, &mappings);
        let attributes = self.overlay_attributes(id, &format)?;
        let ids = layers_in.layer_store().map_or(IdMappings::identity(), |_| format.ids);
        Ok(changes_of_upper(root.as_fd(), &mut view, attributes, &ids)?)
    }

    /// Where the overlay of an image keeps its attributes.
    fn overlay_attributes(&self, id: &ImageId, format: &OnDiskFormat) -> Result<OverlayAttributes, StoreError> {
        let image = self.layout.image(id.as_str());
        let is_of_user = self.driver.has_user_attributes(&image, format.is_for_root)?;
        Ok(if is_of_user { OverlayAttributes::User } else { OverlayAttributes::Trusted })
    }

    fn write_layer(&self, id: &ImageId, changes: &[Change], layout: &LayoutWriter) -> Result<Packed, StoreError> {
        let root = files::open_directory(&self.driver.own_files(&self.layout.image(id.as_str()))?)?;
        let format = OnDiskFormat::new(self, &self.mappings()?);
        let (attributes, ids) = (self.overlay_attributes(id, &format)?, format.ids.inverse());
        let source = LayerSource { root: root.as_fd(), attributes, ids: &ids };
        let blob = layout.blob()?;
        let path = blob.path().to_owned();
        let encoder = GzEncoder::new(blob, Compression::default());
        let mut writer = Hashing { inner: Interruptible(encoder), digest: Sha256::new() };
        let latest = {
            let mut buffered = BufWriter::with_capacity(1 << 16, &mut writer);
            let latest = pack(&source, changes, &mut buffered)?;
            buffered.flush().on("write", &path)?;
            latest
        };
        let Hashing { inner, digest } = writer;
        let blob = inner.0.finish().on("write", &path)?.finish()?;
        Ok(Packed { blob, diff_id: hex_digest(&digest), latest, changes: changes.len() })
    }
}

/// A container's own layer.
struct Packed {
    blob: Blob,
    /// Digest of the archive in it.
    diff_id: String,
    /// Time of the latest change, in seconds since 1970.
    latest: u64,
    changes: usize,
}

struct WrittenLayer {
    descriptor: Value,
    diff_id: String,
    /// `None` where the target had it.
    blob: Option<Blob>,
}

/// Writes what holds an image together.
fn write_image(layers: Vec<WrittenLayer>, config: &Value, layout: &LayoutWriter) -> Result<Written, StoreError> {
    let config = layout.document(config)?;
    let descriptors: Vec<&Value> = layers.iter().map(|layer| &layer.descriptor).collect();
    let document = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(CONFIG), "layers": descriptors,
    });
    let manifest = layout.document(&document)?;
    let blobs = layers.into_iter().filter_map(|layer| layer.blob).chain([config]).collect();
    Ok(Written { blobs, manifest, document })
}

/// The image that a container was created from, at its source.
struct Base {
    reference: Reference,
    fetcher: Fetcher,
    image: Image,
    limits: Limits,
}

impl Base {
    /// Finds the image again, and checks that it is the same.
    fn open(
        store: &Store,
        id: &ImageId,
        origin: &Origin,
        target: &Target,
        options: &Options,
    ) -> Result<Self, BaseError> {
        let reference = Reference::parse(&origin.reference).map_err(crate::fetcher::Error::from)?;
        let reference = pinned(reference, origin.digest.as_deref());
        let fetcher =
            Fetcher::for_reference(&reference, &origin.reference, &target.options_of_base(&reference, options))?;
        let layers_in = store.layers_in()?;
        fetcher.use_scratch(&layers_in.layout.tmp());
        let mut image = fetcher.image(&ManifestCache::new(&layers_in.layout))?;
        volumes::name_by_source(&layers_in.layout, &mut image.layers)?;
        let base = Base { reference, fetcher, image, limits: options.limits.clone() };
        if base.is_of(&store.recorded_volumes(id)?) { Ok(base) } else { Err(BaseError::Changed) }
    }

    /// Whether an image has these layers.
    fn is_of(&self, recorded: &[Volume]) -> bool {
        let layers = self.image.layers.iter().map(|layer| &layer.chain_id);
        recorded.iter().map(|volume| &volume.chain_id).eq(layers)
    }

    /// Copies the blobs of the layers that the target does not have.
    fn write(&self, layout: &LayoutWriter, target: &Target) -> Result<Vec<WrittenLayer>, CommitError> {
        let layers = self.image.layers.iter().filter(|layer| layer.blob_id != EMPTY_ARCHIVE);
        let layers: Vec<&Layer> = layers.collect();
        let observer = self.fetcher.observer();
        let _shown = observer.map(|observer| observer.image(&layers));
        let write = |layer: &&Layer| {
            let written = match self.layer_at_target(layer, target)? {
                Some(there) => there,
                None => self.write_layer(layer, layout)?,
            };
            observer.inspect(|observer| observer.finished(layer));
            Ok(written)
        };
        layers.iter().map(write).collect()
    }

    /// The layer as the base's manifest has it, where the target has its blob.
    fn layer_at_target(&self, layer: &Layer, target: &Target) -> Result<Option<WrittenLayer>, PushError> {
        let (Some(size), Some(diff_id)) = (layer.size, &layer.diff_id) else { return Ok(None) };
        let Some(suffix) = layer_media_suffix(&layer.media_type) else { return Ok(None) };
        if !is_sha256(&layer.blob_id) || !target.has_layer(&layer.blob_id, size, &self.reference)? {
            return Ok(None);
        }
        let blob = Blob { digest: layer.blob_id.clone(), size };
        let diff_id = format!("sha256:{diff_id}");
        Ok(Some(WrittenLayer { descriptor: descriptor(&blob, suffix, layer), diff_id, blob: None }))
    }

    fn write_layer(&self, layer: &Layer, layout: &LayoutWriter) -> Result<WrittenLayer, BaseError> {
        let not_cancelled = AtomicBool::new(false);
        let source = self.fetcher.open(layer, &not_cancelled).map_err(BaseError::Read)?;
        let mut source = Interruptible(source);
        // One byte more shows a blob that is too long, whose rest is not worth the room.
        let copied = layout.copy(&mut source, layer.size.map_or(u64::MAX, |size| size.saturating_add(1)))?;
        let Blob { digest: actual, size } = copied.written();
        if let Some(expected) = layer.size.filter(|expected| *expected != size) {
            return Err(BaseError::WrongSize { expected, actual: size });
        }
        let expected = layer.has_blob_digest.then(|| layer.blob_id.clone());
        if let Some(expected) = expected.filter(|expected| is_sha256(expected) && *expected != actual) {
            return Err(BaseError::WrongBlob { expected, actual });
        }
        let CopiedLayer { blob, suffix, diff_id } = layout.layer(copied, &self.limits)?;
        if let Some(expected) = layer.diff_id.as_ref().map(|hex| format!("sha256:{hex}")).filter(|id| *id != diff_id) {
            return Err(BaseError::WrongBlob { expected, actual: diff_id });
        }
        Ok(WrittenLayer { descriptor: descriptor(&blob, suffix, layer), diff_id, blob: Some(blob) })
    }

    /// The configuration of the base with one layer more, which was made at `latest`.
    fn config(&self, layers: &[WrittenLayer], latest: u64) -> Value {
        let host = Platform::host();
        let empty = || json!({ "architecture": host.architecture, "os": host.os, "config": {}, "history": [] });
        let mut config: Value = serde_json::from_slice(&self.image.document).unwrap_or_else(|_| empty());
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        let created = rfc3339(latest);
        if latest > 0 {
            config["created"] = created.clone().into();
        }
        // One that does not tell of each layer below would not be right with one entry more.
        let base = layers.len() - 1;
        if let Some(history) = config["history"].as_array_mut() {
            if history.is_empty() && self.image.document.is_empty() {
                history.extend((0..base).map(|_| json!({ "created_by": "grootfs create" })));
            }
            let told = history.iter().filter(|entry| entry["empty_layer"] != true).count();
            if told == base {
                history.push(json!({ "created": created, "created_by": "grootfs commit" }));
            }
        }
        config
    }
}

/// That of a layer of the base in the new image.
fn descriptor(blob: &Blob, suffix: &str, layer: &Layer) -> Value {
    let mut descriptor = blob.descriptor(&format!("{LAYER}{suffix}"));
    if let Some(directory) = &layer.base_directory {
        descriptor["annotations"] = json!({ BASE_DIRECTORY_ANNOTATION: directory });
    }
    descriptor
}

/// The image of a registry by its digest: a tag may have moved on.
fn pinned(reference: Reference, digest: Option<&str>) -> Reference {
    let pin = |mut docker: crate::image::DockerReference| {
        docker.digest = digest.map(str::to_owned).or(docker.digest);
        Reference::Docker(docker)
    };
    match reference {
        Reference::Docker(docker) => pin(docker),
        Reference::Name { path, docker } if !Path::new(&path).exists() => pin(docker),
        other => other,
    }
}

/// Hashes what passes.
struct Hashing<W> {
    inner: W,
    digest: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digest.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex_digest(digest: &Sha256) -> String {
    let hex: String = digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A time in seconds since 1970 as RFC 3339 has it, in UTC (days from the civil calendar as in Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms"). Its years have four digits.
fn rfc3339(seconds: u64) -> String {
    let seconds = seconds.min(END_OF_YEAR_9999);
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }
}
