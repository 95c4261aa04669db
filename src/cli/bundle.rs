//! `create --bundle`: a directory that container runtimes start as it is (OCI runtime specification, `bundle.md`).
//!
//! What an image does not say is as `runc spec` has it, or `runc spec --rootless` where an ordinary user calls.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::args::path;
use crate::driver::Mount;
use crate::idmap::{IdMap, IdMappings, IdRange};
use crate::store::Created;
use crate::sys::caller::Caller;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::umask;

const CONFIG: &str = "config.json";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The group of terminals, where runtimes expect it.
const TTY_GROUP: u32 = 5;

/// The flag about bundles.
#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// Write an OCI runtime bundle into this directory, which must be new or empty: `runc run -b DIR NAME` starts it
    #[arg(long, value_name = "DIR", value_parser = path(), help_heading = "Mounting")]
    pub(super) bundle: Option<PathBuf>,

    /// Give the bundle's process a terminal of its own (process.terminal), as for an interactive shell; the runtime must be
    /// started on one
    #[arg(long, help_heading = "Mounting")]
    pub(super) terminal: bool,
}

/// A bundle that is being made. What was made of it goes again, unless it is kept.
pub(super) struct Bundle {
    directory: PathBuf,
    is_new: bool,
    has_config: bool,
}

impl Bundle {
    /// Makes the directory, or finds it empty.
    ///
    /// # Errors
    /// When something is in it, and those of mkdir(2).
    pub(super) fn prepare(directory: &Path) -> Result<Self, Failure> {
        // Mounting changes the working directory.
        let directory = std::path::absolute(directory).on("resolve", directory).map_err(failed)?;
        let is_new = match DirBuilder::new().mode(umask::allowed(0o755)).create(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            made => made.on("mkdir", &directory).map(|()| true).map_err(failed)?,
        };
        let bundle = Bundle { directory, is_new, has_config: false };
        if !is_new && fs::read_dir(&bundle.directory).on("read", &bundle.directory).map_err(failed)?.next().is_some() {
            let reason = "is not empty: choose a new directory, or an empty one";
            return Err(Failure::from(format!("bundle {} {reason}", bundle.directory.display())));
        }
        Ok(bundle)
    }

    /// Writes the configuration of the container.
    pub(super) fn write(&mut self, container: &Container<'_>) -> Result<(), Failure> {
        let path = self.directory.join(CONFIG);
        let json = serde_json::to_string_pretty(&container.configuration())
            .map_err(|error| Failure::from(format!("encoding {CONFIG}: {error}")))?;
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(umask::allowed(0o644))
            .open(&path)
            .on("open", &path)
            .map_err(failed)?;
        self.has_config = true;
        file.write_all(format!("{json}\n").as_bytes()).on("write", &path).map_err(failed)
    }

    /// Leaves the bundle to the user.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

fn failed(error: PathError) -> Failure {
    Failure::from(format!("making bundle: {error}"))
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let remove = || {
            if self.has_config {
                fs::remove_file(self.directory.join(CONFIG))?;
            }
            if self.is_new { fs::remove_dir(&self.directory) } else { Ok(()) }
        };
        if let Err(error) = remove() {
            tracing::error!(%error, bundle = %self.directory.display(), "removing-bundle-failed");
        }
    }
}

/// A container as it is to be started.
pub(super) struct Container<'a> {
    /// The image's id.
    pub(super) id: &'a str,
    pub(super) created: &'a Created,
    /// Mounts that are left to the runtime, the root filesystem's first, if it is one.
    pub(super) mounts: &'a [Mount],
    /// Those of the store.
    pub(super) mappings: &'a IdMappings,
    pub(super) caller: Caller,
    /// Whether the process gets a terminal of its own.
    pub(super) has_terminal: bool,
}

