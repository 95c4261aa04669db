//! `grootfs list`.

use serde::Serialize;

use super::args::ListArgs;
use super::{Failure, output, store, usage};
use crate::config::Config;
use crate::store::{ImageId, ImageReport, Origin, Store};

/// Prints the path of every image, one a line.
pub(crate) fn run(config: &Config, args: &ListArgs) -> Result<(), Failure> {
    let store = store(config)?;
    store.check_exists()?;
    if args.json {
        return json(store);
    }
    if args.long {
        return output::line(&usage::images(store.report()?.images));
    }
    let images = store
        .images()
        .map_err(|e| Failure::from(format!("Failed to retrieve list of images: failed to list store path: {e}")))?;
    if images.is_empty() {
        return output::line("Store empty");
    }
    let paths: Vec<String> = images.iter().map(|path| path.display().to_string()).collect();
    output::line(&paths.join("\n"))
}

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document {
    schema: u32,
    images: Vec<Image>,
}

#[derive(Serialize)]
struct Image {
    id: String,
    path: String,
    source: Option<String>,
    digest: Option<String>,
    created: u64,
    mounted: Option<bool>,
    exclusive_bytes: u64,
    total_bytes: u64,
    limit_bytes: u64,
}

fn json(store: &Store) -> Result<(), Failure> {
    let images = store.report()?.images;
    output::json(&Document { schema: SCHEMA, images: images.into_iter().map(|image| describe(store, image)).collect() })
}

/// An origin that cannot be read is none.
fn describe(store: &Store, image: ImageReport) -> Image {
    let origin = ImageId::new(&image.id).ok().and_then(|id| store.origin(&id).ok()).flatten();
    let (source, digest, created) = match origin {
        Some(Origin { reference, digest, created, .. }) => (Some(reference), digest, created),
        None => (None, None, image.created),
    };
    Image {
        path: store.layout().image_path(&image.id).display().to_string(),
        source,
        digest,
        created,
        mounted: image.is_mounted,
        exclusive_bytes: image.usage.exclusive,
        total_bytes: image.usage.total,
        limit_bytes: image.usage.quota,
        id: image.id,
    }
}
