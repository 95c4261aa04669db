//! Flags over file over defaults.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::yaml::{self, ConfigFile};
use super::{
    CleanConfig, Config, CreateConfig, Error, ImageVolumes, InitConfig, Limits, LogConfig, LogLevel, MountDestination,
    Overrides, TimestampFormat, UnknownKey,
};
use crate::limits::Limits as ImageLimits;

pub(super) fn merge(document: ConfigFile, flags: &Overrides) -> Result<Config, Error> {
    let defaults = Config::default();
    // A negative number in the file is an error even where a flag stands over it.
    let sizes = Sizes::of(&document, flags)?;
    Ok(Config {
        unknown_keys: document.unknown.iter().map(|key| UnknownKey::of(key)).collect(),
        log: log(&document, flags)?,
        create: create(&document, flags, &sizes)?,
        init: init(&document, flags, sizes.store),
        store: path_or(&flags.store, document.store, defaults.store),
        driver: text(&flags.driver, document.driver),
        tardis_bin: program(&flags.tardis_bin, document.tardis_bin, defaults.tardis_bin),
        drax_bin: program(&flags.drax_bin, document.drax_bin, defaults.drax_bin),
        btrfs_progs_path: path(&flags.btrfs_progs_path, document.btrfs_progs_path),
        newuidmap_bin: program(&flags.newuidmap_bin, document.newuidmap_bin, defaults.newuidmap_bin),
        newgidmap_bin: program(&flags.newgidmap_bin, document.newgidmap_bin, defaults.newgidmap_bin),
        metron_endpoint: text(&flags.metron_endpoint, document.metron_endpoint),
        metrics_file: path(&flags.metrics_file, document.metrics_file),
        clean: CleanConfig { threshold_bytes: sizes.threshold, ignore_images: document.clean.ignore_images },
    })
}

/// The numbers, most of them of bytes.
struct Sizes {
    disk_limit: u64,
    inode_limit: Option<u64>,
    threshold: u64,
    store: u64,
    downloads: u64,
}

impl Sizes {
    fn of(document: &ConfigFile, flags: &Overrides) -> Result<Self, Error> {
        let disk_limit = document.create.disk_limit_size_bytes;
        let threshold = document.clean.threshold_bytes;
        let store = document.init.store_size_bytes;
        let downloads = document.create.concurrent_downloads;
        Ok(Sizes {
            disk_limit: size("disk limit", flags.disk_limit_size_bytes, disk_limit)?,
            inode_limit: optional("inode limit", flags.disk_limit_inodes, document.create.disk_limit_inodes)?,
            threshold: size("clean threshold", flags.threshold_bytes, threshold)?,
            store: size("store size", flags.store_size_bytes, store)?,
            downloads: size("concurrent downloads", flags.concurrent_downloads, downloads)?,
        })
    }
}

fn limits(file: &yaml::Limits, flags: &Overrides) -> Result<Limits, Error> {
    let of = |setting, flag: Option<i64>, file: Option<i64>, default| match flag.or(file) {
        Some(number) => size(setting, Some(number), 0),
        None => Ok(default),
    };
    let usual = Limits::default();
    let (stall, rate, manifest) =
        (file.stall_timeout_seconds, file.min_bytes_per_second, file.manifest_timeout_seconds);
    Ok(Limits {
        stall_timeout_seconds: of("stall timeout", flags.stall_timeout_seconds, stall, usual.stall_timeout_seconds)?,
        min_bytes_per_second: of("minimum rate", flags.min_bytes_per_second, rate, usual.min_bytes_per_second)?,
        manifest_timeout_seconds: of(
            "manifest timeout",
            flags.manifest_timeout_seconds,
            manifest,
            usual.manifest_timeout_seconds,
        )?,
        image: image_limits(file, flags)?,
    })
}

