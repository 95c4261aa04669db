//! Metrics: what a Metron agent is sent, and what the metrics file has. Limits, which this kernel may lack, are in
//! `guest_garden.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{
    Archive, Image, Layer, MIB, Metron, Outcome, Received, SECRET, TempStore, grootfs_binary, run, small_image,
};

/// A store whose commands send their metrics to an agent.
struct Measured {
    store: TempStore,
    metron: Metron,
}

impl Measured {
    fn new() -> Self {
        let metron = Metron::start();
        let store = TempStore::new();
        Measured { store, metron }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let endpoint = self.metron.endpoint();
        self.store.command([&["--metron-endpoint", endpoint.as_str()], arguments].concat())
    }

    /// What a command says, and what it sends.
    fn run(&self, arguments: &[&str]) -> (Outcome, Received) {
        let outcome = run(&mut self.command(arguments));
        (outcome, self.metron.received())
    }

    /// What a command that must succeed sends.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Received {
        let (outcome, received) = self.run(arguments);
        outcome.success();
        received
    }

    /// What a command that must fail says and sends.
    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> (String, Received) {
        let (outcome, received) = self.run(arguments);
        (outcome.failure(), received)
    }

    /// Runs a command as a user who is nobody here.
    fn as_nobody(&self, arguments: &[&str]) -> (String, Received) {
        let directory = self.store.path().parent().unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        let binary = self.store.beside("grootfs");
        fs::copy(grootfs_binary(), &binary).unwrap();
        let command = self.command(arguments);
        let outcome =
            run(Command::new(binary).args(command.get_args()).env("GROOTFS_CONFIG", "").uid(65534).gid(65534));
        (outcome.failure(), self.metron.received())
    }
}

/// The counters of a command that succeeded or failed.
fn counters(command: &str, result: &str) -> [String; 3] {
    ["run", &format!("run.{result}"), result].map(|name| format!("grootfs-{command}.{name}"))
}

#[track_caller]
fn assert_one_time(received: &Received, name: &str) {
    let values = received.values(name, "nanos");
    assert!(matches!(values[..], [nanos] if nanos > 0.0 && nanos < 60e9), "{name}: {values:?}");
}

/// Two images of one layer each, of 1 and 2 MiB.
fn images(store: &TempStore) -> [String; 2] {
    [1, 2].map(|size| {
        let archive = Archive::new().file("file", 0o644, &vec![size; usize::from(size) * MIB as usize]).bytes();
        Image::new().layer(Layer::new(archive)).write(&store.beside(&format!("image-{size}")), "latest")
    })
}

#[test]
fn a_create_is_measured() {
    let measured = Measured::new();
    let [one, two] = images(&measured.store);
    let received = measured.ok(&["create", &one, "x"]);
    for time in ["ImageCreationTime", "UnpackTime", "DownloadTime", "SharedLockingTime", "ExclusiveLockingTime"] {
        assert_one_time(&received, time);
    }
    let creation = received.values("ImageCreationTime", "nanos")[0];
    assert!(received.values("UnpackTime", "nanos")[0] <= received.values("DownloadTime", "nanos")[0]);
    assert!(received.values("DownloadTime", "nanos")[0] < creation);
    let mib = MIB as f64;
    assert_eq!(received.values("UnusedLayersSize", "bytes"), [0.0]);
    assert_eq!(received.values("UsedLayersSize", "bytes"), [mib]);
    assert_eq!(received.values("DownloadedLayersSizeInBytes", "bytes"), [mib]);
    assert_eq!(received.values("CommittedQuotaInBytes", "bytes"), [0.0]);
    let used = received.values("StoreUsage", "bytes");
    assert!(matches!(used[..], [bytes] if bytes > mib && bytes < 100.0 * mib), "{used:?}");
    assert_eq!(received.values("UsedBackingStoreInBytes", "bytes"), used);
    assert_eq!(received.counters(), counters("create", "success"));
    assert!(received.errors().is_empty());
    assert_eq!(received.value_names().len(), 11, "nothing else is sent: {:?}", received.value_names());

    let received = measured.ok(&["create", &one, "y"]);
    for time in ["UnpackTime", "DownloadTime", "ExclusiveLockingTime"] {
        assert!(received.values(time, "nanos").is_empty(), "{time} of cached layers");
    }
    measured.store.ok(["delete", "x"]);
    measured.store.ok(["delete", "y"]);
    let received = measured.ok(&["create", &two, "z"]);
    assert_eq!(received.values("UnusedLayersSize", "bytes"), [mib]);
    assert_eq!(received.values("DownloadedLayersSizeInBytes", "bytes"), [3.0 * mib]);
}

