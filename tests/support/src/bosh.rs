//! A BOSH cell with Garden on it, as the job `garden` of garden-runc-release sets it up: two stores with a configuration
//! file each, and what is run at every start.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::grootfs;
use crate::guardian::{Guardian, Plugin};
use crate::programs::drax_binary;
use crate::store::{detach_loops, unmount_below};
use crate::{chug, logs};

/// What the stores of a cell are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Both keep ids as they are.
    BothPrivileged,
    /// The first one maps ids, as on a real cell: all but root's as they are, root's to the highest.
    UnprivilegedAndPrivileged,
}

/// The mappings of a real cell.
const MAPPINGS: [&str; 8] = [
    "--uid-mapping",
    "0:4294967294:1",
    "--uid-mapping",
    "1:1:4294967293",
    "--gid-mapping",
    "0:4294967294:1",
    "--gid-mapping",
    "1:1:4294967293",
];

/// A cell, whose kernel may lack quotas. Leaves nothing behind.
pub struct Cell {
    directory: tempfile::TempDir,
    stores: Stores,
    has_quotas: bool,
}

impl Cell {
    /// Unpacks the packages; nothing is started yet.
    pub fn new(stores: Stores, has_quotas: bool) -> Self {
        let directory = tempfile::Builder::new().prefix("grootfs-test-").tempdir().expect("temporary directory");
        let cell = Cell { directory, stores, has_quotas };
        for path in ["bin", "config", "certs", "log", "store"] {
            fs::create_dir(cell.path(path)).expect("made");
        }
        symlink(drax_binary(), cell.path("bin/tardis")).expect("linked");
        cell
    }

    /// A path of the cell.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directories of both stores.
    pub fn stores(&self) -> [PathBuf; 2] {
        ["unprivileged", "privileged"].map(|name| self.path("store").join(name))
    }

    /// A store's configuration file.
    fn config(&self, store: &Path) -> PathBuf {
        self.path("config").join(format!("{}.yml", store.file_name().unwrap().to_str().unwrap()))
    }

    /// Writes both configuration files as the job's templates do.
    pub fn render(&self) {
        self.write_configs(|log, certs| {
            format!(
                "create:\n  \
                   without_mount: false\n  \
                   insecure_registries: [\"127.0.0.1:1\"]\n  \
                   skip_layer_validation: true\n  \
                   clean_log_file: \"{log}/groot.clean.log\"\n  \
                   remote_layer_client_certificates_path: {certs}\n\
                 init:\n  \
                   with_direct_io: true\n"
            )
        });
    }

    /// Rewrites both as the thresholder does before Garden starts: every key that it knows with a value, the others gone.
    pub fn rewrite(&self, store_size: u64, threshold: u64) {
        self.write_configs(|log, certs| {
            format!(
                "log_file: \"\"\n\
                 create:\n  \
                   exclude_image_from_quota: false\n  \
                   skip_layer_validation: true\n  \
                   with_clean: true\n  \
                   clean_log_file: {log}/groot.clean.log\n  \
                   without_mount: false\n  \
                   disk_limit_size_bytes: 0\n  \
                   insecure_registries:\n  - 127.0.0.1:1\n  \
                   remote_layer_client_certificates_path: {certs}\n\
                 clean:\n  \
                   threshold_bytes: {threshold}\n\
                 init:\n  \
                   store_size_bytes: {store_size}\n  \
                   owneruser: \"\"\n  \
                   ownergroup: \"\"\n  \
                   with_direct_io: true\n"
            )
        });
    }

    /// Both files, each with its sections after what they have in common.
    fn write_configs(&self, sections: impl Fn(&str, &str) -> String) {
        let [bin, certs, log] = ["bin", "certs", "log"].map(|name| self.path(name).display().to_string());
        for store in self.stores() {
            let settings = format!(
                "store: {store}\n\
                 tardis_bin: {bin}/tardis\n\
                 newuidmap_bin: /var/vcap/packages/garden-idmapper/bin/newuidmap\n\
                 newgidmap_bin: /var/vcap/packages/garden-idmapper/bin/newgidmap\n\
                 log_level: info\n\
                 metron_endpoint: 127.0.0.1:3457\n\
                 log_timestamp_format: unix-epoch\n",
                store = store.display(),
            );
            self.write_config(&store, &(settings + &sections(&log, &certs)));
        }
    }

    fn write_config(&self, store: &Path, text: &str) {
        let path = self.config(store);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("private");
    }

    /// What is run each time before Garden starts, whatever is mounted.
    #[track_caller]
    pub fn start(&self) {
        for (store, maps_ids) in self.stores().iter().zip([self.stores == Stores::UnprivilegedAndPrivileged, false]) {
            let mappings = if maps_ids { &MAPPINGS[..] } else { &[] };
            let without_quota = if self.has_quotas { None } else { Some("--without-quota") };
            self.grootfs(store, [&["init-store"], mappings].concat().into_iter().chain(without_quota));
            self.grootfs(store, ["generate-volume-size-metadata"]);
        }
        for store in self.stores().iter().filter(|_| self.has_quotas) {
            self.check_quotas(store);
        }
    }

    /// Whether limits can be set.
    pub fn has_quotas(&self) -> bool {
        self.has_quotas
    }

    /// Runs a command on a store, which must succeed without an answer.
    #[track_caller]
    pub fn grootfs<'a>(&self, store: &Path, arguments: impl IntoIterator<Item = &'a str>) {
        assert_eq!(self.answer(store, arguments), "");
    }

    /// Runs a command on a store, which must succeed with this answer.
    #[track_caller]
    pub fn grootfs_says(&self, store: &Path, command: &str, answer: &str) {
        assert_eq!(self.answer(store, [command]), answer);
    }

    #[track_caller]
    fn answer<'a>(&self, store: &Path, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let mut command = grootfs();
        command.arg("--config").arg(self.config(store)).args(arguments);
        let output = command.output().expect("grootfs starts");
        logs::collect(&output.stderr);
        chug::read(&output.stderr).unwrap_or_else(|reason| panic!("{command:?}: {reason}"));
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Whether limits can be set is tried out with the helper, on a directory that grootfs knows nothing of.
    #[track_caller]
    fn check_quotas(&self, store: &Path) {
        let script = "set -e; cd \"$1\"; mkdir -p images/xfs_test
            \"$2\" --log-timestamp-format unix-epoch limit --disk-limit-bytes 102400 --image-path \"$1/images/xfs_test\"
            rm -rf images/xfs_test";
        let output = Command::new("sh").args(["-c", script, "sh"]).arg(store).arg(self.path("bin/tardis")).output();
        let output = output.expect("sh starts");
        assert!(output.status.success(), "{output:?}");
    }

    /// Garden.
    pub fn guardian(&self) -> Guardian {
        let [unprivileged, privileged] = self.stores().map(|store| Plugin::with_config(&self.config(&store)));
        Guardian::new(unprivileged, privileged)
    }

    /// Takes away what a machine loses that is switched off: mounts and loop devices.
    pub fn power_off(&self) {
        unmount_below(self.directory.path());
        detach_loops(self.directory.path());
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.power_off();
    }
}
