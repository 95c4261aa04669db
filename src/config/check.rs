//! From what is said of the settings to the configuration that the program goes by.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::options::{CleanOptions, CreateOptions, InitOptions, LimitOptions, Options};
use super::setting::Section;
use super::value::{Count, FilePath, Level, Mirrors, Size, Span, Switch, Text, Texts, Truth};
use super::{
    CleanConfig, Config, CreateConfig, Error, ImageVolumes, InitConfig, Limits, LogConfig, LogLevel, MountDestination,
    TimestampFormat, Watermarks,
};
use crate::limits::Limits as ImageLimits;

/// Checks what one source says by itself: a negative number in the file is an error even where a flag stands over it.
pub(super) fn check_numbers(mut options: Options) -> Result<(), Error> {
    let slots = options.slots();
    match slots.iter().find(|(_, slot)| slot.number().is_some_and(i64::is_negative)) {
        Some((setting, _)) => Err(Error::Negative(in_words(&setting.path()))),
        None => Ok(()),
    }
}

/// Callers of the original match the first two.
fn in_words(path: &str) -> String {
    match path {
        "create.disk_limit_size_bytes" => "disk limit".to_owned(),
        "clean.threshold_bytes" => "clean threshold".to_owned(),
        "init.store_size_bytes" => "store size".to_owned(),
        "create.concurrent_downloads" => "concurrent downloads".to_owned(),
        path => path.to_owned(),
    }
}

/// Checks what all sources together say, defaults included. Settings that belong together may be said by different ones.
pub(super) fn check_together(options: Options) -> Result<Config, Error> {
    let CleanOptions { high_watermark_percent, low_watermark_percent, .. } = &options.clean;
    let [high, low] = [high_watermark_percent, low_watermark_percent].map(|percent| count(percent.clone()));
    if low > high || (low == 0) != (high == 0) {
        return Err(Error::Watermarks { high, low });
    }
    check(options)
}

/// Checks each setting by itself, defaults included.
pub(super) fn check(options: Options) -> Result<Config, Error> {
    check_numbers(options.clone())?;
    let options = options.over(Options::defaults());
    Ok(Config {
        unknown_keys: Vec::new(),
        log: log(options.log_level, options.log_file, options.log_timestamp_format)?,
        create: create(options.create)?,
        init: init(options.init),
        store: path(options.store).unwrap_or_default(),
        driver: text(options.driver),
        tardis_bin: program(options.tardis_bin),
        drax_bin: program(options.drax_bin),
        btrfs_progs_path: path(options.btrfs_progs_path),
        newuidmap_bin: program(options.newuidmap_bin),
        newgidmap_bin: program(options.newgidmap_bin),
        metron_endpoint: text(options.metron_endpoint),
        metrics_file: path(options.metrics_file),
        timeout: time(options.timeout),
        clean: CleanConfig {
            threshold_bytes: bytes(options.clean.threshold_bytes),
            watermarks: watermarks(
                count(options.clean.high_watermark_percent),
                count(options.clean.low_watermark_percent),
            )?,
            ignore_images: texts(options.clean.ignore_images),
        },
    })
}

fn watermarks(high: u64, low: u64) -> Result<Option<Watermarks>, Error> {
    if high > 100 || low > 100 {
        return Err(Error::Watermarks { high, low });
    }
    Ok((high > 0 && low > 0).then_some(Watermarks { high, low }))
}

fn log(level: Option<Level>, file: Option<FilePath>, format: Option<Text>) -> Result<LogConfig, Error> {
    let word = level.map(|Level(word)| word).unwrap_or_default();
    let (known, file) = (log_level(&word), path(file));
    let level = known.unwrap_or_default();
    Ok(LogConfig {
        unknown_level: (known.is_none() && !word.is_empty()).then_some(word),
        // Whoever names a file wants something in it.
        level: if file.is_some() && level == LogLevel::Fatal { LogLevel::Info } else { level },
        file,
        timestamp_format: timestamp_format(text(format))?,
    })
}

