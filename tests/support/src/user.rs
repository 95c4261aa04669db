//! Ordinary users, who exist for the commands run on their behalf and nobody else.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::command::{Outcome, program as in_clean_environment, run, succeed};
use crate::container::CGROUP2_ALONE;
use crate::programs::{drax_binary, grootfs_binary};
use crate::store::{DRIVER, TempStore};

/// A user with a home directory and a program directory, below a directory of a test.
pub struct User {
    id: u32,
    directory: PathBuf,
    /// The user's ids on the machine, as `<first>:<count>`, one range after the other.
    pub subordinate: Vec<(u32, u32)>,
}

impl User {
    /// Name of every user of tests.
    pub const NAME: &str = "grootfs-tester";

    /// A user called [`User::NAME`] with these subordinate ids.
    pub fn new(parent: &Path, id: u32, subordinate: &[(u32, u32)]) -> Self {
        let directory = parent.join(format!("user-{id}"));
        for path in [&directory, &directory.join("etc"), &directory.join("bin"), &directory.join("home")] {
            fs::create_dir(path).expect("directory made");
        }
        chown(directory.join("home"), Some(id), Some(id)).expect("home given away");
        allow_search(parent);
        let user = User { id, directory, subordinate: subordinate.to_vec() };
        user.add("passwd", &format!("{}:x:{id}:{id}::{}:/bin/sh\n", Self::NAME, user.home().display()));
        user.add("group", &format!("{}:x:{id}:\n", Self::NAME));
        user.give(subordinate);
        let bin = user.bin();
        succeed("install", [grootfs_binary(), bin.to_str().expect("a path of the test's")]);
        for name in ["tardis", "drax"] {
            install_helper(&bin.join(name));
        }
        user
    }

    /// Lets `/etc/subuid` and `/etc/subgid` give these ids to the user.
    pub fn give(&self, subordinate: &[(u32, u32)]) {
        let lines: String =
            subordinate.iter().map(|(first, count)| format!("{}:{first}:{count}\n", Self::NAME)).collect();
        for file in ["subuid", "subgid"] {
            fs::write(self.directory.join("etc").join(file), &lines).expect("ids given");
        }
    }

    /// As the first line: whoever has the same id on the machine is not meant.
    fn add(&self, file: &str, line: &str) {
        let others = fs::read_to_string(Path::new("/etc").join(file)).expect("a file of users");
        fs::write(self.directory.join("etc").join(file), line.to_owned() + &others).expect("user added");
    }

    /// The first directory in the user's `$PATH`, with grootfs and its helpers.
    pub fn bin(&self) -> PathBuf {
        self.directory.join("bin")
    }

    /// The user's home directory.
    pub fn home(&self) -> PathBuf {
        self.directory.join("home")
    }

    /// The mappings that the user can have: first id in the container, first on the machine, how many.
    fn mappings(&self) -> Vec<(u32, u32, u32)> {
        let mut next = 1;
        let mut mappings = vec![(0, self.id, 1)];
        for (first, count) in &self.subordinate {
            mappings.push((next, *first, *count));
            next += count;
        }
        mappings
    }

    /// The same as flags of `init-store`.
    pub fn mapping_flags(&self) -> Vec<String> {
        let both = |(container, host, size)| {
            let mapping = format!("{container}:{host}:{size}");
            ["--uid-mapping", &mapping, "--gid-mapping", &mapping].map(str::to_owned)
        };
        self.mappings().into_iter().flat_map(both).collect()
    }

    /// The same in the configuration of a container.
    pub fn mappings_of_runtime(&self) -> Value {
        let entry = |(container, host, size)| json!({ "containerID": container, "hostID": host, "size": size });
        self.mappings().into_iter().map(entry).collect()
    }

    /// What an id of the user's containers is on the machine.
    pub fn host_id(&self, id: u32) -> u32 {
        let Some(mut rest) = id.checked_sub(1) else { return self.id };
        for (first, count) in &self.subordinate {
            match rest.checked_sub(*count) {
                Some(beyond) => rest = beyond,
                None => return first + rest,
            }
        }
        panic!("{id} is not mapped");
    }

    /// A program run as root of a machine that has this user.
    pub fn as_root(&self, program: impl AsRef<OsStr>) -> Command {
        self.on_machine(":", &[], program)
    }

    /// A program run by the user.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.by_user(":", program)
    }

    /// A container runtime run by the user. Nothing but cgroup2 is mounted.
    pub fn runtime(&self, program: &str) -> Command {
        self.by_user(CGROUP2_ALONE, program)
    }

    fn by_user(&self, setup: &str, program: impl AsRef<OsStr>) -> Command {
        let id = self.id.to_string();
        let mut command =
            self.on_machine(setup, &["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"], program);
        command.env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.bin().display()));
        command.env("HOME", self.home()).env("XDG_RUNTIME_DIR", self.home());
        command
    }

    /// Files of users are exchanged for one process and its children. Each of the wrappers replaces itself by the next
    /// program, so that the process id stays.
    fn on_machine(&self, setup: &str, wrapper: &[&str], program: impl AsRef<OsStr>) -> Command {
        let script = format!(
            "for file in passwd group subuid subgid; do mount --bind '{}'/etc/$file /etc/$file; done; {setup}; exec \"$@\"",
            self.directory.display()
        );
        let mut command = in_clean_environment("unshare");
        command.args(["--mount", "--propagation", "slave", "sh", "-ec", &script, "sh"]).args(wrapper).arg(program);
        command.current_dir(self.home()).stdin(Stdio::null());
        command
    }

    /// grootfs on a store of this program's driver, run by the user.
    pub fn grootfs(&self, store: &TempStore, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.command("grootfs");
        command.args(["--driver", DRIVER.name(), "--store"]).arg(store.path()).args(arguments);
        command
    }

    /// The same, run to its end.
    #[track_caller]
    pub fn run(&self, store: &TempStore, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
        run(&mut self.grootfs(store, arguments))
    }
}

/// The setuid helper as it is to be installed.
pub fn install_helper(path: &Path) {
    let drax = drax_binary();
    let paths = [&drax, path].map(|path| path.to_str().expect("a path of the test's"));
    succeed("install", [&["-m", "4755"][..], &paths].concat());
}

/// Lets everybody search a directory.
pub fn allow_search(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("a directory of the test's");
}