#[test]
fn each_layer_is_measured() {
    let measured = Measured::new();
    let layers = (0..3).map(|n| Layer::new(Archive::new().file(&format!("file-{n}"), 0o644, b"x").bytes()));
    let url = layers.fold(Image::new(), Image::layer).write(&measured.store.beside("image"), "latest");
    let received = measured.ok(&["create", &url, "x"]);
    for time in ["UnpackTime", "DownloadTime", "ExclusiveLockingTime"] {
        assert_eq!(received.values(time, "nanos").len(), 3, "{time}");
    }
    assert_one_time(&received, "ImageCreationTime");
    assert_one_time(&received, "SharedLockingTime");
}

#[test]
fn a_clean_before_a_create_is_measured() {
    let measured = Measured::new();
    let [one, two] = images(&measured.store);
    measured.store.create(&one, "x");
    measured.store.ok(["delete", "x"]);
    let log = measured.store.beside("clean.log");
    for (id, flags) in [("y", vec![]), ("z", vec!["--clean-log-file", log.to_str().unwrap()])] {
        let received = measured.ok(&[&["create", "--with-clean"], &flags[..], &[&two, id]].concat());
        assert_eq!(received.values("UnusedLayersSize", "bytes"), [0.0]);
        assert_one_time(&received, "ImageCleanTime");
        assert_one_time(&received, "SharedLockingTime");
        assert_eq!(received.counters(), counters("create", "success"), "the clean is none of its own");
    }
    assert!(fs::read_to_string(log).unwrap().contains("groot-cleaning"));
}

#[test]
fn a_create_that_fails_is_told() {
    let measured = Measured::new();
    let (message, received) = measured.fails(&["create", "./not-here", "x"]);
    assert!(message.contains("stat ./not-here: no such file or directory"), "{message}");
    assert_eq!(received.errors(), [("grootfs-error.create", "1", message.as_str())]);
    assert_eq!(received.counters(), counters("create", "fail"));
    assert_one_time(&received, "ImageCreationTime");
    assert_eq!(received.values("UnusedLayersSize", "bytes"), [0.0]);
    assert!(received.values("StoreUsage", "bytes").is_empty());

    let (message, received) = measured.fails(&["create"]);
    assert_eq!(received.errors(), [("grootfs-error.create", "1", message.as_str())]);
    assert!(received.value_names().is_empty(), "{:?}", received.value_names());
}

#[test]
fn credentials_are_sent_to_no_agent() {
    let measured = Measured::new();
    for image in ["docker://127.0.0.1:1/image", &format!("docker://groot:{SECRET}@127.0.0.1:1/image"), "/not/here"] {
        let create = ["create", "--username", "groot", "--password", SECRET, image, "x"];
        let (_, received) = measured.run(&create);
        assert_eq!(received.errors().len(), 1, "{received:?}");
        assert!(!format!("{received:?}").contains(SECRET), "{received:?}");
    }
}

#[test]
fn a_layer_that_cannot_be_unpacked_is_measured() {
    let measured = Measured::new();
    let mut layer = Layer::new(Archive::new().file("file", 0o644, b"x").bytes());
    layer.diff_id = format!("sha256:{}", "0".repeat(64));
    let url = Image::new().layer(layer).write(&measured.store.beside("image"), "latest");
    let (_, received) = measured.fails(&["create", &url, "x"]);
    for time in ["UnpackTime", "DownloadTime", "ImageCreationTime"] {
        assert_one_time(&received, time);
    }
}

#[test]
fn a_delete_is_measured() {
    let measured = Measured::new();
    let [one, _] = images(&measured.store);
    measured.store.create(&one, "x");
    let received = measured.ok(&["delete", "x"]);
    assert_one_time(&received, "ImageDeletionTime");
    assert_eq!(received.values("UnusedLayersSize", "bytes"), [MIB as f64]);
    assert_eq!(received.values("UsedLayersSize", "bytes"), [0.0]);
    assert_eq!(received.counters(), counters("delete", "success"));
    assert_eq!(received.value_names(), ["ImageDeletionTime", "UnusedLayersSize", "UsedLayersSize"]);

    assert!(measured.ok(&["delete", "x"]).0.is_empty(), "nothing is sent of an image that is not there");
}

#[test]
fn a_delete_by_somebody_else_is_told() {
    let measured = Measured::new();
    measured.store.create(&small_image(&measured.store.beside("image")), "x");
    let (message, received) = measured.as_nobody(&["delete", "x"]);
    assert!(message.contains("permission denied"), "{message}");
    assert_eq!(received.errors(), [("grootfs-error.delete", "1", message.as_str())]);
    assert_eq!(received.counters(), counters("delete", "fail"));
}

