//! The sizes that a command is measured by, looked at when it is done and only if somebody wants to know.

use crate::observe::Metrics;
use crate::observe::metrics::Size;
use crate::store::{Store, StoreError, StoreSizes};

/// Notes how large the layers are, by whether an image needs them.
pub(super) fn layers(store: &Store, metrics: &Metrics) {
    note(metrics, || {
        let layers = store.sizes()?.layers;
        Ok(vec![(Size::UnusedLayers, layers.unused), (Size::UsedLayers, layers.used)])
    });
}

/// Notes what the store takes of its filesystem.
pub(super) fn space(store: &Store, metrics: &Metrics) {
    note(metrics, || Ok(vec![(Size::StoreUsage, store.space()?.used)]));
}

/// Notes everything about a store that has a new image.
pub(super) fn all(store: &Store, metrics: &Metrics) {
    note(metrics, || {
        let (StoreSizes { layers, committed_quota }, used) = (store.sizes()?, store.space()?.used);
        Ok(vec![
            (Size::StoreUsage, used),
            (Size::UnusedLayers, layers.unused),
            (Size::UsedLayers, layers.used),
            (Size::DownloadedLayers, layers.used.saturating_add(layers.unused)),
            (Size::CommittedQuota, committed_quota),
            (Size::UsedBackingStore, used),
        ])
    });
}

/// A size that cannot be had is missing, and no failure of the command.
fn note(metrics: &Metrics, sizes: impl FnOnce() -> Result<Vec<(Size, u64)>, StoreError>) {
    if !metrics.is_on() {
        return;
    }
    let _session = tracing::debug_span!("measuring-store").entered();
    match sizes() {
        Ok(sizes) => sizes.into_iter().for_each(|(size, bytes)| metrics.note(size, bytes)),
        Err(error) => tracing::info!(%error, "failed"),
    }
}
