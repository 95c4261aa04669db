//! Promise 1: drop-in. Garden's contract, held against a guardian and a BOSH cell: what they run, in their order, and how
//! they read it.
//!
//! Limits, which this kernel may lack, are in `guest_garden.rs`.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use crate::garden_life::{STORES, life_cycle, rootfs_archive};
use crate::support::{Archive, Cell, MIB, PASSWORD, Registry, Rootfs, Setup, USER, sha256_hex, small_image};

#[test]
fn promise_01_a_cell_lives_through_starts_deployments_and_a_reboot_with_fifty_containers() {
    life_cycle(&Cell::new(STORES, false), 50);
}

fn started_cell() -> Cell {
    let cell = Cell::new(STORES, false);
    cell.rewrite(512 * MIB, 0);
    cell.start();
    cell
}

#[test]
fn promise_01_the_configuration_works_before_the_thresholder_has_seen_it() {
    let cell = Cell::new(STORES, false);
    // Without a size the stores must be on a filesystem that is there.
    cell.rewrite(512 * MIB, 0);
    cell.start();
    cell.render();
    cell.start();
    let guardian = cell.guardian();
    let archive = rootfs_archive(&cell);
    guardian.create(Rootfs { image: &archive, ..Rootfs::default() }, "handle").unwrap();
    assert_eq!(guardian.capacity(), Ok(0));
    guardian.destroy("handle").unwrap();
}

#[test]
fn promise_01_what_does_not_exist_is_no_error_of_a_delete_and_one_of_stats() {
    let cell = started_cell();
    let guardian = cell.guardian();
    guardian.destroy("unknown").unwrap();
    let error = guardian.metrics("unknown").unwrap_err();
    assert_eq!(error, "running image plugin stats: Image `unknown` not found. Skipping delete.\n: exit status Some(1)");
    // Each container is in one of two stores, and guardian does not remember in which.
    let archive = rootfs_archive(&cell);
    for privileged in [false, true] {
        guardian.create(Rootfs { image: &archive, privileged, ..Rootfs::default() }, "handle").unwrap();
        assert!(guardian.metrics("handle").unwrap().total > 0);
        guardian.destroy("handle").unwrap();
        guardian.destroy("handle").unwrap();
        guardian.metrics("handle").unwrap_err();
    }
}

#[test]
fn promise_01_an_error_is_passed_on_in_one_line() {
    let cell = started_cell();
    let guardian = cell.guardian();
    let create = |image: &str| guardian.create(Rootfs { image, ..Rootfs::default() }, "handle").unwrap_err();
    assert_eq!(
        create("oci:///not/here"),
        "running image plugin create: Image source doesn't exist\n: exit status Some(1)"
    );
    assert_eq!(
        create(cell.path("store").to_str().unwrap()),
        "running image plugin create: invalid base image: directory provided instead of a tar file\n: exit status Some(1)"
    );
    let archive = rootfs_archive(&cell);
    guardian.create(Rootfs { image: &archive, ..Rootfs::default() }, "handle").unwrap();
    assert_eq!(
        create(&archive),
        "running image plugin create: image for id `handle` already exists\n: exit status Some(1)"
    );
    assert!(guardian.log().iter().any(|entry| entry.level == "error" && entry.error.is_some()));
}

#[test]
fn promise_01_a_tag_behind_a_hash_and_credentials_reach_the_registry_and_no_log() {
    let registry = Registry::start(Setup { basic_auth: true, ..Setup::default() });
    let cell = started_cell();
    registry.push(&small_image(&cell.path("image")), "team/image:1.26", &[]);
    // The cell's configuration names another registry as insecure.
    for config in ["unprivileged", "privileged"] {
        let path = cell.path("config").join(format!("{config}.yml"));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("127.0.0.1:1\n", &format!("{}\n", registry.host()))).unwrap();
    }
    let guardian = cell.guardian();
    let image = registry.url("team/image#1.26");
    let credentials = Some((USER, PASSWORD));
    let created = guardian.create(Rootfs { image: &image, credentials, ..Rootfs::default() }, "handle").unwrap();
    assert_eq!(fs::read_to_string(created.root.join("hello")).unwrap(), "hello\n");
    let wrong = Some((USER, "wrong-word"));
    let error = guardian.create(Rootfs { image: &image, credentials: wrong, ..Rootfs::default() }, "x").unwrap_err();
    assert!(!error.contains("wrong-word"), "{error}");
    let log = format!("{:?}", guardian.log());
    assert!(log.contains("groot-creating") && !log.contains(PASSWORD) && !log.contains("wrong-word"));
}

/// An image as guardian writes it for `preloaded+layer` addresses: no marker file, no sizes, and names of blobs that are
/// no digests of them; the base is a link to an archive.
#[test]
fn promise_01_preloaded_layers_share_the_volume_of_their_archive() {
    let cell = started_cell();
    let archive = PathBuf::from(rootfs_archive(&cell));
    let metadata = fs::metadata(&archive).unwrap();
    let changed = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
    let base = sha256_hex(format!("{}-{changed}", archive.display()).as_bytes());
    let blobs = cell.path("image/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    symlink(&archive, blobs.join(&base)).unwrap();
    let top = crate::support::gzip(&Archive::new().file("droplet", 0o644, b"an app").bytes());
    let top_name = "a".repeat(64);
    fs::write(blobs.join(&top_name), top).unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{base}","sha256:{top_name}"]}}}}"#
    );
    let config_name = sha256_hex(config.as_bytes());
    fs::write(blobs.join(&config_name), &config).unwrap();
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{config_name}","size":{}}},
        "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:{base}"}},
        {{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:{top_name}","size":0,
          "annotations":{{"org.cloudfoundry.experimental.image.base-directory":"/home/vcap"}}}}]}}"#,
        config.len()
    );
    let manifest_name = sha256_hex(manifest.as_bytes());
    fs::write(blobs.join(&manifest_name), &manifest).unwrap();
    fs::write(
        cell.path("image/index.json"),
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{manifest_name}","size":{}}}]}}"#,
            manifest.len()
        ),
    )
    .unwrap();

    let guardian = cell.guardian();
    guardian.create(Rootfs { image: archive.to_str().unwrap(), ..Rootfs::default() }, "from-archive").unwrap();
    let image = format!("oci://{}", cell.path("image").display());
    let created = guardian.create(Rootfs { image: &image, ..Rootfs::default() }, "preloaded").unwrap();
    assert_eq!(fs::read_to_string(created.root.join("home/vcap/droplet")).unwrap(), "an app");
    assert_eq!(fs::read_to_string(created.root.join("etc/greeting")).unwrap(), "hello");
    let volumes = crate::support::names(&cell.stores()[0].join("volumes"));
    assert_eq!(volumes.len(), 2, "the archive was unpacked once: {volumes:?}");
    assert!(volumes.contains(&base));
}
