//! Two users with a store each on one filesystem, and the helper with its setuid bit.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

pub(crate) mod attacks;

use drax::btrfs::{self, QuotaMode};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const MIB: u64 = 1 << 20;

/// The user who attacks, and whose store is abused.
pub(crate) const ALICE: User = User { name: "alice", uid: 4001 };
/// The user who is to be spared.
pub(crate) const BOB: User = User { name: "bob", uid: 4002 };
pub(crate) const ROOT: User = User { name: "root", uid: 0 };

#[derive(Clone, Copy)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) uid: u32,
}

/// A filesystem with the stores of two users, gone when dropped.
pub(crate) struct World {
    /// Of btrfs; XFS without.
    quotas: Option<QuotaMode>,
    dir: PathBuf,
    /// Where the filesystem is mounted.
    pub(crate) mount: PathBuf,
}

impl World {
    /// Btrfs with these quotas, or XFS. Bob's image `y` has a limit of 7 MiB; Alice's image `x` has none.
    pub(crate) fn new(quotas: Option<QuotaMode>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        assert!(is_root(), "these tests mount filesystems and set the setuid bit: run them as root");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("drax-helper-{}-{count}", std::process::id()));
        let world = Self { quotas, mount: dir.join("mount"), dir };
        fs::create_dir_all(&world.mount).unwrap();
        let file = world.dir.join("backing-store");
        File::create(&file).unwrap().set_len(512 * MIB).unwrap();
        let (mkfs, options) = match quotas {
            None => ("mkfs.xfs", "loop,pquota"),
            Some(_) => ("mkfs.btrfs", "loop,user_subvol_rm_allowed"),
        };
        succeed(mkfs, ["-q", file.to_str().unwrap()]);
        succeed("mount", ["-o", options, file.to_str().unwrap(), world.mount.to_str().unwrap()]);
        if let Some(mode) = quotas {
            btrfs::enable_quota(File::open(&world.mount).unwrap().as_fd(), mode).unwrap();
        }
        world.install("drax");
        world.install("tardis");
        for user in [ALICE, BOB] {
            world.make_store(user);
        }
        world.make_image(ALICE, "x");
        let neighbour = world.make_image(BOB, "y");
        world.limit(BOB, &neighbour, 7 * MIB).is_done();
        world
    }

    pub(crate) fn is_xfs(&self) -> bool {
        self.quotas.is_none()
    }

    fn install(&self, name: &str) {
        install(Path::new(env!("CARGO_BIN_EXE_drax")), &self.program(name));
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn make_store(&self, user: User) {
        let home = self.home(user);
        make_dir(&home, user, 0o755);
        make_dir(&self.store(user), user, 0o700);
        for name in ["images", "volumes", "tmp", "locks", "meta", "projectids"] {
            make_dir(&self.store(user).join(name), user, 0o755);
        }
        fs::write(self.store(user).join("meta/namespace.json"), "{}\n").unwrap();
    }

    pub(crate) fn home(&self, user: User) -> PathBuf {
        self.mount.join(user.name)
    }

    pub(crate) fn store(&self, user: User) -> PathBuf {
        self.home(user).join("store")
    }

    pub(crate) fn image(&self, user: User, id: &str) -> PathBuf {
        self.store(user).join("images").join(id)
    }

    pub(crate) fn make_image(&self, user: User, id: &str) -> PathBuf {
        self.make_image_at(user, &self.image(user, id))
    }

    /// What grootfs has made of an image by the time it is limited.
    pub(crate) fn make_image_at(&self, user: User, path: &Path) -> PathBuf {
        make_dir(path, user, 0o700);
        own_file(&path.join("image_info"), user, "1000");
        if !self.is_xfs() {
            self.make_subvolume(user, &path.join("rootfs"));
        }
        path.to_owned()
    }

    pub(crate) fn make_subvolume(&self, user: User, path: &Path) {
        succeed("btrfs", ["subvolume", "create", path.to_str().unwrap()]);
        chown(path, Some(user.uid), Some(user.uid)).unwrap();
    }

    /// What the helper is to be told about an image: on btrfs it is the subvolume.
    pub(crate) fn target(&self, image: &Path) -> PathBuf {
        if self.is_xfs() { image.to_owned() } else { image.join("rootfs") }
    }

    /// The arguments that limit an image.
    pub(crate) fn limit_arguments(&self, image: &Path, bytes: &str) -> Vec<String> {
        let flag = if self.is_xfs() { "--image-path" } else { "--volume-path" };
        let target = self.target(image).to_str().unwrap().to_owned();
        ["limit", "--disk-limit-bytes", bytes, "--exclude-image-from-quota=true", flag]
            .into_iter()
            .filter(|word| !self.is_xfs() || !word.contains("exclude"))
            .map(str::to_owned)
            .chain([target])
            .collect()
    }

    /// Limits what is an image, or pretends to be one.
    pub(crate) fn limit(&self, user: User, image: &Path, bytes: u64) -> Ended {
        self.run(user, self.limit_arguments(image, &bytes.to_string()))
    }

    pub(crate) fn stats(&self, user: User, image: &Path) -> Ended {
        self.run(user, ["stats", "--force-sync", "--json", "--volume-path", self.target(image).to_str().unwrap()])
    }

    /// The limit that the kernel has for an image; 0 without one.
    pub(crate) fn limit_of(&self, image: &Path) -> u64 {
        let directory = File::open(self.target(image)).unwrap();
        if self.is_xfs() {
            return match drax::xfs::project_id(directory.as_fd()).unwrap() {
                0 => 0,
                id => drax::xfs::usage(directory.as_fd(), id).unwrap().limit.bytes,
            };
        }
        btrfs::usage(directory.as_fd()).unwrap().unwrap().limit.exclusive.unwrap_or(0)
    }

    pub(crate) fn command(&self, user: User, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(self.program("drax"));
        command.args(arguments).uid(user.uid).gid(user.uid).current_dir("/");
        command
    }

    pub(crate) fn run(&self, user: User, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ended {
        end(&mut self.command(user, arguments))
    }

    /// Runs the helper by way of another program, which changes what it inherits. `before` is that program with its
    /// arguments.
    pub(crate) fn run_through(&self, before: &[&str], arguments: Vec<String>) -> Ended {
        let mut command = Command::new(before[0]);
        command.args(&before[1..]).arg(self.program("drax")).args(arguments);
        end(command.uid(ALICE.uid).gid(ALICE.uid).current_dir(self.home(ALICE)))
    }

    /// All limits, project ids and extended attributes of the filesystem.
    pub(crate) fn state(&self) -> String {
        self.state_below(&self.mount)
    }

    /// The same, of the files below one directory; limits are those of the whole filesystem.
    pub(crate) fn state_below(&self, directory: &Path) -> String {
        let mut lines = self.limits();
        describe(directory, &mut lines);
        lines.extend(attributes(directory));
        lines.join("\n")
    }

    /// Limits only: what is used changes by itself.
    pub(crate) fn limits(&self) -> Vec<String> {
        let mount = self.mount.to_str().unwrap();
        let (program, arguments, columns): (_, &[&str], &[usize]) = match self.quotas {
            None => ("xfs_quota", &["-x", "-c", "report -p -b -i -n -N", mount], &[0, 2, 3, 7, 8]),
            Some(_) => ("btrfs", &["qgroup", "show", "--raw", "-re", mount], &[0, 3, 4]),
        };
        let table = succeed(program, arguments);
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let rows = rows.filter(|row| row.len() > 4 && (row[0].starts_with('#') || row[0].contains('/')));
        let rows = rows.map(|row| columns.iter().map(|at| row[*at]).collect::<Vec<_>>());
        let is_limited = |row: &Vec<&str>| row[1..].iter().any(|limit| !matches!(*limit, "0" | "none"));
        rows.filter(is_limited).map(|row| row.join(" ")).collect()
    }

    /// Asserts that a call changes nothing and fails, saying `text`.
    #[track_caller]
    pub(crate) fn refuses(&self, text: &str, call: impl FnOnce() -> Ended) {
        let before = self.state();
        let ended = call();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stdout.contains(text), "{text:?} is not in {ended:?}");
        assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
        assert_eq!(self.state(), before);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        unmount(&self.mount);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What other tests start has for a moment, between fork and exec, everything open that is open here.
fn unmount(path: &Path) {
    for _ in 0..100 {
        let unmounted = Command::new("umount").arg("-R").arg(path).output();
        if unmounted.is_ok_and(|output| output.status.success()) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    eprintln!("left mounted: {}", path.display());
}

fn describe(path: &Path, lines: &mut Vec<String>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let project = match metadata.is_dir() || metadata.is_file() {
        true => File::open(path).ok().and_then(|file| drax::xfs::project_id(file.as_fd()).ok()),
        false => None,
    };
    let owner = (metadata.uid(), metadata.gid());
    lines.push(format!("{} {:o} {owner:?} {project:?}", path.display(), metadata.mode()));
    if metadata.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| describe(entry, lines));
    }
}

/// Extended attributes of what is at a path and below it; links are not followed.
pub(crate) fn attributes(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let dump = succeed("getfattr", ["-R", "-P", "-h", "-d", "--match=-", "--absolute-names", path]);
    let mut file = "";
    let lines = dump.lines().filter(|line| !line.is_empty());
    lines
        .filter_map(|line| match line.strip_prefix("# file: ") {
            Some(name) => {
                file = name;
                None
            }
            None => Some(format!("{file} {line}")),
        })
        .collect()
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn is_done(&self) {
        assert_eq!(self.code, Some(0), "{self:?}");
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a program, which must end within twenty seconds.
#[track_caller]
pub(crate) fn end(command: &mut Command) -> Ended {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(child)
}

/// Waits for a program whose outputs are pipes.
#[track_caller]
pub(crate) fn wait(mut child: Child) -> Ended {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("still running after twenty seconds: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap().into()
}

#[track_caller]
pub(crate) fn succeed(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program as a user; it must succeed.
#[track_caller]
pub(crate) fn as_user(user: User, program: &str, arguments: &[&Path]) {
    let mut command = Command::new(program);
    let output = command.args(arguments).uid(user.uid).gid(user.uid).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// Copies a program and sets its setuid bit. Another process does it, because a file that this one has open for writing
/// is inherited by what other tests start meanwhile, and cannot be run.
pub(crate) fn install(program: &Path, target: &Path) {
    succeed("install", ["-m", "4755", program.to_str().unwrap(), target.to_str().unwrap()]);
}

pub(crate) fn make_dir(path: &Path, user: User, mode: u32) {
    fs::create_dir(path).unwrap();
    chown(path, Some(user.uid), Some(user.uid)).unwrap();
    set_mode(path, mode);
}

pub(crate) fn own_file(path: &Path, user: User, content: &str) {
    fs::write(path, content).unwrap();
    chown(path, Some(user.uid), Some(user.uid)).unwrap();
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn write(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let chunk = vec![7_u8; 64 << 10];
    for _ in 0..bytes / chunk.len() as u64 {
        file.write_all(&chunk)?;
    }
    file.sync_all()
}

/// A field of `/proc/<pid>/status`.
pub(crate) fn status_of(pid: u32, field: &str) -> String {
    let mut text = String::new();
    File::open(format!("/proc/{pid}/status")).unwrap().read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}
