//! Checks whether this machine supports what a store needs, by trying it rather than by version numbers.

use std::fs;
use std::io;
use std::path::Path;

use rustix::mount::{FsOpenFlags, fsopen};
use rustix::process::geteuid;

use crate::entries::{self, Place};
use crate::store::{Store, StoreError};
use crate::sys::lock_holders;
use crate::sys::path_error::reason;
use crate::sys::program;
use crate::sys::sandbox;
use crate::sys::stragglers::{self, Straggler};

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Some users or some features miss it.
    Warn,
    /// Nothing works without it.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What, in one word for programs.
    pub subject: &'static str,
    /// How it stands.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about it; empty where nothing is to be done.
    pub remedy: String,
}

/// Programs that ordinary users need.
#[derive(Clone, Copy, Debug)]
pub struct Programs<'a> {
    /// The setuid helper of the driver.
    pub helper: &'a Path,
    /// The programs that map ids.
    pub id_mappers: [&'a Path; 2],
}

fn diagnosis(subject: &'static str, status: Status, found: impl Into<String>, remedy: impl Into<String>) -> Diagnosis {
    Diagnosis { subject, status, found: found.into(), remedy: remedy.into() }
}

fn ok(subject: &'static str, found: impl Into<String>) -> Diagnosis {
    diagnosis(subject, Status::Ok, found, "")
}

impl Store {
    /// Looks at the machine and, where there is one, at the store.
    pub fn diagnose(&self, programs: &Programs<'_>) -> Vec<Diagnosis> {
        let mut all: Vec<Diagnosis> = self.driver.filesystems().iter().map(|name| filesystem(name)).collect();
        all.push(self.formatter());
        all.push(loop_devices());
        all.push(helper(programs.helper));
        all.push(id_mappers(programs.id_mappers));
        all.push(subordinate_ids());
        all.extend(walls());
        match self.state() {
            Ok(()) => {
                all.extend([self.quotas(), self.free_space(), self.free_inodes(), self.locks()]);
                all.extend([self.unmounted(), self.stragglers()]);
            }
            Err(diagnosis) => all.push(diagnosis),
        }
        all
    }

    /// Whether there is a store to be looked at.
    fn state(&self) -> Result<(), Diagnosis> {
        let root = self.layout.root().display().to_string();
        let init = format!("run grootfs --driver {} --store {root} init-store", self.driver.name());
        let checked = self.check_exists().and_then(|()| self.check_mounted()).and_then(|()| self.check_initialised());
        checked.map_err(|error| {
            let remedy = match &error {
                StoreError::NotMounted { .. } => String::new(),
                StoreError::Path(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    "ask as root or as the user whose store it is".to_owned()
                }
                _ => init,
            };
            diagnosis("store", Status::Fail, error.to_string(), remedy)
        })
    }

    fn formatter(&self) -> Diagnosis {
        let name = self.driver.formatter();
        match program::find(&name) {
            Some(path) => ok("formatter", path.display().to_string()),
            None => diagnosis(
                "formatter",
                Status::Warn,
                format!("{} was not found: no store can be made in a file", name.display()),
                "install xfsprogs for overlay-xfs, btrfs-progs for btrfs",
            ),
        }
    }

    fn quotas(&self) -> Diagnosis {
        match self.driver.missing_quotas(&self.layout) {
            Ok(None) => ok("quotas", "limits are enforced"),
            Ok(Some(reason)) => {
                let remedy = "run grootfs init-store, on a kernel and a mount that have quotas (docs/quotas.md)";
                diagnosis("quotas", Status::Warn, format!("limits are not enforced: {reason}"), remedy)
            }
            Err(error) => diagnosis("quotas", Status::Fail, error.to_string(), "see docs/quotas.md"),
        }
    }

    fn free_space(&self) -> Diagnosis {
        let Ok(space) = self.space() else { return unreadable("space") };
        let percent = percent(space.available, space.size);
        let remedy = "grootfs usage shows who uses it; delete images, then run grootfs clean";
        judge("space", percent, format!("{percent} % of {} bytes are free", space.size), remedy)
    }