#[test]
fn stats_are_measured_and_send_little() {
    let measured = Measured::new();
    measured.store.create(&small_image(&measured.store.beside("image")), "x");
    let received = measured.ok(&["stats", "x"]);
    assert_one_time(&received, "ImageStatsTime");
    assert_eq!(received.counters(), counters("stats", "success"));
    assert_eq!(received.0.len(), 4);

    let (message, received) = measured.fails(&["stats", "unknown"]);
    assert!(message.contains("not found"), "{message}");
    assert_eq!(received.errors(), [("grootfs-error.stats", "1", message.as_str())]);
    assert_eq!(received.counters(), counters("stats", "fail"));
}

#[test]
fn a_clean_is_measured() {
    let measured = Measured::new();
    let [one, _] = images(&measured.store);
    measured.store.create(&one, "x");
    measured.store.ok(["delete", "x"]);

    let received = measured.ok(&["clean", "--threshold-bytes", "1000000000"]);
    assert_one_time(&received, "ImageCleanTime");
    assert_eq!(received.values("UnusedLayersSize", "bytes"), [MIB as f64]);
    assert!(received.counters().is_empty(), "nothing to do is not counted");
    assert!(received.values("StoreUsage", "bytes").is_empty());

    let received = measured.ok(&["clean"]);
    assert_one_time(&received, "ImageCleanTime");
    assert_one_time(&received, "ExclusiveLockingTime");
    assert_eq!(received.values("UnusedLayersSize", "bytes"), [0.0]);
    assert_eq!(received.values("StoreUsage", "bytes").len(), 1);
    assert_eq!(received.counters(), counters("clean", "success"));
}

#[test]
fn a_clean_by_somebody_else_is_told() {
    let measured = Measured::new();
    let (message, received) = measured.as_nobody(&["clean"]);
    assert!(message.contains("permission denied"), "{message}");
    assert_eq!(received.errors(), [("grootfs-error.clean", "1", message.as_str())]);
    assert_eq!(received.counters(), counters("clean", "fail"));
}

#[test]
fn a_clean_of_a_missing_store_is_told_with_its_exit_code() {
    let metron = Metron::start();
    let outcome = run(crate::support::grootfs().args([
        "--store",
        "/invalid-store",
        "--metron-endpoint",
        &metron.endpoint(),
        "clean",
    ]));
    assert_eq!(outcome.success(), "no store found at /invalid-store\n");
    assert_eq!(metron.received().errors(), [("grootfs-error.clean", "0", "no store found at /invalid-store")]);
}

#[test]
fn the_endpoint_of_the_config_is_used_and_other_commands_send_nothing() {
    let measured = Measured::new();
    let config = measured.store.beside("config.yml");
    fs::write(&config, format!("metron_endpoint: {}\n", measured.metron.endpoint())).unwrap();
    let config = ["--config", config.to_str().unwrap()];
    let url = small_image(&measured.store.beside("image"));
    measured.store.ok([&config[..], &["create", &url, "x"]].concat());
    assert_one_time(&measured.metron.received(), "ImageCreationTime");
    for command in
        [&["list"][..], &["capacity"], &["init-store", "--without-quota"], &["generate-volume-size-metadata"]]
    {
        measured.store.ok([&config[..], command].concat());
    }
    assert!(measured.metron.received().0.is_empty());
}

#[test]
fn a_name_for_an_endpoint_is_resolved() {
    let measured = Measured::new();
    let endpoint = measured.metron.endpoint().replace("127.0.0.1", "localhost");
    measured.store.create(&small_image(&measured.store.beside("image")), "x");
    measured.store.ok(["--metron-endpoint", &endpoint, "stats", "x"]);
    assert_one_time(&measured.metron.received(), "ImageStatsTime");
}

#[test]
fn an_agent_that_is_not_there_costs_nothing_and_a_bad_endpoint_is_logged() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    let quickest = |endpoint: &str| {
        let times = (0..20).map(|_| {
            let start = Instant::now();
            store.ok(["--metron-endpoint", endpoint, "stats", "x"]);
            start.elapsed()
        });
        times.min().unwrap()
    };
    // A port that nobody listens on.
    assert!(quickest("127.0.0.1:1") < quickest("") + Duration::from_millis(10));
    for endpoint in ["no-port", "host.invalid:1"] {
        let outcome = store.run(["--log-level", "error", "--metron-endpoint", endpoint, "stats", "x"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        assert!(outcome.stderr.contains("sending-metrics-failed") && outcome.stderr.contains(endpoint), "{outcome:?}");
        assert!(outcome.stdout.starts_with("{\"disk_usage\":"), "{outcome:?}");
    }
}

/// The metrics file, whose every line must be what Prometheus' text format allows: comments, types that are declared
/// once and before their samples, names and labels of the right letters, numbers. Returns the samples.
fn parsed(path: &Path) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    let (mut types, mut samples) = (BTreeMap::new(), BTreeMap::new());
    let mut last = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "summary"].contains(&kind), "{line}");
            assert!(kind != "counter" || name.ends_with("_total"), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is declared twice");
            last = name.to_owned();
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_once('{').unwrap();
            let (labels, value) = rest.rsplit_once("} ").unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            let family = match types[&last].as_str() {
                "summary" => name.strip_suffix("_sum").or(name.strip_suffix("_count")).unwrap(),
                _ => name,
            };
            assert_eq!(family, last, "samples follow their type: {text}");
            assert!(["seconds", "bytes", "total"].iter().any(|unit| family.ends_with(unit)), "base units: {line}");
            for label in labels.split("\",") {
                let (key, value) = label.split_once("=\"").unwrap();
                assert!(key.bytes().all(|byte| byte.is_ascii_lowercase()) && !value.contains('\n'), "{line}");
            }
            let is_new = samples.insert(format!("{name}{{{labels}}}"), value.parse().unwrap()).is_none();
            assert!(is_new, "twice: {line}");
        }
    }
    samples
}