fn image_limits(file: &yaml::Limits, flags: &Overrides) -> Result<ImageLimits, Error> {
    let mut limits = ImageLimits::default();
    for (name, number) in file.of_image() {
        limits.set(name, size("a limit", Some(number), 0)?);
    }
    for (name, number) in &flags.limits {
        if !limits.set(name, size("a limit", Some(*number), 0)?) {
            return Err(Error::UnknownLimit(name.clone()));
        }
    }
    Ok(limits)
}

fn size(setting: &'static str, flag: Option<i64>, file: i64) -> Result<u64, Error> {
    let unsigned = |bytes: i64| u64::try_from(bytes).map_err(|_| Error::Negative(setting));
    let file = unsigned(file)?;
    flag.map_or(Ok(file), unsigned)
}

/// A number whose absence is no zero.
fn optional(setting: &'static str, flag: Option<i64>, file: Option<i64>) -> Result<Option<u64>, Error> {
    let file = file.map(|file| size(setting, None, file)).transpose()?;
    flag.map_or(Ok(file), |flag| size(setting, Some(flag), 0).map(Some))
}

fn log(document: &ConfigFile, flags: &Overrides) -> Result<LogConfig, Error> {
    // Unlike other flags, an empty level counts as given: it silences what the file asks for.
    let level = level(flags.log_level.as_ref().unwrap_or(&document.log_level));
    let file = path(&flags.log_file, document.log_file.clone());
    let format = text(&flags.log_timestamp_format, document.log_timestamp_format.clone());
    Ok(LogConfig {
        // Whoever names a file wants something in it.
        level: if file.is_some() && level == LogLevel::Fatal { LogLevel::Info } else { level },
        file,
        timestamp_format: timestamp_format(format)?,
    })
}

/// Unknown words are `fatal`, as they were in every version of GrootFS.
fn level(word: &str) -> LogLevel {
    match word.to_ascii_lowercase().as_str() {
        "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "error" => LogLevel::Error,
        _ => LogLevel::Fatal,
    }
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

fn create(document: &ConfigFile, flags: &Overrides, sizes: &Sizes) -> Result<CreateConfig, Error> {
    let file = &document.create;
    if flags.with_clean && flags.without_clean {
        return Err(Error::CleanConflict);
    }
    Ok(CreateConfig {
        disk_limit_bytes: sizes.disk_limit,
        disk_limit_inodes: sizes.inode_limit,
        exclude_image_from_quota: flags.exclude_image_from_quota.unwrap_or(file.exclude_image_from_quota),
        skip_layer_validation: flags.skip_layer_validation.unwrap_or(file.skip_layer_validation),
        insecure_registries: if flags.insecure_registries.is_empty() {
            file.insecure_registries.clone()
        } else {
            flags.insecure_registries.clone()
        },
        registry_mirrors: mirrors(flags, file)?,
        concurrent_downloads: usize::try_from(sizes.downloads).unwrap_or(usize::MAX),
        offline: flags.offline.unwrap_or(file.offline),
        with_clean: flags.with_clean || (file.with_clean && !flags.without_clean),
        // Both mount flags are no conflict: the one that does less wins.
        without_mount: flags.without_mount || (file.without_mount && !flags.with_mount),
        limits: limits(&file.limits, flags)?,
        mount_destination: mount_destination(&file.mount_destination)?,
        image_volumes: image_volumes(text(&flags.image_volumes, file.image_volumes.clone()))?,
        clean_log_file: path(&flags.clean_log_file, file.clean_log_file.clone()),
        remote_layer_client_certificates_path: path(&None, file.remote_layer_client_certificates_path.clone()),
    })
}

fn mirrors(flags: &Overrides, file: &yaml::Create) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mirrors = if flags.registry_mirrors.is_empty() { &file.registry_mirrors } else { &flags.registry_mirrors };
    match mirrors.iter().find(|(_, endpoints)| endpoints.iter().any(|endpoint| endpoint.contains('@'))) {
        Some((registry, _)) => Err(Error::MirrorWithUser(registry.clone())),
        None => Ok(mirrors.clone()),
    }
}