    fn free_inodes(&self) -> Diagnosis {
        let Ok(space) = self.space() else { return unreadable("inodes") };
        let Some(inodes) = space.inodes else { return ok("inodes", "the filesystem counts them as bytes") };
        let percent = percent(inodes.available, inodes.total);
        let remedy = "grootfs usage shows who uses them; delete images with many files, then run grootfs clean";
        judge("inodes", percent, format!("{percent} % of {} inodes are free", inodes.total), remedy)
    }

    fn locks(&self) -> Diagnosis {
        /// A command that takes longer waits for something.
        const LONG: u64 = 60;
        let holders = match lock_holders::holders(&self.layout.lock_file()) {
            Ok(holders) => holders,
            Err(error) => return diagnosis("locks", Status::Fail, error.to_string(), "run grootfs init-store"),
        };
        if holders.is_empty() {
            return ok("locks", "nobody holds one");
        }
        let describe = |holder: &lock_holders::LockHolder| {
            let what = if holder.holds_whole { "the store" } else { "an image or a layer" };
            format!("{holder}: {what}")
        };
        let found = holders.iter().map(describe).collect::<Vec<_>>().join("; ");
        if holders.iter().any(|holder| holder.age > LONG) {
            return diagnosis(
                "locks",
                Status::Warn,
                found,
                "look at what these processes wait for; end those that hang",
            );
        }
        ok("locks", found)
    }

    fn unmounted(&self) -> Diagnosis {
        let mut images = entries::names(&self.layout, Place::Images).unwrap_or_default();
        images.retain(|id| self.is_image(id).unwrap_or(true));
        let is_lost = |id: &&String| {
            let state = self.driver.rootfs_state(&self.layout.image(id));
            matches!(state, Ok(crate::driver::RootfsState::Unmounted))
        };
        match images.iter().filter(is_lost).count() {
            0 => ok("mounts", format!("no image of {} is unmounted", images.len())),
            count => {
                let found = format!("{count} of {} images are not mounted", images.len());
                diagnosis("mounts", Status::Warn, found, "run grootfs init-store --mount-images")
            }
        }
    }

    /// Processes that keep deleted images: their space is free only when these end.
    fn stragglers(&self) -> Diagnosis {
        /// Where an image's mount has what is written, which is like this for no one else.
        const UPPER: &str = "upperdir=diff";
        let option = self.driver.filesystems().contains(&"overlay").then_some(UPPER);
        let found = match stragglers::find(self.layout.root(), option) {
            Ok(found) => found,
            Err(error) => {
                return diagnosis("deleted-images", Status::Fail, error.to_string(), "look at the kernel log");
            }
        };
        let described: Vec<String> = found.iter().filter_map(|process| self.straggler(process)).collect();
        if described.is_empty() {
            return ok("deleted-images", "no process is in one");
        }
        let remedy = "end these processes: until then the kernel keeps what they use";
        diagnosis("deleted-images", Status::Warn, described.join("; "), remedy)
    }

    /// What a process has in an image that is gone; `None` if it is in one that is there, with a file that was deleted.
    fn straggler(&self, process: &Straggler) -> Option<String> {
        let Straggler { pid, program, has, path } = process;
        let who = format!("pid {pid} ({program}) has {has} in");
        let Some(path) = path else { return Some(format!("{who} a root filesystem that is mounted no more")) };
        let root = fs::canonicalize(self.layout.root()).ok()?;
        let mut names = path.strip_prefix(root).ok()?.iter().filter_map(|name| name.to_str());
        let id = match (names.next()?, names.next()?) {
            ("tmp", name) => name.strip_prefix("delete.")?,
            ("images", id) if !crate::sys::files::exists(&self.layout.image(id)).ok()? => id,
            _ => return None,
        };
        Some(format!("{who} the deleted image {id}"))
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100) / whole.max(1)
}

