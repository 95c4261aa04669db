//! What a store has on disk.

use super::{IMAGES, LAYERS, Mount, layers_of};

/// An unpacked layer. No two unpackings have the same generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Volume {
    pub(crate) generation: u8,
    /// The contents of its files are on disk.
    pub(crate) is_durable: bool,
    /// They were not when the power failed.
    pub(crate) is_torn: bool,
}

/// A layer's mark. No two unpackings have the same, so that a flush removes none that was made after it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    pub(crate) boot: u8,
    pub(crate) generation: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Image {
    #[default]
    Absent,
    /// `tmp/create.<id>`
    Staging,
    /// `images/<id>`
    Published,
    /// `tmp/delete.<id>`
    Deleting,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    /// `volumes/<chain id>`
    pub(crate) volumes: [Option<Volume>; LAYERS],
    /// `volumes/<chain id>-incomplete-…`
    pub(crate) incomplete: [Option<Volume>; LAYERS],
    /// `volumes/<chain id>-incomplete-….second`: of one who took a layer over from a holder that is slow.
    pub(crate) second: [Option<Volume>; LAYERS],
    /// `tmp/dead.…`: nobody's, and not removed yet.
    pub(crate) dead: Vec<(usize, Volume)>,
    /// `tmp/kept.<chain id>~…`: a layer that was unpacked again, for images that show the old one.
    pub(crate) kept: Vec<(usize, Volume)>,
    /// `meta/unflushed/<chain id>~…`
    pub(crate) marks: [Option<Mark>; LAYERS],
    /// `meta/dependencies/image:<id>.json`
    pub(crate) records: [bool; IMAGES],
    pub(crate) images: [Image; IMAGES],
}

impl Disk {
    pub(crate) fn is_published(&self, image: usize) -> bool {
        self.images[image] == Image::Published
    }

    /// Whether a power cut of an earlier boot may have torn the layer.
    pub(crate) fn is_suspect(&self, layer: usize, boot: u8) -> bool {
        self.marks[layer].is_some_and(|mark| mark.boot != boot)
    }

    /// Whether somebody who mounts the image can.
    pub(crate) fn can_be_mounted(&self, image: usize) -> bool {
        self.is_published(image) && layers_of(image).all(|layer| self.volumes[layer].is_some())
    }

    pub(crate) fn layers_of(&self, image: usize) -> Mount {
        let mut mount = Mount::default();
        for layer in layers_of(image) {
            mount[layer] = self.volumes[layer].map(|volume| volume.generation);
        }
        mount
    }

    /// Whether the files of a layer's unpacking are still there, under whatever name.
    pub(crate) fn has(&self, layer: usize, generation: Option<u8>) -> bool {
        let is_it = |volume: &Volume| Some(volume.generation) == generation;
        self.volumes[layer].as_ref().is_some_and(is_it)
            || self.dead.iter().any(|(of, volume)| *of == layer && is_it(volume))
            || self.kept.iter().any(|(of, volume)| *of == layer && is_it(volume))
    }

    /// Whether an image's record names the layer.
    pub(crate) fn is_recorded(&self, layer: usize) -> bool {
        (0..IMAGES).any(|image| self.records[image] && layers_of(image).contains(&layer))
    }

    /// Whether an image that may be mounted has the layer. One that is being deleted still is, and comes back if it is busy.
    pub(crate) fn is_shown(&self, layer: usize) -> bool {
        let may_be_mounted = |image: usize| matches!(self.images[image], Image::Published | Image::Deleting);
        (0..IMAGES).any(|image| may_be_mounted(image) && layers_of(image).contains(&layer))
    }

    fn all_volumes(&mut self) -> impl Iterator<Item = &mut Volume> {
        let kept = self.kept.iter_mut().map(|(_, volume)| volume);
        let named = self.volumes.iter_mut().chain(&mut self.incomplete).chain(&mut self.second).flatten();
        named.chain(self.dead.iter_mut().map(|(_, volume)| volume)).chain(kept)
    }

    pub(crate) fn make_durable(&mut self) {
        self.all_volumes().for_each(|volume| volume.is_durable = true);
    }

    /// What a power cut does to contents that were not on disk.
    pub(crate) fn tear(&mut self) {
        self.all_volumes().filter(|volume| !volume.is_durable).for_each(|volume| volume.is_torn = true);
    }

    pub(crate) fn has_only_what_images_use(&self) -> bool {
        self.dead.is_empty()
            && self.incomplete == [None; LAYERS]
            && self.second == [None; LAYERS]
            && self.images.iter().all(|image| matches!(image, Image::Absent | Image::Published))
            && (0..IMAGES).all(|image| self.records[image] == self.is_published(image))
            && (0..LAYERS).all(|layer| self.volumes[layer].is_none() || self.is_recorded(layer))
            && (0..LAYERS).all(|layer| self.marks[layer].is_none() || self.volumes[layer].is_some())
            && self.kept.iter().all(|(layer, _)| self.is_recorded(*layer))
    }
}