/// Unknown words mean `fatal`, as they did in every version of GrootFS.
fn log_level(word: &str) -> Option<LogLevel> {
    match word.to_ascii_lowercase().as_str() {
        "debug" => Some(LogLevel::Debug),
        "info" => Some(LogLevel::Info),
        "error" => Some(LogLevel::Error),
        "fatal" => Some(LogLevel::Fatal),
        _ => None,
    }
}

/// What is told of a word that is no level.
pub(super) fn of_unknown_level(word: &str) -> String {
    format!("log_level: `{word}` is none of debug, info, error and fatal: nothing is logged")
}

fn timestamp_format(word: Option<String>) -> Result<TimestampFormat, Error> {
    match word.as_deref() {
        None | Some("rfc3339") => Ok(TimestampFormat::Rfc3339),
        Some("unix-epoch") => Ok(TimestampFormat::UnixEpoch),
        Some(other) => Err(Error::UnknownWord {
            setting: "log timestamp format",
            expected: "rfc3339 or unix-epoch",
            given: other.to_owned(),
        }),
    }
}

fn create(options: CreateOptions) -> Result<CreateConfig, Error> {
    Ok(CreateConfig {
        disk_limit_bytes: bytes(options.disk_limit_size_bytes),
        disk_limit_inodes: options.disk_limit_inodes.map(|Count(number)| unsigned(number)),
        exclude_image_from_quota: truth(options.exclude_image_from_quota),
        skip_layer_validation: truth(options.skip_layer_validation),
        insecure_registries: texts(options.insecure_registries),
        registry_mirrors: mirrors(options.registry_mirrors)?,
        concurrent_downloads: usize::try_from(count(options.concurrent_downloads)).unwrap_or(usize::MAX),
        offline: truth(options.offline),
        without_layer_digests: truth(options.without_layer_digests),
        with_clean: switch(options.with_clean),
        without_mount: switch(options.without_mount),
        limits: limits(options.limits),
        mount_destination: mount_destination(text(options.mount_destination))?,
        image_volumes: image_volumes(text(options.image_volumes))?,
        clean_log_file: path(options.clean_log_file),
        remote_layer_client_certificates_path: path(options.remote_layer_client_certificates_path),
    })
}

fn mirrors(mirrors: Option<Mirrors>) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let Mirrors(mirrors) = mirrors.unwrap_or_default();
    match mirrors.iter().find(|(_, endpoints)| endpoints.iter().any(|endpoint| endpoint.contains('@'))) {
        Some((registry, _)) => Err(Error::MirrorWithUser(registry.clone())),
        None => Ok(mirrors),
    }
}

fn limits(mut options: LimitOptions) -> Limits {
    let mut image = ImageLimits::default();
    for (setting, slot) in options.own_slots() {
        // What is no limit of the image is one of the server, below.
        let _ = slot.number().map(|number| image.set(setting.key, unsigned(number)));
    }
    Limits {
        stall_timeout_seconds: count(options.stall_timeout_seconds),
        min_bytes_per_second: bytes(options.min_bytes_per_second),
        manifest_timeout_seconds: count(options.manifest_timeout_seconds),
        image,
    }
}

fn mount_destination(word: Option<String>) -> Result<MountDestination, Error> {
    match word.as_deref() {
        None | Some("rootfs") => Ok(MountDestination::Rootfs),
        Some("root") => Ok(MountDestination::Root),
        Some(other) => Err(Error::UnknownWord {
            setting: "create.mount_destination",
            expected: "rootfs or root",
            given: other.to_owned(),
        }),
    }
}

fn image_volumes(word: Option<String>) -> Result<ImageVolumes, Error> {
    match word.as_deref() {
        None | Some("bind") => Ok(ImageVolumes::Bind),
        Some("ignore") => Ok(ImageVolumes::Ignore),
        Some(other) => Err(Error::UnknownWord {
            setting: "create.image_volumes",
            expected: "bind or ignore",
            given: other.to_owned(),
        }),
    }
}

