//! Logs of the real program: where they go, in which dialect, and how they arrive.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn grootfs(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grootfs"));
    command.args(line.split_whitespace()).stdin(Stdio::null());
    command
}

fn run(line: &str) -> Output {
    grootfs(line).output().expect("grootfs starts")
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