/// A sample of a store's metrics.
fn sample(samples: &BTreeMap<String, f64>, store: &TempStore, name: &str, labels: &str) -> f64 {
    let key = format!("{name}{{store=\"{}\"{labels}}}", store.path().display());
    *samples.get(&key).unwrap_or_else(|| panic!("no {key} in {samples:?}"))
}

#[test]
fn the_metrics_file_has_what_an_agent_is_sent() {
    let store = TempStore::new();
    let file = store.beside("grootfs.prom");
    let config = store.beside("config.yml");
    fs::write(&config, format!("metrics_file: {}\n", file.display())).unwrap();
    let config = ["--config", config.to_str().unwrap()];
    let [one, _] = images(&store);
    store.ok([&config[..], &["create", &one, "x"]].concat());
    store.ok([&config[..], &["stats", "x"]].concat());
    store.fails([&config[..], &["create", &one, "x"]].concat());
    store.ok([&config[..], &["delete", "x"]].concat());
    store.ok([&config[..], &["delete", "x"]].concat());
    let samples = parsed(&file);
    let value = |name: &str, labels: &str| sample(&samples, &store, name, labels);
    let runs = |command: &str, result: &str| {
        value("grootfs_command_runs_total", &format!(",command=\"{command}\",result=\"{result}\""))
    };
    assert_eq!((runs("create", "success"), runs("create", "failure")), (1.0, 1.0));
    assert_eq!((runs("stats", "success"), runs("delete", "success")), (1.0, 1.0));
    assert_eq!(value("grootfs_image_creation_seconds_count", ""), 2.0);
    let (sum, last) =
        (value("grootfs_image_creation_seconds_sum", ""), value("grootfs_image_creation_last_seconds", ""));
    assert!(last > 0.0 && last < sum && sum < 60.0, "{samples:?}");
    assert_eq!(value("grootfs_layer_unpack_seconds_count", ""), 1.0);
    assert_eq!(value("grootfs_image_deletion_seconds_count", ""), 1.0);
    assert_eq!(value("grootfs_unused_layers_bytes", ""), MIB as f64);
    assert!(value("grootfs_store_used_bytes", "") > MIB as f64);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);

    store.ok([&config[..], &["clean"]].concat());
    let samples = parsed(&file);
    assert_eq!(sample(&samples, &store, "grootfs_unused_layers_bytes", ""), 0.0);
}

#[test]
fn no_run_is_lost_and_no_reader_sees_half_a_file() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    let file = store.beside("grootfs.prom");
    let flag = ["--metrics-file", file.to_str().unwrap()];
    store.ok([&flag[..], &["stats", "x"]].concat());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..10).for_each(|_| drop(store.ok([&flag[..], &["stats", "x"]].concat()))));
        }
        for _ in 0..200 {
            assert!(!parsed(&file).is_empty());
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let samples = parsed(&file);
    let labels = ",command=\"stats\",result=\"success\"";
    assert_eq!(sample(&samples, &store, "grootfs_command_runs_total", labels), 81.0);
    assert_eq!(sample(&samples, &store, "grootfs_image_stats_seconds_count", ""), 81.0);
}

#[test]
fn a_metrics_file_that_cannot_be_written_is_one_log_line() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    let foreign = store.beside("node.prom");
    fs::write(&foreign, "node_time_seconds 1\n").unwrap();
    let directory = store.beside("directory");
    fs::create_dir(&directory).unwrap();
    for file in [foreign.as_path(), Path::new("/no/such/grootfs.prom"), directory.as_path()] {
        let flags = ["--log-level", "error", "--metrics-file", file.to_str().unwrap()];
        let outcome = store.run([&flags[..], &["stats", "x"]].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        assert!(outcome.stderr.contains("writing-metrics-file-failed"), "{outcome:?}");
    }
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "node_time_seconds 1\n");
}
