//! `grootfs create`: prints the part of a container configuration that starts a container in the new image.

use std::num::NonZeroUsize;
use std::path::Path;

use serde::Serialize;

use super::args::CreateArgs;
use super::bundle::{Bundle, Container};
use super::{Failure, clean, flush_volumes, measure, output, source, store};
use crate::config::{Config, ImageVolumes, MountDestination};
use crate::driver::{DiskLimit, InodeLimit, Mount};
use crate::observe::{self, Metrics};
use crate::store::{CleanFirst, CreateRequest, Created, ImageSelector, Store};

/// Makes the image and prints it; then lets the new layers be written to disk, which nobody waits for.
pub(super) fn run(config: &Config, args: &CreateArgs, metrics: &Metrics) -> Result<(), Failure> {
    let operands = args.operands()?;
    let store = store(config)?;
    let created = create(config, args, operands, store, metrics);
    match &created {
        Ok(()) => measure::all(store, metrics),
        Err(_) => {
            flush_volumes::spawn_after_failure(store);
            measure::layers(store, metrics);
        }
    }
    created
}

fn create(
    config: &Config,
    args: &CreateArgs,
    (image, id): (&str, &str),
    store: &Store,
    metrics: &Metrics,
) -> Result<(), Failure> {
    if args.bundle.terminal && args.bundle.bundle.is_none() {
        return Err(Failure::from("--terminal is for the process of a bundle: add --bundle DIR".to_owned()));
    }
    let bundle = args.bundle.bundle.as_deref().map(Bundle::prepare).transpose()?;
    let created = store.create(&CreateRequest {
        image,
        id,
        limit: limit(config),
        source: source::options(config, &args.source)?,
        concurrent_downloads: NonZeroUsize::new(config.create.concurrent_downloads),
        limits: &config.create.limits.image,
        layer_digests: !config.create.without_layer_digests,
        mount: !config.create.without_mount,
        with_user: bundle.is_some(),
        ignore_volumes: config.create.image_volumes == ImageVolumes::Ignore,
        clean: config.create.with_clean.then(|| clean_first(config, metrics)),
        ignore_images: &config.clean.ignore_images,
    })?;
    let unreported = UnreportedImage { store, id };
    let mounts = mounts(&created, config.create.mount_destination);
    let bundle =
        bundle.map(|bundle| write_bundle(bundle, args.bundle.terminal, store, id, &created, &mounts)).transpose()?;
    output::line(&specification(&created, &mounts)?)?;
    unreported.keep();
    if let Some(bundle) = bundle {
        bundle.keep();
    }
    if let Some(store) = &created.unflushed_layers_in {
        flush_volumes::spawn(store);
    }
    Ok(())
}

/// A caller who was not told of an image cannot be expected to delete it, so dropping this deletes it.
struct UnreportedImage<'a> {
    store: &'a Store,
    id: &'a str,
}

impl UnreportedImage<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for UnreportedImage<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.store.delete(ImageSelector(self.id)) {
            tracing::error!(%error, id = self.id, "deleting-image-failed");
        }
    }
}

/// A clean whose own log file cannot be opened logs where the create does.
fn clean_first(config: &Config, metrics: &Metrics) -> CleanFirst {
    let open = |path| observe::to_file(&config.log, metrics, path);
    let log = config.create.clean_log_file.as_deref().map(open).transpose().unwrap_or_else(|error| {
        tracing::error!(%error, "opening-clean-log-file-failed");
        None
    });
    CleanFirst { when: clean::when(config), log }
}

fn limit(config: &Config) -> Option<DiskLimit> {
    let bytes = config.create.disk_limit_bytes;
    let inodes = match config.create.disk_limit_inodes {
        None => InodeLimit::Proportional,
        Some(0) => InodeLimit::Unlimited,
        Some(inodes) => InodeLimit::AtMost(inodes),
    };
    let is_limited = bytes > 0 || matches!(inodes, InodeLimit::AtMost(_));
    is_limited.then_some(DiskLimit { bytes, is_exclusive: config.create.exclude_image_from_quota, inodes })
}

