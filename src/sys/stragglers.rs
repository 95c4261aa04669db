//! Which processes are still in what was deleted, as far as this process may see (proc_pid_cwd(5), proc_pid_root(5),
//! proc_pid_fd(5), proc_pid_mountinfo(5)).
//!
//! A deleted directory keeps its name, marked as deleted, unless it was a mount: of a mount that was detached, the kernel
//! tells the processes in it no name but `/`. What is left of it is its device.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statfs, statx};

use super::lock_holders::{numbers, program};
use super::mount_point::unescape;
use super::path_error::{OnPath, PathError};

/// A process that is in something that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Straggler {
    /// Its number.
    pub pid: u32,
    /// Its program's name.
    pub program: String,
    /// What it has there: its root directory, its working directory, or a file.
    pub has: &'static str,
    /// The last path of what was deleted; unknown for a mount that was detached.
    pub path: Option<PathBuf>,
}

/// Device of a mount as the mount table has it.
type Device = (u32, u32);

/// One line of a mount table.
struct Mount {
    id: u64,
    device: Device,
    /// The directory of the filesystem that is mounted.
    root: PathBuf,
    point: PathBuf,
    /// Those of the filesystem.
    options: String,
}

/// What marks the names of deleted files, and the roots of mounts of deleted directories.
const DELETED: &str = " (deleted)";
const DELETED_ROOT: &str = "//deleted";

/// Processes that are in something deleted that was below `directory`, or in an overlay that is mounted no more. Each is told
/// once, with the first that is found.
///
/// An overlay is mounted no more if it is in nobody's mount table, or if it has `overlay_option` and is not in the one of
/// this process: a copy of the mount in another mount namespace outlives it. Without an option, overlays are not looked at.
pub fn find(directory: &Path, overlay_option: Option<&str>) -> Result<Vec<Straggler>, PathError> {
    let directory = fs::canonicalize(directory).on("resolve", directory)?;
    let here = mounts(Path::new("/proc/self"));
    let around = here.iter().filter(|mount| directory.starts_with(&mount.point));
    // Of several at one place the last.
    let mount = around.max_by_key(|mount| mount.point.components().count());
    let in_filesystem = mount.and_then(|mount| {
        let below = directory.strip_prefix(&mount.point).ok()?;
        Some((mount.device, mount.root.join(below)))
    });
    let mut search = Search {
        here: here.iter().map(|mount| mount.device).collect(),
        in_filesystem,
        directory,
        overlay_option,
        tables: HashMap::new(),
    };
    let processes: Vec<PathBuf> =
        numbers(Path::new("/proc")).into_iter().map(|pid| Path::new("/proc").join(pid.to_string())).collect();
    for process in &processes {
        search.read_table_of(process);
    }
    Ok(processes.iter().filter_map(|process| search.look_at(process)).collect())
}

struct Search<'a> {
    directory: PathBuf,
    /// Its filesystem, and where it is there.
    in_filesystem: Option<(Device, PathBuf)>,
    overlay_option: Option<&'a str>,
    /// Devices of this process's mounts.
    here: HashSet<Device>,
    /// The mount table of each mount namespace, by what the kernel calls that.
    tables: HashMap<PathBuf, Vec<Mount>>,
}

impl Search<'_> {
    fn read_table_of(&mut self, process: &Path) {
        if let Ok(namespace) = fs::read_link(process.join("ns/mnt")) {
            self.tables.entry(namespace).or_insert_with(|| mounts(process));
        }
    }

    fn look_at(&self, process: &Path) -> Option<Straggler> {
        let files = numbers(&process.join("fd")).into_iter().map(|number| process.join("fd").join(number.to_string()));
        let places = [("its root directory", process.join("root")), ("its working directory", process.join("cwd"))];
        let mut places = places.into_iter().chain(files.map(|file| ("an open file", file)));
        let found = |(has, link): (&'static str, PathBuf)| Some((has, self.deleted(process, &link)?));
        let (has, path) = places.find_map(found)?;
        let pid = process.file_name()?.to_str()?.parse().ok()?;
        Some(Straggler { pid, program: program(process), has, path })
    }

    /// Whether what a link of /proc leads to was deleted, and the path that it had if that is known.
    fn deleted(&self, process: &Path, link: &Path) -> Option<Option<PathBuf>> {
        let name = fs::read_link(link).ok().filter(|name| name.is_absolute())?;
        let own = name.to_str().and_then(|name| name.strip_suffix(DELETED)).map(Path::new);
        if let Some(own) = own.filter(|own| own.starts_with(&self.directory)) {
            return Some(Some(own.to_owned()));
        }
        // The file's own server, if it has one, is not asked: it may not answer.
        let status = statx(CWD, link, AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID).ok()?;
        let device = (status.stx_dev_major, status.stx_dev_minor);
        if self.is_detached_overlay(device, link) {
            return Some(None);
        }
        self.deleted_root(process, status.stx_mnt_id).map(Some)
    }

    fn is_detached_overlay(&self, device: Device, link: &Path) -> bool {
        /// `OVERLAYFS_SUPER_MAGIC` of <linux/magic.h>.
        const OVERLAY: u64 = 0x794c_7630;
        let Some(option) = self.overlay_option else { return false };
        if self.here.contains(&device) || !statfs(link).is_ok_and(|fs| fs.f_type as u64 == OVERLAY) {
            return false;
        }
        let elsewhere = self.tables.values().flatten().find(|mount| mount.device == device);
        elsewhere.is_none_or(|mount| mount.options.split(',').any(|one| one == option))
    }

    /// The path of the deleted directory that a mount of the process's namespace shows.
    fn deleted_root(&self, process: &Path, mount_id: u64) -> Option<PathBuf> {
        let (device, directory) = self.in_filesystem.as_ref()?;
        let table = self.tables.get(&fs::read_link(process.join("ns/mnt")).ok()?)?;
        let mount = table.iter().find(|mount| mount.id == mount_id && mount.device == *device)?;
        let root = Path::new(mount.root.to_str()?.strip_suffix(DELETED_ROOT)?);
        Some(self.directory.join(root.strip_prefix(directory).ok()?))
    }
}

/// The mount table of a process; empty if it is gone, or another user's.
fn mounts(process: &Path) -> Vec<Mount> {
    let table = fs::read(process.join("mountinfo")).unwrap_or_default();
    table.split(|byte| *byte == b'\n').filter_map(mount).collect()
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok();
    let (id, _parent, device) = (number()?.parse().ok()?, number()?, number()?);
    let (major, minor) = device.split_once(':')?;
    let mut path = || Some(PathBuf::from(OsString::from_vec(unescape(fields.next()?))));
    let (root, point) = (path()?, path()?);
    let options = String::from_utf8_lossy(fields.next_back()?).into_owned();
    Some(Mount { id, device: (major.parse().ok()?, minor.parse().ok()?), root, point, options })
}