fn mount_destination(word: &str) -> Result<MountDestination, Error> {
    match word {
        "" | "rootfs" => Ok(MountDestination::Rootfs),
        "root" => Ok(MountDestination::Root),
        other => Err(Error::UnknownWord {
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

fn init(document: &ConfigFile, flags: &Overrides, store_size_bytes: u64) -> InitConfig {
    InitConfig {
        store_size_bytes,
        store_size_from_flag: flags.store_size_bytes.is_some(),
        with_direct_io: flags.with_direct_io || document.init.with_direct_io,
        without_quota: flags.without_quota || document.init.without_quota,
        mount_images: flags.mount_images || document.init.mount_images,
        shared_layers: path(&flags.shared_layers, document.init.shared_layers.clone()),
    }
}

/// The first of both that is not empty.
fn text(flag: &Option<String>, file: String) -> Option<String> {
    flag.clone().filter(|flag| !flag.is_empty()).or(Some(file)).filter(|text| !text.is_empty())
}

/// The first of both that is not empty.
fn path(flag: &Option<PathBuf>, file: String) -> Option<PathBuf> {
    let flag = flag.clone().filter(|flag| !flag.as_os_str().is_empty());
    flag.or_else(|| Some(PathBuf::from(file)).filter(|path| !path.as_os_str().is_empty())).map(from_root)
}

/// The same path, which goes on to mean the same when the working directory is another: that of a create is.
fn from_root(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// A name without a slash is looked up in `$PATH`.
fn program(flag: &Option<PathBuf>, file: String, default: PathBuf) -> PathBuf {
    let named = [flag.clone().unwrap_or_default(), file.into()].into_iter().find(|path| !path.as_os_str().is_empty());
    let program = named.unwrap_or(default);
    if program.components().count() == 1 && !program.has_root() { program } else { from_root(program) }
}

fn path_or(flag: &Option<PathBuf>, file: String, default: PathBuf) -> PathBuf {
    path(flag, file).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(content: &str, flags: &Overrides) -> Result<Config, Error> {
        merge(yaml::parse(content.as_bytes())?, flags)
    }

    fn from_file(content: &str) -> Config {
        merged(content, &Overrides::default()).unwrap_or_else(|error| panic!("{content}: {error}"))
    }

    fn with_flags(content: &str, set: impl FnOnce(&mut Overrides)) -> Config {
        let mut flags = Overrides::default();
        set(&mut flags);
        merged(content, &flags).unwrap_or_else(|error| panic!("{content}: {error}"))
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
             log_timestamp_format: unix-epoch, create: {exclude_image_from_quota: true, skip_layer_validation: true, \
             with_clean: true, without_mount: true, disk_limit_size_bytes: 1, disk_limit_inodes: 0, insecure_registries: [a, 'b:2'], \
             registry_mirrors: {h: [m, 'n:1'], i: k}, concurrent_downloads: 4, offline: true, \
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
            log: LogConfig {
                level: LogLevel::Debug,
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
            clean: CleanConfig { threshold_bytes: 2, ignore_images: vec!["docker:///i".into()] },
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
        let config = with_flags(file, |flags| {
            flags.store = Some("/flag".into());
            flags.driver = Some("flag".into());
            flags.log_level = Some("ERROR".into());
            flags.metron_endpoint = Some("flag".into());
            flags.tardis_bin = Some("flag".into());
        });
        assert_eq!(config.store, PathBuf::from("/flag"));
        assert_eq!(config.driver.as_deref(), Some("flag"));
        assert_eq!(config.log.level, LogLevel::Error);
        assert_eq!(config.metron_endpoint.as_deref(), Some("flag"));
        assert_eq!(config.tardis_bin, PathBuf::from("flag"));
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
        let config = with_flags("{store: /file, metron_endpoint: file, log_file: '', log_level: debug}", |flags| {
            flags.store = Some("".into());
            flags.metron_endpoint = Some(String::new());
            flags.log_file = Some("".into());
            flags.log_level = Some(String::new());
        });
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
        let config = with_flags(file, |flags| flags.insecure_registries = vec!["b".into(), "c".into()]);
        assert_eq!(config.create.insecure_registries, ["b", "c"]);
    }

    #[test]
    fn values_of_flags_count_even_if_they_are_zero() {
        let file = "{create: {disk_limit_size_bytes: 5, exclude_image_from_quota: true, skip_layer_validation: true}, \
                    clean: {threshold_bytes: 6}, init: {store_size_bytes: 7}}";
        let config = with_flags(file, |flags| {
            flags.disk_limit_size_bytes = Some(0);
            flags.exclude_image_from_quota = Some(false);
            flags.skip_layer_validation = Some(false);
            flags.threshold_bytes = Some(0);
            flags.store_size_bytes = Some(0);
        });
        assert_eq!(config.create, CreateConfig::default());
        assert_eq!(config.clean, CleanConfig::default());
        assert_eq!(config.init, InitConfig { store_size_from_flag: true, ..InitConfig::default() });
    }

    #[test]
    fn clean_and_mount_flags() {
        let create = |file: &str, set: fn(&mut Overrides)| with_flags(&format!("create: {{{file}}}"), set).create;
        assert!(create("with_clean: true", |_| {}).with_clean);
        assert!(create("", |flags| flags.with_clean = true).with_clean);
        assert!(!create("with_clean: true", |flags| flags.without_clean = true).with_clean);
        assert!(create("without_mount: true", |_| {}).without_mount);
        assert!(create("", |flags| flags.without_mount = true).without_mount);
        assert!(!create("without_mount: true", |flags| flags.with_mount = true).without_mount);
        assert!(create("", |flags| (flags.with_mount, flags.without_mount) = (true, true)).without_mount);
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let error = |file: &str, set: fn(&mut Overrides)| {
            let mut flags = Overrides::default();
            set(&mut flags);
            merged(file, &flags).expect_err(file).to_string()
        };
        for (text, expected) in [
            (
                error("create: {disk_limit_size_bytes: -1}", |flags| flags.disk_limit_size_bytes = Some(1)),
                "invalid argument: disk limit cannot be negative",
            ),
            (
                error("", |flags| flags.disk_limit_size_bytes = Some(-200)),
                "invalid argument: disk limit cannot be negative",
            ),
            (
                error("", |flags| flags.threshold_bytes = Some(-1)),
                "invalid argument: clean threshold cannot be negative",
            ),
            (error("clean: {threshold_bytes: -1}", |_| {}), "invalid argument: clean threshold cannot be negative"),
            (error("init: {store_size_bytes: -1}", |_| {}), "invalid argument: store size cannot be negative"),
            (
                error("create: {concurrent_downloads: -1}", |_| {}),
                "invalid argument: concurrent downloads cannot be negative",
            ),
            (
                error("create: {registry_mirrors: {h: ['me:secret@m']}}", |_| {}),
                "invalid argument: a mirror of h is named with a user: log in to it instead",
            ),
            (
                error("", |flags| (flags.with_clean, flags.without_clean) = (true, true)),
                "with-clean and without-clean cannot be used together",
            ),
            (
                error("create: {mount_destination: x}", |_| {}),
                "invalid argument: create.mount_destination must be rootfs or root, not `x`",
            ),
            (
                error("create: {image_volumes: ignore}", |flags| flags.image_volumes = Some("tmpfs".into())),
                "invalid argument: create.image_volumes must be bind or ignore, not `tmpfs`",
            ),
            (
                error("log_timestamp_format: x", |_| {}),
                "invalid argument: log timestamp format must be rfc3339 or unix-epoch, not `x`",
            ),
        ] {
            assert_eq!(text, expected);
        }
    }
}