impl Container<'_> {
    fn configuration(&self) -> Value {
        let details = &self.created.details;
        let (root, mounts) = self.root();
        let mut all: Vec<Value> = mounts.iter().take_while(|mount| mount.kind == "overlay").map(mount_entry).collect();
        all.extend(self.standard_mounts());
        all.extend(mounts.iter().skip_while(|mount| mount.kind == "overlay").map(mount_entry));
        let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
        let user = self.created.user.clone().unwrap_or_default();
        let mut configuration = json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": self.has_terminal,
                "user": { "uid": user.uid, "gid": user.gid },
                "args": arguments(&details.entrypoint, &details.cmd),
                "env": environment(&details.env),
                "cwd": Path::new("/").join(&details.working_dir),
                "capabilities": {
                    "bounding": capabilities, "effective": capabilities, "permitted": capabilities, "ambient": capabilities,
                },
                "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
                "noNewPrivileges": true,
            },
            "root": { "path": root, "readonly": false },
            "hostname": hostname(self.id),
            "mounts": all,
            "linux": {
                "namespaces": self.namespaces(),
                "maskedPaths": [
                    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                    "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
                ],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        });
        if !user.additional_gids.is_empty() {
            configuration["process"]["user"]["additionalGids"] = json!(user.additional_gids);
        }
        if self.is_users() {
            configuration["linux"]["uidMappings"] = mappings(&self.mappings.uids, rustix::process::geteuid().as_raw());
            configuration["linux"]["gidMappings"] = mappings(&self.mappings.gids, rustix::process::getegid().as_raw());
        }
        if self.caller == Caller::Root {
            configuration["linux"]["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
        }
        configuration
    }

    /// The root filesystem, and the mounts that are left then: one that is bound from a directory is that directory.
    fn root(&self) -> (&Path, &[Mount]) {
        let rootfs = self.created.rootfs.as_path();
        match self.mounts.split_first() {
            Some((first, others)) if first.kind.is_empty() => (Path::new(&first.source), others),
            _ => (rootfs, self.mounts),
        }
    }

    /// Whether the container gets a user namespace.
    fn is_users(&self) -> bool {
        self.caller != Caller::Root || !self.mappings.is_identity()
    }

    fn namespaces(&self) -> Vec<Value> {
        let mut kinds = vec!["pid", "network", "ipc", "uts", "mount"];
        if self.is_users() {
            kinds.push("user");
        }
        // Nobody but root can connect one to anything.
        kinds.retain(|kind| *kind != "network" || self.caller == Caller::Root);
        kinds.into_iter().map(|kind| json!({ "type": kind })).collect()
    }

    fn standard_mounts(&self) -> Vec<Value> {
        let mut terminals = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
        let gids = &self.mappings.gids;
        let is_mapped = |range: &IdRange| TTY_GROUP.checked_sub(range.namespace).is_some_and(|at| at < range.size);
        let has_group = gids.is_identity() || gids.ranges().iter().any(is_mapped);
        if self.caller == Caller::Root && has_group {
            terminals.push("gid=5");
        }
        // Only who has a network namespace may mount its sysfs.
        let (sys, sys_options) = match self.caller {
            Caller::Root => (("sysfs", "sysfs"), vec!["nosuid", "noexec", "nodev", "ro"]),
            Caller::User | Caller::MappedUser => (("none", "/sys"), vec!["rbind", "nosuid", "noexec", "nodev", "ro"]),
        };
        vec![
            json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
            standard("/dev", ("tmpfs", "tmpfs"), &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            standard("/dev/pts", ("devpts", "devpts"), &terminals),
            standard("/dev/shm", ("tmpfs", "shm"), &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            standard("/dev/mqueue", ("mqueue", "mqueue"), &["nosuid", "noexec", "nodev"]),
            standard("/sys", sys, &sys_options),
            standard("/sys/fs/cgroup", ("cgroup", "cgroup"), &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ]
    }
}

fn standard(destination: &str, (kind, source): (&str, &str), options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

fn mount_entry(mount: &Mount) -> Value {
    json!(mount)
}

/// What is run: a shell, where the image does not say.
fn arguments(entrypoint: &[String], cmd: &[String]) -> Vec<String> {
    let arguments = [entrypoint, cmd].concat();
    if arguments.is_empty() { vec!["sh".to_owned()] } else { arguments }
}

fn environment(env: &[String]) -> Vec<String> {
    let has_path = env.iter().any(|variable| variable.starts_with("PATH="));
    let path = (!has_path).then(|| PATH.to_owned());
    // A variable without a name is no variable to the kernel's callers.
    path.into_iter().chain(env.iter().filter(|variable| variable.find('=').is_some_and(|at| at > 0)).cloned()).collect()
}

/// The id, as far as it can be a name of a machine (hostname(7)).
fn hostname(id: &str) -> &str {
    let fits = id.len() < 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    if fits { id } else { "container" }
}

/// Mappings for a runtime; of a store that has none, root alone is mapped, to `own`.
fn mappings(map: &IdMap, own: u32) -> Value {
    if map.is_identity() {
        return json!([{ "containerID": 0, "hostID": own, "size": 1 }]);
    }
    let entries = map.ranges().iter();
    entries.map(|range| json!({ "containerID": range.namespace, "hostID": range.host, "size": range.size })).collect()
}
