//! Promise 1: drop-in. What Garden says and what it reads, as far as root goes.

use std::fs;
use std::path::PathBuf;

use crate::support::{Archive, DRIVER, Image, Layer, Outcome, TempStore, grootfs, run};
use serde_json::Value;

/// The configuration as the BOSH job writes it and its start-up helper rewrites it: every key, most of them empty.
fn bosh_config(store: &TempStore) -> PathBuf {
    let path = store.beside("grootfs_config.yml");
    let yaml = format!(
        "store: {}\n\
         driver: {}\n\
         tardis_bin: /var/vcap/packages/grootfs/bin/tardis\n\
         newuidmap_bin: /var/vcap/packages/garden-idmapper/bin/newuidmap\n\
         newgidmap_bin: /var/vcap/packages/garden-idmapper/bin/newgidmap\n\
         metron_endpoint: \"\"\n\
         log_level: info\n\
         log_file: \"\"\n\
         log_timestamp_format: rfc3339\n\
         create:\n  \
           exclude_image_from_quota: false\n  \
           skip_layer_validation: true\n  \
           with_clean: true\n  \
           without_mount: false\n  \
           disk_limit_size_bytes: 0\n  \
           insecure_registries: []\n  \
           remote_layer_client_certificates_path: /var/vcap/jobs/garden/certs\n\
         clean:\n  threshold_bytes: 104857600\n\
         init:\n  store_size_bytes: 1073741824\n  with_direct_io: false\n  owneruser: \"\"\n  ownergroup: \"\"\n",
        store.path().display(),
        DRIVER.name()
    );
    fs::write(&path, yaml).unwrap();
    path
}

/// Runs a command as Garden's image plugin code does: extra arguments first, then the command.
fn garden(store: &TempStore, arguments: &[&str]) -> Outcome {
    run(grootfs().arg("--config").arg(bosh_config(store)).args(arguments))
}

fn layout(store: &TempStore) -> String {
    let layer = Layer::new(Archive::new().file("hello", 0o644, b"hello\n").bytes());
    Image::new().layer(layer).env(&["LANG=C"]).write(&store.beside("image"), "latest")
}

/// Every line of standard error must be one that Garden's log reader understands.
fn assert_lager(stderr: &str) {
    for line in stderr.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["timestamp"].is_string() && line["message"].is_string() && line["data"].is_object(), "{line}");
        assert_eq!(line["source"], "grootfs");
        assert!(matches!(line["level"].as_str(), Some("debug" | "info" | "error" | "fatal")), "{line}");
    }
}

#[test]
fn promise_01_a_container_lives_and_dies_by_gardens_commands() {
    let store = TempStore::new();
    let handle = "executor-healthcheck-0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0";
    let created = garden(&store, &["create", &layout(&store), handle]);
    assert_eq!(created.code, Some(0), "{created:?}");
    assert_lager(&created.stderr);
    let spec: Value = serde_json::from_str(&created.stdout).unwrap();
    assert_eq!(spec["root"]["path"].as_str(), store.rootfs(handle).to_str());
    assert_eq!(spec["process"]["env"], serde_json::json!(["LANG=C"]));

    let stats = garden(&store, &["stats", handle]);
    assert_eq!(stats.code, Some(0), "{stats:?}");
    assert_lager(&stats.stderr);
    // Garden decodes into a map of maps of unsigned numbers.
    let numbers: std::collections::HashMap<String, std::collections::HashMap<String, u64>> =
        serde_json::from_str(&stats.stdout).unwrap();
    let usage = &numbers["disk_usage"];
    assert_eq!(usage["total_bytes_used"] - usage["exclusive_bytes_used"], 6);

    for _ in 0..2 {
        let deleted = garden(&store, &["delete", handle]);
        assert_eq!(deleted.code, Some(0), "the second of the two plugins must succeed as well: {deleted:?}");
        assert_lager(&deleted.stderr);
    }
    let gone = garden(&store, &["stats", handle]);
    assert_eq!(gone.code, Some(1), "Garden asks the other plugin after a failure only: {gone:?}");
}

#[test]
fn promise_01_an_error_is_on_standard_output_for_garden_to_pass_on() {
    let store = TempStore::new();
    let failed = garden(&store, &["create", "oci:///not/here:latest", "handle"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "Image source doesn't exist\n"));
    assert_lager(&failed.stderr);
}

#[test]
fn promise_01_nobody_holds_gardens_pipe_open_afterwards() {
    // `output` returns when every holder of standard error has closed it, just as Garden waits.
    let store = TempStore::new();
    let start = std::time::Instant::now();
    garden(&store, &["create", &layout(&store), "handle"]);
    assert!(start.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn promise_01_start_up_may_run_init_store_every_time() {
    let store = TempStore::new();
    for _ in 0..3 {
        let outcome = garden(&store, &["init-store", "--without-quota"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""), "{outcome:?}");
    }
}
