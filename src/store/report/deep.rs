//! Compares the layers of a store with the lists that were made when they were unpacked.

use crate::store::Store;
use crate::store::layer::digests::{self, Comparison};
use crate::store::report::check::Finding;
use crate::sys::path_error::PathError;

/// How the layers of a store compare.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// Layers that are not what was unpacked.
    pub findings: Vec<Finding>,
    /// Chain ids of layers that have no list: an older version unpacked them, or a power cut tore it.
    pub not_compared: Vec<String>,
    layers: Vec<(String, Comparison)>,
}

impl Store {
    /// Reads every file of every layer; nothing is changed.
    ///
    /// # Errors
    /// If a layer or its list cannot be read at all.
    pub fn compare_layers(&self) -> Result<Compared, PathError> {
        let mut compared = Compared::default();
        digests::compare_all(self, |layer, found| {
            match &found {
                Comparison::NotPossible => compared.not_compared.push(layer.to_owned()),
                Comparison::Whole => {}
                Comparison::Differs(count, names) => compared.findings.push(self.differing(layer, *count, names)),
            }
            compared.layers.push((layer.to_owned(), found));
            Ok(())
        })?;
        Ok(compared)
    }

    /// Has layers that are not what was unpacked fetched again by the next create of them, and those that are whole used
    /// although a power cut might have torn them.
    pub fn apply_comparison(&self, compared: &Compared) -> Result<(), PathError> {
        compared.layers.iter().try_for_each(|(layer, found)| digests::update_marks(self, layer, found))
    }

    fn differing(&self, layer: &str, count: usize, names: &[String]) -> Finding {
        let more = if count > names.len() { ", …" } else { "" };
        let remedy =
            "grootfs check --deep --repair has the next create unpack it again; create the images that show it anew";
        Finding {
            kind: "layer-differs",
            subject: self.layout.volume_path(layer).display().to_string(),
            problem: format!("not what was unpacked, in {count} of its files: {}{more}", names.join(", ")),
            blocks: "images that show it",
            remedy: remedy.to_owned(),
            is_repairable: false,
        }
    }
}
