//! Logs of the real program: where they go, in which dialect, and how they arrive.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};

use crate::support::{Archive, Image, Layer, TempStore, chug, grootfs_binary, small_image};
use serde_json::Value;

fn grootfs(line: &str) -> Command {
    let mut command = Command::new(grootfs_binary());
    command.args(line.split_whitespace()).env("GROOTFS_CONFIG", "").stdin(Stdio::null());
    command
}

fn run(line: &str) -> Output {
    let output = grootfs(line).output().expect("grootfs starts");
    crate::support::logs::collect(&output.stderr);
    output
}

fn lines(text: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(text).expect("text");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole: {text}");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn levels(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["level"].as_str().expect("a level")).collect()
}

#[test]
fn nothing_is_logged_by_default() {
    for line in ["capacity", "delete", "--log-level fatal delete", "--log-level nonsense delete"] {
        assert_eq!(run(line).stderr, b"", "{line}");
    }
}

#[test]
fn keys_of_the_configuration_that_are_none_are_logged_with_the_one_that_is_meant() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("grootfs.yml");
    fs::write(&path, "create: {withclean: true}\ninit: {owneruser: x}\nnonsense: 1\n").expect("a file");
    let output = run(&format!("--config {} --log-level info capacity", path.display()));
    assert_eq!(output.status.code(), Some(0));
    let lines = lines(&output.stderr);
    let unknown = lines.iter().filter(|line| line["message"].as_str().is_some_and(|m| m.ends_with("unknown-key")));
    let told: Vec<_> =
        unknown.map(|line| (line["data"]["key"].as_str(), line["data"]["suggestion"].as_str())).collect();
    assert_eq!(told, [(Some("create.withclean"), Some("create.with_clean")), (Some("nonsense"), Some(""))]);
    assert_eq!(run(&format!("--config {} capacity", path.display())).stderr, b"");
}

#[test]
fn errors_are_on_standard_output_and_in_the_log() {
    let output = run("--log-level debug delete");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"id was not specified\n");
    let lines = lines(&output.stderr);
    let error = lines.iter().find(|line| line["level"] == "error").expect("an error is logged");
    assert_eq!(error["data"]["error"], "id was not specified");
    assert_eq!(error["source"], "grootfs");
    assert_eq!(error["message"], "grootfs.delete.failed");
}

#[test]
fn a_command_is_a_session_that_begins_with_its_configuration() {
    let output = run("--log-level debug --store /some/store capacity");
    let lines = lines(&output.stderr);
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().expect("a message")).collect();
    assert_eq!(messages, ["grootfs.capacity.capacity-config", "grootfs.capacity.starting", "grootfs.capacity.ending"]);
    assert!(lines[0]["data"]["currentConfig"].as_str().expect("text").contains("/some/store"));
    assert!(lines.iter().all(|line| line["data"]["session"] == "1"), "{lines:?}");
    let output = run("--log-level debug generate-volume-size-metadata more");
    assert!(String::from_utf8_lossy(&output.stderr).contains("grootfs.generate-metadata.starting"));
}

#[test]
fn levels_below_the_asked_one_are_dropped() {
    assert_eq!(levels(&lines(&run("--log-level error delete").stderr)), ["error"]);
    assert_eq!(lines(&run("--log-level info capacity").stderr), Vec::<Value>::new());
    assert!(levels(&lines(&run("--log-level DEBUG capacity").stderr)).contains(&"debug"));
}

