//! A store of a test's own, which leaves nothing behind.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};

use crate::command::{Outcome, grootfs, run, succeed};
use crate::programs::test_program;
use crate::{logs, names};

const SIZE: u64 = 1024 * crate::MIB;

/// The driver of the stores of this test program.
pub static DRIVER: LazyLock<Driver> = LazyLock::new(|| match test_program() {
    "on_btrfs" | "on_btrfs_classic" => Driver::Btrfs,
    _ => Driver::OverlayXfs,
});
/// Whether limits are kept by classic quotas, where the driver has a choice.
pub static IS_CLASSIC: LazyLock<bool> = LazyLock::new(|| test_program() == "on_btrfs_classic");

/// A filesystem driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `overlay-xfs`
    OverlayXfs,
    /// `btrfs`
    Btrfs,
}

impl Driver {
    /// As `--driver` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Driver::OverlayXfs => "overlay-xfs",
            Driver::Btrfs => "btrfs",
        }
    }

    /// How many mounts so many mounted images come to.
    pub const fn mounts(self, images: usize) -> usize {
        match self {
            Driver::OverlayXfs => images,
            Driver::Btrfs => 0,
        }
    }

    /// Makes its filesystem in a file.
    pub fn format(self, file: &Path) {
        succeed(&format!("mkfs.{}", self.filesystem()), ["-q", file.to_str().expect("a path of the test's")]);
    }

    /// Its filesystem, as mount(8) has it.
    pub const fn filesystem(self) -> &'static str {
        match self {
            Driver::OverlayXfs => "xfs",
            Driver::Btrfs => "btrfs",
        }
    }
}

/// A directory of the test's own, with room for a store in it.
pub struct TempStore {
    directory: tempfile::TempDir,
    path: PathBuf,
}

impl TempStore {
    /// A store of 1 GiB on a loop device, with limits where every kernel has them.
    pub fn new() -> Self {
        Self::with_size(SIZE)
    }

    /// The same in another size.
    pub fn with_size(bytes: u64) -> Self {
        match *DRIVER {
            Driver::OverlayXfs => Self::made(bytes, &["--without-quota"]),
            Driver::Btrfs => Self::made(bytes, &[]),
        }
    }

    /// A store with limits; on XFS that needs a kernel with quotas.
    pub fn with_quota() -> Self {
        let store = Self::uninitialised();
        store.init_with_quota(&[]);
        store
    }

    /// Makes it a store with limits.
    pub fn init_with_quota(&self, flags: &[String]) {
        let init = |more: &[&str]| {
            let more = more.iter().map(|flag| flag.to_string());
            self.ok(["init-store".to_owned()].into_iter().chain(more).chain(flags.iter().cloned()));
        };
        let size = ["--store-size-bytes", &SIZE.to_string()];
        if !*IS_CLASSIC {
            return init(&size);
        }
        init(&[&size[..], &["--without-quota"]].concat());
        succeed("btrfs", ["quota", "enable", &self.path.to_string_lossy()]);
        init(&[]);
    }

    /// A btrfs store with the limits of kernels before 6.7.
    pub fn with_classic_quota() -> Self {
        let store = Self::without_quota();
        succeed("btrfs", ["quota", "enable", &store.path.to_string_lossy()]);
        store.ok(["init-store"]);
        store
    }

    /// A store without limits.
    pub fn without_quota() -> Self {
        Self::made(SIZE, &["--without-quota"])
    }

    fn made(bytes: u64, flags: &[&str]) -> Self {
        let store = Self::uninitialised();
        store.ok([&["init-store", "--store-size-bytes", &bytes.to_string()], flags].concat());
        store
    }

