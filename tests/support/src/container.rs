//! Starts a container from what `create` printed, as a runtime's caller does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::command::{Outcome, program, run, succeed};
use crate::user::User;

/// Has nothing but cgroup2 mounted, whichever hierarchies the machine mounts: crun refuses those that mount both versions.
pub const CGROUP2_ALONE: &str =
    "{ [ $(stat -fc %T /sys/fs/cgroup) = cgroup2fs ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup; }";

static CONTAINERS: AtomicU32 = AtomicU32::new(0);

/// A container runtime.
#[derive(Clone, Copy, Debug)]
pub enum Runtime {
    /// The reference runtime.
    Runc,
    /// The one in C.
    Crun,
}

impl Runtime {
    /// The program and its global flags.
    fn program(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Runtime::Runc => ("runc", &[]),
            Runtime::Crun => ("crun", &["--cgroup-manager=disabled"]),
        }
    }
}

fn next_id() -> String {
    let number = CONTAINERS.fetch_add(1, Ordering::Relaxed);
    format!("grootfs-test-{}-{number}", std::process::id())
}

/// A bundle directory with a `config.json`.
pub struct Bundle {
    directory: PathBuf,
}

impl Bundle {
    /// Merges what `create` printed into the specification that `runc spec` writes: root, mounts first, environment.
    pub fn new(directory: &Path, printed: &str, arguments: &[&str]) -> Self {
        fs::create_dir_all(directory).expect("bundle made");
        succeed("runc", ["spec", "--bundle", &directory.to_string_lossy()]);
        Self::fill(directory, printed, arguments)
    }

    /// The same for a container that `user` runs, with all the user's ids.
    pub fn of_user(user: &User, printed: &str, arguments: &[&str]) -> Self {
        let directory = user.home().join("bundle");
        run(user.command("mkdir").arg(&directory)).success();
        run(user.command("runc").args(["spec", "--rootless", "--bundle"]).arg(&directory)).success();
        let bundle = Self::fill(&directory, printed, arguments);
        bundle.edit(|spec| {
            for kind in ["uidMappings", "gidMappings"] {
                spec["linux"][kind] = user.mappings_of_runtime();
            }
        });
        bundle
    }

    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let file = self.directory.join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&file).expect("spec")).expect("runc writes JSON");
        edit(&mut spec);
        fs::write(&file, spec.to_string()).expect("spec written");
    }

    fn fill(directory: &Path, printed: &str, arguments: &[&str]) -> Self {
        let bundle = Bundle { directory: directory.to_owned() };
        let printed: Value = serde_json::from_str(printed).expect("create prints JSON");
        bundle.edit(|spec| {
            spec["process"]["terminal"] = false.into();
            spec["process"]["args"] = arguments.into();
            spec["root"] = json!({ "path": printed["root"]["path"], "readonly": false });
            let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
            spec["mounts"] = [list(&printed["mounts"]), list(&spec["mounts"])].concat().into();
            spec["process"]["env"] = [list(&spec["process"]["env"]), list(&printed["process"]["env"])].concat().into();
        });
        bundle
    }

    /// Runs the container to its end on behalf of `user`, and removes it.
    #[track_caller]
    pub fn run_by(&self, user: &User, runtime: Runtime) -> Outcome {
        run_users_bundle(user, runtime, &self.directory)
    }

    /// Runs the container to its end and removes it.
    ///
    /// In a mount namespace of its own with nothing but cgroup2 mounted.
    #[track_caller]
    pub fn run(&self, runtime: Runtime) -> Outcome {
        run_bundle(runtime, &self.directory)
    }
}

/// The same for a bundle that another program made.
#[track_caller]
pub fn run_bundle(runtime: Runtime, directory: &Path) -> Outcome {
    let (runtime, flags) = runtime.program();
    let id = next_id();
    let script =
        format!("{CGROUP2_ALONE} && {runtime} {} run --bundle '{}' {id}", flags.join(" "), directory.display());
    let outcome = run(program("unshare").args(["-m", "sh", "-c", &script]));
    let _ = program(runtime).args(["delete", "--force", &id]).output();
    outcome
}

/// The same under runc, started on a terminal, which takes what is written.
#[track_caller]
pub fn run_bundle_on_a_terminal(directory: &Path) -> Outcome {
    let id = next_id();
    let runc = format!("runc run --bundle '{}' {id}", directory.display());
    let script = format!("{CGROUP2_ALONE} && script -qec \"{runc}\" /dev/null");
    let outcome = run(program("unshare").args(["-m", "sh", "-c", &script]));
    let _ = program("runc").args(["delete", "--force", &id]).output();
    outcome
}

/// The same for a bundle that `user` has.
#[track_caller]
pub fn run_users_bundle(user: &User, runtime: Runtime, directory: &Path) -> Outcome {
    let (program, flags) = runtime.program();
    let id = next_id();
    let run_flags = ["run", "--bundle", &directory.to_string_lossy(), &id].map(str::to_owned);
    let outcome = run(user.runtime(program).args(flags).args(run_flags));
    let _ = user.runtime(program).args(["delete", "--force", &id]).output();
    outcome
}