#[test]
fn timestamps_are_rfc3339_with_nine_decimals() {
    let output = run("--log-level debug capacity");
    for line in lines(&output.stderr) {
        let timestamp = line["timestamp"].as_str().expect("a string");
        let shape: String = timestamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000000Z");
    }
    let text = String::from_utf8(output.stderr).expect("text");
    let order = ["{\"timestamp\":", ",\"level\":\"debug\"", ",\"source\":\"grootfs\"", ",\"message\":", ",\"data\":{"];
    let places: Vec<_> = order.iter().map(|key| text.find(key).expect(key)).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn the_old_dialect_is_a_setting() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("config.yml");
    fs::write(&config, "log_timestamp_format: unix-epoch\nlog_level: debug\n").expect("written");
    let from_file = run(&format!("--config {} capacity", config.display()));
    let from_flag = run("--log-level debug --log-timestamp-format unix-epoch capacity");
    for output in [from_file, from_flag] {
        let text = String::from_utf8(output.stderr).expect("text");
        assert!(text.contains("\"log_level\":0,\"data\":{"), "{text}");
        for line in lines(text.as_bytes()) {
            let timestamp = line["timestamp"].as_str().expect("a string");
            let (seconds, decimals) = timestamp.split_once('.').expect("decimals");
            assert!(seconds.parse::<u64>().expect("a number") > 1_500_000_000);
            assert_eq!(decimals.len(), 9);
        }
    }
}

#[test]
fn a_log_file_is_appended_to_and_takes_the_logs() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("grootfs.log");
    let line = format!("--log-level debug --log-file {} delete", path.display());
    for runs in 1..=2 {
        let output = run(&line);
        assert_eq!((output.stdout, output.stderr), (b"id was not specified\n".to_vec(), Vec::new()));
        let logged = lines(&fs::read(&path).expect("a log"));
        assert_eq!(levels(&logged).iter().filter(|level| **level == "error").count(), runs);
    }
    let mode = fs::metadata(&path).expect("a log").permissions().mode();
    assert_eq!(mode & 0o777 & !0o644, 0, "{mode:o}");
}

#[test]
fn a_log_file_without_a_level_gets_info_and_no_debug() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("grootfs.log");
    for level in ["", "--log-level fatal"] {
        run(&format!("{level} --log-file {} delete", path.display()));
        let logged = lines(&fs::read(&path).expect("a log"));
        let levels = levels(&logged);
        assert!(levels.contains(&"error") && !levels.contains(&"debug"), "{levels:?}");
    }
}

#[test]
fn a_log_file_that_cannot_be_made_is_an_error() {
    let output = run("--log-file /no/such/grootfs.log capacity");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"open /no/such/grootfs.log: no such file or directory\n");
    assert_eq!(output.stderr, b"");
}

#[test]
fn every_line_is_one_short_write() {
    // A datagram socket keeps the bounds of what is written to it.
    let (ours, theirs) = UnixDatagram::pair().expect("sockets");
    let long = "x".repeat(100_000);
    let status = grootfs(&format!("--log-level debug --store {long} delete"))
        .stderr(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .status()
        .expect("grootfs starts");
    assert_eq!(status.code(), Some(1));
    ours.set_nonblocking(true).expect("a socket");
    let mut buffer = vec![0; 1 << 20];
    let mut count = 0;
    while let Ok(length) = ours.recv(&mut buffer) {
        assert!(length < 32 * 1024, "{length} bytes");
        assert_eq!(lines(&buffer[..length]).len(), 1);
        count += 1;
    }
    assert_eq!(count, 4, "configuration, start, error, end");
}

#[test]
fn a_log_that_nobody_reads_does_not_stop_the_work() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = grootfs("--log-level debug capacity").stderr(writer).output().expect("grootfs starts");
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"{\"capacity\":0}\n".to_vec()));
}