fn judge(subject: &'static str, percent: u64, found: String, remedy: &str) -> Diagnosis {
    match percent {
        0..2 => diagnosis(subject, Status::Fail, found, remedy),
        2..10 => diagnosis(subject, Status::Warn, found, remedy),
        _ => ok(subject, found),
    }
}

fn unreadable(subject: &'static str) -> Diagnosis {
    diagnosis(subject, Status::Fail, "the filesystem does not tell", "look at the kernel log")
}

/// Asks the kernel for a filesystem, which has it load the module; where that takes root, its list is read.
fn filesystem(name: &'static str) -> Diagnosis {
    let listed =
        || fs::read_to_string("/proc/filesystems").is_ok_and(|list| list.split_whitespace().any(|n| n == name));
    let has_it = if geteuid().is_root() { fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC).is_ok() } else { listed() };
    if has_it {
        return ok("filesystem", name);
    }
    diagnosis("filesystem", Status::Fail, format!("the kernel has no {name}"), format!("modprobe {name}"))
}

fn loop_devices() -> Diagnosis {
    match fs::File::options().read(true).write(true).open("/dev/loop-control") {
        Ok(_) => ok("loop-devices", "/dev/loop-control"),
        Err(_) if !geteuid().is_root() => ok("loop-devices", "root alone needs them"),
        Err(error) => {
            let found = format!("/dev/loop-control: {}: no store can be in a file", reason(&error));
            diagnosis("loop-devices", Status::Warn, found, "modprobe loop")
        }
    }
}

/// What stands around the thread that unpacks, beside its own root directory.
fn walls() -> [Diagnosis; 2] {
    let walls = sandbox::probe().unwrap_or_default();
    let judge = |subject, stands, missing: &str, remedy| match stands {
        true => ok(subject, "layers are unpacked under it"),
        false => diagnosis(subject, Status::Warn, format!("layers are unpacked without it: {missing}"), remedy),
    };
    [
        judge(
            "landlock",
            walls.files,
            "the kernel has none (5.19), it is not in its list of security modules, or a filter of the container refuses it",
            "add landlock to lsm= of the kernel's command line; allow landlock_* in the container's seccomp profile",
        ),
        judge(
            "seccomp",
            walls.system_calls,
            "the kernel has no filters (CONFIG_SECCOMP_FILTER), or one of the container refuses to have more",
            "allow seccomp in the container's seccomp profile",
        ),
    ]
}

fn helper(name: &Path) -> Diagnosis {
    let shown = name.display();
    match program::find(name) {
        Some(path) if program::has_setuid_bit(&path) => ok("helper", path.display().to_string()),
        Some(path) => diagnosis(
            "helper",
            Status::Warn,
            format!("{} lacks the setuid bit: ordinary users have no limits", path.display()),
            format!("chown root {0} && chmod u+s {0}", path.display()),
        ),
        None => diagnosis(
            "helper",
            Status::Warn,
            format!("{shown} was not found: ordinary users have no limits"),
            "make install, or name it with --tardis-bin or --drax-bin",
        ),
    }
}

fn id_mappers(names: [&Path; 2]) -> Diagnosis {
    let missing = names.iter().find(|name| program::find(name).is_none());
    match missing {
        None => ok("id-mappers", "newuidmap and newgidmap"),
        Some(name) => diagnosis(
            "id-mappers",
            Status::Warn,
            format!("{} was not found: ordinary users have no id mappings", name.display()),
            "install uidmap",
        ),
    }
}

fn subordinate_ids() -> Diagnosis {
    let files = ["/etc/subuid", "/etc/subgid"];
    let is_empty = |file: &&&str| fs::read_to_string(file).map_or(true, |content| content.trim().is_empty());
    match files.iter().find(is_empty) {
        None => ok("subordinate-ids", "/etc/subuid and /etc/subgid"),
        Some(file) => diagnosis(
            "subordinate-ids",
            Status::Warn,
            format!("{file} gives ids to nobody: init-store --rootless finds none"),
            "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
        ),
    }
}