    /// Only the directory; nothing at the store's path yet.
    pub fn uninitialised() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "the end-to-end tests mount filesystems: run them as root");
        let directory = tempfile::Builder::new().prefix("grootfs-test-").tempdir().expect("temporary directory");
        let path = directory.path().join("store");
        TempStore { directory, path }
    }

    /// The same at a path of a filesystem that another store made.
    pub fn at(path: PathBuf) -> Self {
        let mut store = Self::uninitialised();
        store.path = path;
        store
    }

    /// The store's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file behind the store.
    pub fn backing_file(&self) -> PathBuf {
        self.directory.path().join("store.backing-store")
    }

    /// A path beside the store, on the host's filesystem, for archives and layouts.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where an image lies.
    pub fn image(&self, id: &str) -> PathBuf {
        self.path.join("images").join(id)
    }

    /// Where an image's root filesystem is mounted.
    pub fn rootfs(&self, id: &str) -> PathBuf {
        self.image(id).join("rootfs")
    }

    /// Where the files lie that a container of this image has written.
    pub fn own_files(&self, id: &str) -> PathBuf {
        match *DRIVER {
            Driver::OverlayXfs => self.image(id).join("diff"),
            Driver::Btrfs => self.rootfs(id),
        }
    }

    /// Mount points of images: one for each that is mounted on overlay-xfs, none on btrfs.
    pub fn mounted_images(&self) -> Vec<PathBuf> {
        mount_points_below(&self.path.join("images"))
    }

    /// The unpacked layers.
    pub fn volumes(&self) -> Vec<String> {
        names(&self.path.join("volumes"))
    }

    /// The image ids that have a dependency record.
    pub fn records(&self) -> Vec<String> {
        let records = names(&self.path.join("meta/dependencies"));
        records.iter().filter_map(|name| Some(name.strip_prefix("image:")?.strip_suffix(".json")?.to_owned())).collect()
    }

    /// A command on this store, not yet run.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = grootfs();
        command.arg("--store").arg(&self.path).args(["--driver", DRIVER.name()]).args(arguments);
        command
    }

    /// Runs a command on this store.
    #[track_caller]
    pub fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
        let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        run(&mut self.command([logs::flags(&arguments), arguments].concat()))
    }

    /// Runs a command that must succeed, and returns its standard output.
    #[track_caller]
    pub fn ok(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        self.run(arguments).success()
    }

    /// Runs a command that must fail, and returns its one line.
    #[track_caller]
    pub fn fails(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        self.run(arguments).failure()
    }

    /// Creates an image and returns the path of its root filesystem.
    #[track_caller]
    pub fn create(&self, image: &str, id: &str) -> PathBuf {
        let rootfs = self.rootfs(id);
        let spec: serde_json::Value =
            serde_json::from_str(&self.ok(["create", image, id])).expect("create prints one JSON document");
        assert_eq!(spec["root"]["path"].as_str(), rootfs.to_str());
        rootfs
    }

    /// What `stats` says, by the names of its keys.
    #[track_caller]
    pub fn stats(&self, id: &str) -> serde_json::Value {
        let stats: serde_json::Value = serde_json::from_str(&self.ok(["stats", id])).expect("stats prints JSON");
        stats["disk_usage"].clone()
    }

    /// Whatever a finished or failed command must not leave behind.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = names(&self.path.join("tmp"));
        found
            .extend(self.volumes().into_iter().filter(|name| name.contains("-incomplete-") || name.starts_with("gc.")));
        found.extend(names(&self.path.join("locks")).into_iter().filter(|name| name.starts_with("image:")));
        let images = names(&self.path.join("images"));
        found.extend(self.records().into_iter().filter(|id| !images.contains(id)).map(|id| format!("record of {id}")));
        let records = self.records();
        found.extend(
            images.into_iter().filter(|id| !records.contains(id)).map(|id| format!("image {id} has no record")),
        );
        found
    }
}

impl Drop for TempStore {
    fn drop(&mut self) {
        unmount_below(self.directory.path());
        detach_loops(self.directory.path());
    }
}

/// A filesystem of the driver, mounted beside a store as an administrator would do it without a thought of limits.
pub fn mounted_filesystem(store: &TempStore) -> PathBuf {
    let disk = store.beside("disk");
    fs::File::create(&disk).expect("disk made").set_len(SIZE).expect("disk sized");
    DRIVER.format(&disk);
    let point = store.beside("mnt");
    mount(&disk, &point, DRIVER.filesystem(), "loop");
    point
}

/// Mounts something, as a test's arrangement.
pub fn mount(source: &Path, target: &Path, kind: &str, options: &str) {
    fs::create_dir_all(target).expect("mount point made");
    succeed("mount", ["-t", kind, "-o", options, &source.to_string_lossy(), &target.to_string_lossy()]);
}

/// Mount points at and below a directory, in the order they were mounted.
pub fn mount_points_below(directory: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mount table");
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    points.filter(|point| point.starts_with(directory)).collect()
}

/// Unmounts everything at and below a directory, the last mounted first. What is busy gets a moment, because a create
/// may leave a process behind that flushes what it unpacked; then it is detached.
pub fn unmount_below(directory: &Path) {
    for point in mount_points_below(directory).iter().rev() {
        let deadline = Instant::now() + Duration::from_secs(3);
        while umount2(point, MntFlags::UMOUNT_NOFOLLOW) == Err(nix::errno::Errno::EBUSY) {
            if Instant::now() > deadline {
                let _ = umount2(point, MntFlags::MNT_DETACH);
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Frees loop devices whose file lies below a directory, and waits until they are free.
pub fn detach_loops(directory: &Path) {
    for (device, _) in loops_below(directory) {
        let _ = Command::new("losetup").args(["-d", &device]).output();
    }
    loops_left_below(directory);
}

/// Fails if a loop device keeps a file below a directory.
#[track_caller]
pub fn assert_no_loops_below(directory: &Path) {
    assert_eq!(loops_left_below(directory), []);
}

/// Loop devices that are not freed within seconds. The kernel frees one when its last opener closes it, and whoever looks
/// through the loop devices of the machine, as a store that is mounted beside does, opens each for a moment.
fn loops_left_below(directory: &Path) -> Vec<(String, PathBuf)> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = loops_below(directory);
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Loop devices whose file lies below a directory, with that file.
pub fn loops_below(directory: &Path) -> Vec<(String, PathBuf)> {
    let devices = names(Path::new("/sys/block")).into_iter().filter(|name| name.starts_with("loop"));
    let with_files = devices.filter_map(|name| {
        let file = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok()?;
        Some((format!("/dev/{name}"), PathBuf::from(file.trim_end().trim_end_matches(" (deleted)"))))
    });
    with_files.filter(|(_, file)| file.starts_with(directory)).collect()
}

/// Octal escapes of the mount table.
fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'\\').then(|| tail.get(..3)).flatten();
        match code.and_then(|octal| u8::from_str_radix(std::str::from_utf8(octal).ok()?, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}