fn init(options: InitOptions) -> InitConfig {
    InitConfig {
        store_size_bytes: bytes(options.store_size_bytes),
        store_size_from_flag: false,
        with_direct_io: switch(options.with_direct_io),
        without_quota: switch(options.without_quota),
        mount_images: switch(options.mount_images),
        shared_layers: path(options.shared_layers),
    }
}

/// None is negative by now.
fn unsigned(number: i64) -> u64 {
    number.unsigned_abs()
}

fn bytes(size: Option<Size>) -> u64 {
    size.map_or(0, |Size(bytes)| unsigned(bytes))
}

fn count(count: Option<Count>) -> u64 {
    count.map_or(0, |Count(number)| unsigned(number))
}

fn time(span: Option<Span>) -> Option<Duration> {
    let seconds = span.map_or(0, |Span(seconds)| unsigned(seconds));
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

fn truth(truth: Option<Truth>) -> bool {
    truth == Some(Truth(true))
}

fn switch(switch: Option<Switch>) -> bool {
    switch == Some(Switch(true))
}

fn texts(texts: Option<Texts>) -> Vec<String> {
    texts.unwrap_or_default().0
}

fn text(text: Option<Text>) -> Option<String> {
    text.map(|Text(text)| text).filter(|text| !text.is_empty())
}

fn path(path: Option<FilePath>) -> Option<PathBuf> {
    path.map(|FilePath(path)| path).filter(|path| !path.as_os_str().is_empty()).map(from_root)
}

/// The same path, which goes on to mean the same when the working directory is another: that of a create is.
fn from_root(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// A name without a slash is looked up in `$PATH`.
fn program(path: Option<FilePath>) -> PathBuf {
    let FilePath(program) = path.unwrap_or_else(|| FilePath(PathBuf::new()));
    if program.components().count() == 1 && !program.has_root() { program } else { from_root(program) }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::config::yaml;

    type Given<'a> = &'a [(&'a str, &'a str)];

    fn merged(content: &str, flags: Given) -> Result<Config, Error> {
        let file = yaml::parse(content.as_bytes())?.options;
        check_numbers(file.clone())?;
        check_together(given(flags).over(file))
    }

    /// Options with these values, by the path of their setting.
    fn given(values: Given) -> Options {
        let mut options = Options::default();
        for (path, text) in values {
            let slot = options.slots().into_iter().find(|(setting, _)| setting.path() == *path);
            slot.expect("a setting").1.add(OsStr::new(text)).expect("a value");
        }
        options
    }

    fn from_file(content: &str) -> Config {
        with_flags(content, &[])
    }

    fn with_flags(content: &str, flags: Given) -> Config {
        merged(content, flags).unwrap_or_else(|error| panic!("{content}: {error}"))
    }

    fn mirrors(all: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        all.iter().map(|(registry, endpoints)| ((*registry).to_owned(), owned(endpoints))).collect()
    }

    #[test]
    fn nothing_given_is_the_defaults() {
        assert_eq!(from_file(""), Config::default());
    }

    #[test]
    fn the_example_is_the_defaults() {
        assert_eq!(from_file(include_str!("../../config.example.yml")), Config::default());
    }

    #[test]
    fn every_key_is_read() {
        let config = from_file(
            "{store: /s, driver: btrfs, tardis_bin: /t, drax_bin: /d, btrfs_progs_path: /b, newuidmap_bin: /u, \
             newgidmap_bin: /g, metron_endpoint: 'h:1', metrics_file: /m, log_level: debug, log_file: /l, \
             log_timestamp_format: unix-epoch, timeout: 2m, create: {exclude_image_from_quota: true, skip_layer_validation: true, \
             with_clean: true, without_mount: true, disk_limit_size_bytes: 1, disk_limit_inodes: 0, insecure_registries: [a, 'b:2'], \
             registry_mirrors: {h: [m, 'n:1'], i: k}, concurrent_downloads: 4, offline: true, without_layer_digests: true, \
             limits: {stall_timeout_seconds: 5, min_bytes_per_second: 6, manifest_timeout_seconds: 7}, \
             mount_destination: root, image_volumes: ignore, clean_log_file: /c, remote_layer_client_certificates_path: /r}, \
             clean: {threshold_bytes: 2, ignore_images: ['docker:///i']}, \
             init: {store_size_bytes: 3, with_direct_io: true, without_quota: true, mount_images: true, shared_layers: /l}}",
        );
        let expected = Config {
            unknown_keys: Vec::new(),
            store: "/s".into(),
            driver: Some("btrfs".into()),
            tardis_bin: "/t".into(),
            drax_bin: "/d".into(),
            btrfs_progs_path: Some("/b".into()),
            newuidmap_bin: "/u".into(),
            newgidmap_bin: "/g".into(),
            metron_endpoint: Some("h:1".into()),
            metrics_file: Some("/m".into()),
            timeout: Some(Duration::from_secs(120)),
            log: LogConfig {
                level: LogLevel::Debug,
                unknown_level: None,
                file: Some("/l".into()),
                timestamp_format: TimestampFormat::UnixEpoch,
            },
            create: CreateConfig {
                disk_limit_bytes: 1,
                disk_limit_inodes: Some(0),
                exclude_image_from_quota: true,
                skip_layer_validation: true,
                insecure_registries: vec!["a".into(), "b:2".into()],
                registry_mirrors: mirrors(&[("h", &["m", "n:1"]), ("i", &["k"])]),
                concurrent_downloads: 4,
                offline: true,
                without_layer_digests: true,
                limits: Limits {
                    stall_timeout_seconds: 5,
                    min_bytes_per_second: 6,
                    manifest_timeout_seconds: 7,
                    image: ImageLimits::default(),
                },
                with_clean: true,
                without_mount: true,
                mount_destination: MountDestination::Root,
                image_volumes: ImageVolumes::Ignore,
                clean_log_file: Some("/c".into()),
                remote_layer_client_certificates_path: Some("/r".into()),
            },
            clean: CleanConfig { threshold_bytes: 2, watermarks: None, ignore_images: vec!["docker:///i".into()] },
            init: InitConfig {
                store_size_bytes: 3,
                store_size_from_flag: false,
                with_direct_io: true,
                without_quota: true,
                mount_images: true,
                shared_layers: Some("/l".into()),
            },
        };
        assert_eq!(config, expected);
    }

    /// As the garden job of garden-runc-release renders it.
    const RENDERED: &str = "\
store: /var/vcap/data/grootfs/store/unprivileged
tardis_bin: /var/vcap/packages/grootfs/bin/tardis
newuidmap_bin: /var/vcap/packages/garden-idmapper/bin/newuidmap
newgidmap_bin: /var/vcap/packages/garden-idmapper/bin/newgidmap
log_level: info
metron_endpoint: 127.0.0.1:3457
log_timestamp_format: unix-epoch
create:
  without_mount: false
  insecure_registries: [\"host:5000\"]
  skip_layer_validation: true
  clean_log_file: \"/var/vcap/sys/log/garden/groot.clean.log\"
  remote_layer_client_certificates_path: /var/vcap/jobs/garden/certs
init:
  with_direct_io: true
";

    /// The same after its thresholder has rewritten it: every key it knows, no other.
    const REWRITTEN: &str = "\
store: /var/vcap/data/grootfs/store/unprivileged
tardis_bin: /var/vcap/packages/grootfs/bin/tardis
newuidmap_bin: /var/vcap/packages/garden-idmapper/bin/newuidmap
newgidmap_bin: /var/vcap/packages/garden-idmapper/bin/newgidmap
metron_endpoint: 127.0.0.1:3457
log_level: info
log_file: \"\"
create:
  exclude_image_from_quota: false
  skip_layer_validation: true
  with_clean: true
  clean_log_file: /var/vcap/sys/log/garden/groot.clean.log
  without_mount: false
  disk_limit_size_bytes: 0
  insecure_registries:
  - host:5000
  remote_layer_client_certificates_path: /var/vcap/jobs/garden/certs
clean:
  threshold_bytes: 37580963840
init:
  store_size_bytes: 37580963840
  owneruser: \"\"
  ownergroup: \"\"
  with_direct_io: true
";

    #[test]
    fn the_files_of_bosh_load() {
        let rendered = from_file(RENDERED);
        assert_eq!(rendered.log.timestamp_format, TimestampFormat::UnixEpoch);
        let rewritten = from_file(REWRITTEN);
        assert_eq!(rewritten.clean.threshold_bytes, 37_580_963_840);
        assert_eq!(rewritten.init.store_size_bytes, 37_580_963_840);
        assert!(rewritten.create.with_clean);
        // What the thresholder does not touch is the same in both.
        let mut rewritten = rewritten;
        rewritten.log.timestamp_format = TimestampFormat::UnixEpoch;
        rewritten.clean = CleanConfig::default();
        rewritten.init.store_size_bytes = 0;
        rewritten.create.with_clean = false;
        assert_eq!(rewritten, rendered);
        assert_eq!(rendered.driver, None);
        assert_eq!(rendered.log.file, None);
    }

    #[test]
    fn zero_values_are_no_values() {
        let config = from_file(
            "{store: '', driver: '', tardis_bin: '', drax_bin: '', btrfs_progs_path: '', newuidmap_bin: '', \
             newgidmap_bin: '', metron_endpoint: '', log_level: '', log_file: '', log_timestamp_format: '', \
             create: {mount_destination: '', clean_log_file: '', remote_layer_client_certificates_path: ''}}",
        );
        assert_eq!(config, Config::default());
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = "{store: /file, driver: file, log_level: debug, metron_endpoint: file, tardis_bin: file}";
        let flags = [
            ("store", "/flag"),
            ("driver", "flag"),
            ("log_level", "ERROR"),
            ("metron_endpoint", "flag"),
            ("tardis_bin", "flag"),
        ];
        let config = with_flags(file, &flags);
        assert_eq!(config.store, PathBuf::from("/flag"));
        assert_eq!(config.driver.as_deref(), Some("flag"));
        assert_eq!(config.log.level, LogLevel::Error);
        assert_eq!(config.metron_endpoint.as_deref(), Some("flag"));
        assert_eq!(config.tardis_bin, PathBuf::from("flag"));
    }

    #[test]
    fn every_default_is_a_value_and_stands_under_everything() {
        for (setting, slot) in Options::default().slots() {
            if let Some(default) = setting.default {
                assert_eq!(slot.add(OsStr::new(default)), Ok(()), "{}", setting.path());
            }
        }
        assert_eq!(Config::default().create.limits.image, ImageLimits::default());
    }

    #[test]
    fn paths_are_absolute_and_names_of_programs_are_not() {
        let config = from_file("{metrics_file: m, log_file: d/l, drax_bin: d/drax, tardis_bin: tardis2}");
        let here = |name: &str| std::env::current_dir().unwrap().join(name);
        assert_eq!((config.metrics_file, config.log.file), (Some(here("m")), Some(here("d/l"))));
        assert_eq!((config.drax_bin, config.tardis_bin), (here("d/drax"), "tardis2".into()));
    }

    #[test]
    fn empty_flags_leave_it_to_the_file_but_for_the_log_level() {
        let file = "{store: /file, metron_endpoint: file, log_file: '', log_level: debug}";
        let config = with_flags(file, &[("store", ""), ("metron_endpoint", ""), ("log_file", ""), ("log_level", "")]);
        assert_eq!(config.store, PathBuf::from("/file"));
        assert_eq!(config.metron_endpoint.as_deref(), Some("file"));
        assert_eq!(config.log, LogConfig::default());
    }

    #[test]
    fn a_log_file_gets_info_at_least() {
        for (level, expected) in [
            ("", LogLevel::Info),
            ("fatal", LogLevel::Info),
            ("nonsense", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("Info", LogLevel::Info),
            ("error", LogLevel::Error),
        ] {
            let config = from_file(&format!("{{log_file: /l, log_level: '{level}'}}"));
            assert_eq!(config.log.level, expected, "{level}");
        }
        assert_eq!(from_file("log_level: nonsense").log.level, LogLevel::Fatal);
    }

    #[test]
    fn a_list_of_registries_replaces_the_other() {
        let file = "create: {insecure_registries: [a]}";
        assert_eq!(from_file(file).create.insecure_registries, ["a"]);
        let config = with_flags(file, &[("create.insecure_registries", "b, c")]);
        assert_eq!(config.create.insecure_registries, ["b", "c"]);
    }

    #[test]
    fn values_of_flags_count_even_if_they_are_zero() {
        let file = "{create: {disk_limit_size_bytes: 5, exclude_image_from_quota: true, skip_layer_validation: true}, \
                    clean: {threshold_bytes: 6}, init: {store_size_bytes: 7}}";
        let flags = [
            ("create.disk_limit_size_bytes", "0"),
            ("create.exclude_image_from_quota", "false"),
            ("create.skip_layer_validation", "false"),
            ("clean.threshold_bytes", "0"),
            ("init.store_size_bytes", "0"),
        ];
        assert_eq!(with_flags(file, &flags), Config::default());
    }

    #[test]
    fn a_limit_is_none_if_it_is_zero_and_the_default_if_it_is_null() {
        let of = |text: &str| from_file(&format!("create: {{limits: {{entries: {text}, unpacked_bytes: {text}}}}}"));
        assert_eq!(of("~").create.limits.image, ImageLimits::default());
        let mut unlimited = ImageLimits::default();
        unlimited.set("entries", 0);
        unlimited.set("unpacked_bytes", 0);
        assert_eq!(of("0").create.limits.image, unlimited);
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let error = |file: &str, flags: Given| merged(file, flags).expect_err(file).to_string();
        for (text, expected) in [
            (
                error("create: {disk_limit_size_bytes: -1}", &[("create.disk_limit_size_bytes", "1")]),
                "invalid argument: disk limit cannot be negative",
            ),
            (error("", &[("create.disk_limit_size_bytes", "-200")]), "invalid argument: disk limit cannot be negative"),
            (error("", &[("clean.threshold_bytes", "-1")]), "invalid argument: clean threshold cannot be negative"),
            (error("clean: {threshold_bytes: -1}", &[]), "invalid argument: clean threshold cannot be negative"),
            (
                error("clean: {high_watermark_percent: 80}", &[]),
                "invalid argument: clean.high_watermark_percent (80) and clean.low_watermark_percent (0) must both be from 1 to \
                 100, the low one not above the high one, or both 0",
            ),
            (
                error("clean: {high_watermark_percent: 80}", &[("clean.low_watermark_percent", "81")]),
                "invalid argument: clean.high_watermark_percent (80) and clean.low_watermark_percent (81) must both be from 1 \
                 to 100, the low one not above the high one, or both 0",
            ),
            (
                error("clean: {high_watermark_percent: 101, low_watermark_percent: 1}", &[]),
                "invalid argument: clean.high_watermark_percent (101) and clean.low_watermark_percent (1) must both be from 1 \
                 to 100, the low one not above the high one, or both 0",
            ),
            (error("init: {store_size_bytes: -1}", &[]), "invalid argument: store size cannot be negative"),
            (
                error("create: {concurrent_downloads: -1}", &[]),
                "invalid argument: concurrent downloads cannot be negative",
            ),
            (
                error("create: {registry_mirrors: {h: ['me:secret@m']}}", &[]),
                "invalid argument: a mirror of h is named with a user: log in to it instead",
            ),
            (
                error("create: {mount_destination: x}", &[]),
                "invalid argument: create.mount_destination must be rootfs or root, not `x`",
            ),
            (
                error("create: {image_volumes: ignore}", &[("create.image_volumes", "tmpfs")]),
                "invalid argument: create.image_volumes must be bind or ignore, not `tmpfs`",
            ),
            (
                error("log_timestamp_format: x", &[]),
                "invalid argument: log timestamp format must be rfc3339 or unix-epoch, not `x`",
            ),
        ] {
            assert_eq!(text, expected);
        }
    }
}