/// The reader that the logs of a whole test run are given to refuses what Garden would pass on as an error.
#[test]
fn a_line_that_garden_would_not_understand_is_noticed() {
    let line = |timestamp: &str, level: &str, data: &str| {
        format!("{{\"timestamp\":\"{timestamp}\",{level},\"source\":\"s\",\"message\":\"m\",\"data\":{data}}}\n")
    };
    let (time, level) = ("2024-01-02T03:04:05.123456789Z", "\"level\":\"info\"");
    for good in [
        line(time, level, "{}"),
        line(
            "1510151348.123456955",
            "\"log_level\":2",
            "{\"error\":\"e\",\"session\":\"1.2\",\"trace\":\"t\",\"x\":1}",
        ),
    ] {
        assert_eq!(chug::read(good.repeat(2).as_bytes()).unwrap().len(), 2, "{good}");
    }
    for bad in [
        "half a line".to_owned(),
        "no JSON\n".to_owned(),
        "thread 'main' panicked at {}\n".to_owned(),
        line(time, level, "{}").trim_end().to_owned(),
        line("yesterday", level, "{}"),
        line("2024-01-02 03:04:05.123456789Z", level, "{}"),
        line(time, "\"level\":\"warn\"", "{}"),
        line(time, "\"log_level\":4", "{}"),
        line(time, "\"x\":1", "{}"),
        line(time, level, "[]"),
        line(time, level, "{\"error\":5}"),
        line(time, level, "{\"session\":1}"),
        line(time, level, "{\"trace\":{}}"),
        line(time, level, &format!("{{\"x\":\"{}\"}}", "y".repeat(32 * 1024))),
    ] {
        assert!(chug::read(bad.as_bytes()).is_err(), "{bad}");
    }
}

/// Messages without the first part, which is the same in all, in the order of their coming.
fn messages(log: &str) -> Vec<String> {
    let entries = chug::read(log.as_bytes()).unwrap_or_else(|reason| panic!("{reason}"));
    entries.into_iter().map(|entry| entry.message.strip_prefix("grootfs.").unwrap().to_owned()).collect()
}

#[test]
fn sessions_have_the_names_that_the_original_gave_them() {
    let store = TempStore::new();
    // A device, which is left out with a message of the thread that unpacks.
    let layer = Layer::new(Archive::new().file("hello", 0o644, b"x").character_device("null").bytes());
    let url = Image::new().layer(layer).write(&store.beside("image"), "latest");
    let log = store.run(["--log-level", "debug", "create", &url, "x"]).stderr;
    let creating = "create.groot-creating";
    let layer = "create.groot-creating.image-pulling.build-layer";
    assert_eq!(
        messages(&log),
        [
            "create.create-config",
            "create.starting",
            &format!("{creating}.starting"),
            &format!("{creating}.fetching-image-info.starting"),
            &format!("{creating}.fetching-image-info.ending"),
            &format!("{creating}.acquiring-shared-lock.starting"),
            &format!("{creating}.acquiring-shared-lock.ending"),
            &format!("{creating}.image-pulling.starting"),
            &format!("{layer}.starting"),
            &format!("{layer}.acquiring-exclusive-lock.starting"),
            &format!("{layer}.acquiring-exclusive-lock.ending"),
            &format!("{layer}.downloading-layer.starting"),
            &format!("{layer}.unpacking-layer.starting"),
            &format!("{layer}.unpacking-layer.skipping-entry"),
            &format!("{layer}.unpacking-layer.ending"),
            &format!("{layer}.downloading-layer.ending"),
            &format!("{layer}.ending"),
            &format!("{creating}.image-pulling.ending"),
            &format!("{creating}.making-image.starting"),
            &format!("{creating}.making-image.ending"),
            &format!("{creating}.ending"),
            "create.ending",
        ]
    );
    let entries = chug::read(log.as_bytes()).unwrap();
    let built = entries.iter().find(|entry| entry.message.ends_with("build-layer.starting")).unwrap();
    assert_eq!((built.level.as_str(), built.session.as_deref()), ("info", Some("1.1.3.1")));
    assert_eq!(built.data["chainID"].as_str(), store.volumes().first().map(String::as_str));
    assert_eq!((&built.data["imageID"], &built.data["parentChainID"]), (&"x".into(), &"".into()));
    assert!(built.data["blobID"].as_str().unwrap().starts_with("sha256:"));

    for (command, expected) in [
        (&["stats", "x"][..], &["stats.groot-stats.starting", "stats.groot-stats.ending"][..]),
        (&["list"], &["list.groot-listing.starting"]),
        (&["init-store", "--without-quota"], &["init-store.store-manager-init-store.store-already-initialized"]),
        (&["delete", "x"], &["delete.groot-deleting.starting", "delete.groot-deleting.ending"]),
        (&["clean"], &["clean.groot-cleaning.starting", "clean.groot-cleaning.garbage-collector-mark-unused.starting"]),
        (&["clean"], &["clean.groot-cleaning.garbage-collector-collect.starting", "clean.groot-cleaning.ending"]),
        (&["generate-volume-size-metadata"], &["generate-metadata.starting"]),
        (&["delete", "unknown"], &["delete.id-not-found-skipping"]),
        (&["stats", "unknown"], &["stats.find-id-failed", "stats.failed"]),
        (
            &["create", "/not/here", "y"],
            &["create.groot-creating.starting", "create.groot-creating.ending", "create.failed"],
        ),
        (&["delete-store"], &["delete-store.store-manager-delete-store.starting"]),
    ] {
        let messages = messages(&store.run([&["--log-level", "debug"], command].concat()).stderr);
        for message in expected {
            assert!(messages.iter().any(|logged| logged == message), "no {message} in {messages:?}");
        }
    }
}