/// The fields and their order are those of the original, which callers may compare byte for byte.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Specification<'a> {
    oci_version: &'static str,
    process: Process<'a>,
    root: Root<'a>,
    #[serde(skip_serializing_if = "<[Mount]>::is_empty")]
    mounts: &'a [Mount],
}

#[derive(Serialize)]
struct Process<'a> {
    user: User,
    args: Option<()>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    env: &'a [String],
    cwd: &'static str,
}

#[derive(Serialize)]
struct User {
    uid: u32,
    gid: u32,
}

#[derive(Serialize)]
struct Root<'a> {
    path: &'a Path,
}

fn write_bundle(
    mut bundle: Bundle,
    has_terminal: bool,
    store: &Store,
    id: &str,
    created: &Created,
    mounts: &[Mount],
) -> Result<Bundle, Failure> {
    let mappings = store.mappings()?;
    bundle.write(&Container { id, created, mounts, mappings: &mappings, caller: store.caller(), has_terminal })?;
    Ok(bundle)
}

/// The mounts that are left to the caller, with the root filesystem's where the caller wants it.
fn mounts(created: &Created, destination: MountDestination) -> Vec<Mount> {
    let rootfs = created.rootfs.display().to_string();
    let mut mounts = created.mounts.clone();
    if destination == MountDestination::Root {
        mounts.iter_mut().filter(|mount| mount.destination == rootfs).for_each(|mount| mount.destination = "/".into());
    }
    mounts
}

fn specification(created: &Created, mounts: &[Mount]) -> Result<String, Failure> {
    let specification = Specification {
        oci_version: "",
        process: Process { user: User { uid: 0, gid: 0 }, args: None, env: &created.env, cwd: "" },
        root: Root { path: &created.rootfs },
        mounts,
    };
    let json = serde_json::to_string(&specification).map_err(|e| Failure::from(format!("encoding the result: {e}")))?;
    Ok(escape_as_go_does(&json))
}

/// Go's encoder escapes what HTML gives a meaning. These characters occur in strings only.
fn escape_as_go_does(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created() -> Created {
        Created { rootfs: "/s/images/x/rootfs".into(), ..Created::default() }
    }

    #[test]
    fn leaves_out_what_is_empty() {
        assert_eq!(
            specification(&created(), &[]).unwrap(),
            r#"{"ociVersion":"","process":{"user":{"uid":0,"gid":0},"args":null,"cwd":""},"root":{"path":"/s/images/x/rootfs"}}"#
        );
    }

    #[test]
    fn has_the_fields_of_the_original_in_its_order() {
        let overlay = Mount {
            destination: "/s/images/x/rootfs".into(),
            kind: "overlay".into(),
            source: "overlay".into(),
            options: vec!["lowerdir=/s/l/A:/s/l/B,upperdir=/s/images/x/diff,workdir=/s/images/x/workdir".into()],
        };
        let created = Created { env: vec!["A=<b>&c".into()], mounts: vec![overlay], ..created() };
        let expected = concat!(
            r#"{"ociVersion":"","process":{"user":{"uid":0,"gid":0},"args":null,"env":["A=\u003cb\u003e\u0026c"],"#,
            r#""cwd":""},"root":{"path":"/s/images/x/rootfs"},"mounts":[{"destination":"DEST","type":"overlay","#,
            r#""source":"overlay","options":["lowerdir=/s/l/A:/s/l/B,upperdir=/s/images/x/diff,"#,
            r#"workdir=/s/images/x/workdir"]}]}"#
        );
        for (destination, text) in [(MountDestination::Rootfs, "/s/images/x/rootfs"), (MountDestination::Root, "/")] {
            assert_eq!(
                specification(&created, &mounts(&created, destination)).unwrap(),
                expected.replace("DEST", text)
            );
        }
    }
}
