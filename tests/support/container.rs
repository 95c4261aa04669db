//! Starts a container from what `create` printed, as a runtime's caller does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::command::{Outcome, run, succeed};

static CONTAINERS: AtomicU32 = AtomicU32::new(0);

/// A container runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runtime {
    /// The reference runtime.
    Runc,
    /// The one in C.
    Crun,
}

/// A bundle directory with a `config.json`.
pub(crate) struct Bundle {
    directory: PathBuf,
}

impl Bundle {
    /// Merges what `create` printed into the specification that `runc spec` writes: root, mounts first, environment.
    pub(crate) fn new(directory: &Path, printed: &str, arguments: &[&str]) -> Self {
        fs::create_dir_all(directory).expect("bundle made");
        succeed("runc", ["spec", "--bundle", &directory.to_string_lossy()]);
        let printed: Value = serde_json::from_str(printed).expect("create prints JSON");
        let file = directory.join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&file).expect("spec")).expect("runc writes JSON");
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = arguments.into();
        spec["root"] = json!({ "path": printed["root"]["path"], "readonly": false });
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        spec["mounts"] = [list(&printed["mounts"]), list(&spec["mounts"])].concat().into();
        spec["process"]["env"] = [list(&spec["process"]["env"]), list(&printed["process"]["env"])].concat().into();
        fs::write(&file, spec.to_string()).expect("spec written");
        Bundle { directory: directory.to_owned() }
    }

    /// Runs the container to its end and removes it.
    ///
    /// In a mount namespace of its own with nothing but cgroup2 mounted, because crun refuses hosts that mount both
    /// generations of control groups.
    #[track_caller]
    pub(crate) fn run(&self, runtime: Runtime) -> Outcome {
        let (program, flags) = match runtime {
            Runtime::Runc => ("runc", ""),
            Runtime::Crun => ("crun", "--cgroup-manager=disabled"),
        };
        let number = CONTAINERS.fetch_add(1, Ordering::Relaxed);
        let id = format!("grootfs-test-{}-{number}", std::process::id());
        let script = format!(
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup && {program} {flags} run --bundle '{}' {id}",
            self.directory.display()
        );
        let outcome = run(Command::new("unshare").args(["-m", "sh", "-c", &script]).stdin(Stdio::null()));
        let _ = Command::new(program).args(["delete", "--force", &id]).output();
        outcome
    }
}