#[test]
fn every_line_of_a_create_with_many_layers_is_one_write_whatever_the_thread() {
    let store = TempStore::new();
    let layers = (0..20).map(|n| {
        let archive = Archive::new().file(&format!("file-{n}"), 0o644, b"x").character_device("null");
        Layer::new(archive.bytes())
    });
    let url = layers.fold(Image::new(), Image::layer).write(&store.beside("image"), "latest");
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        let mut entries = Vec::new();
        // A datagram without a byte is the end.
        while let Ok(length @ 1..) = ours.recv(&mut buffer) {
            let read = chug::read(&buffer[..length]).unwrap_or_else(|reason| panic!("{reason}"));
            assert_eq!(read.len(), 1, "one line a write");
            entries.extend(read);
        }
        entries
    });
    let end = theirs.try_clone().unwrap();
    let mut create = store.command(["--log-level", "debug", "create", &url, "x"]);
    assert!(create.stderr(OwnedFd::from(theirs)).stdout(Stdio::null()).status().unwrap().success());
    end.send(&[]).unwrap();
    let entries = reader.join().unwrap();
    let count = |message: &str| entries.iter().filter(|entry| entry.message.ends_with(message)).count();
    assert_eq!((count("build-layer.starting"), count("skipping-entry"), count("build-layer.ending")), (20, 20, 20));
    let session = "grootfs.create.groot-creating.image-pulling.build-layer.";
    let of_layers = entries.iter().filter(|entry| entry.message.contains("build-layer"));
    assert!(of_layers.into_iter().all(|entry| entry.message.starts_with(session)), "in whatever thread");
    let sessions: std::collections::BTreeSet<_> =
        entries.iter().filter(|entry| entry.message.ends_with("build-layer.starting")).map(|e| &e.session).collect();
    assert_eq!(sessions.len(), 20, "each layer has a number of its own");
}

#[test]
fn many_processes_append_to_one_file_line_by_line() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    let file = store.beside("log");
    let flags = ["--log-level", "debug", "--log-file", file.to_str().unwrap()];
    std::thread::scope(|scope| {
        for n in 0..30 {
            let (store, url) = (&store, &url);
            scope.spawn(move || store.ok([&flags[..], &["create", url, &format!("x-{n}")]].concat()));
        }
    });
    let log = fs::read(&file).unwrap();
    crate::support::logs::collect(&log);
    let entries = chug::read(&log).unwrap_or_else(|reason| panic!("{reason}"));
    let count = |message: &str| entries.iter().filter(|entry| entry.message == message).count();
    assert_eq!((count("grootfs.create.starting"), count("grootfs.create.ending")), (30, 30));
}
