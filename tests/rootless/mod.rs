//! Stores of ordinary users: with id mappings, as containers have them, and without.

pub(crate) mod containers;
mod limits;
mod mapped;
mod refusals;
mod unmapped;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{DRIVER, Driver, TempStore, User, allow_search, run};

const USER: u32 = 4711;
/// What most systems give a user.
const IDS: (u32, u32) = (100_000, 65_536);

/// A store that belongs to a user.
pub(crate) struct UsersStore {
    pub(crate) store: TempStore,
    pub(crate) user: User,
}

impl UsersStore {
    /// One whose ids are mapped.
    pub(crate) fn mapped() -> Self {
        Self::with_ids(&[IDS])
    }

    /// One whose ids beside the user's own are these.
    pub(crate) fn with_ids(subordinate: &[(u32, u32)]) -> Self {
        Self::made(&init_flags(), subordinate)
    }

    fn made(flags: &[String], subordinate: &[(u32, u32)]) -> Self {
        let store = TempStore::uninitialised();
        let user = User::new(store.path().parent().unwrap(), USER, subordinate);
        store.ok([flags, &user.mapping_flags()].concat());
        UsersStore { store, user }
    }

    /// One without mappings, given to the user by an administrator.
    pub(crate) fn unmapped() -> Self {
        let store = TempStore::uninitialised();
        let user = User::new(store.path().parent().unwrap(), USER, &[IDS]);
        store.ok(init_flags());
        run(Command::new("chown").args(["-R", &USER.to_string()]).arg(store.path())).success();
        UsersStore { store, user }
    }

    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.user.run(&self.store, arguments).success()
    }

    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        self.user.run(&self.store, arguments).failure()
    }

    /// Creates an image as ordinary users can with this driver.
    #[track_caller]
    pub(crate) fn create(&self, image: &str, id: &str) -> Value {
        let flag = if *DRIVER == Driver::OverlayXfs { "--without-mount" } else { "--with-mount" };
        serde_json::from_str(&self.ok(&["create", flag, image, id])).unwrap()
    }

    /// Creates an image and returns the directory in which root of the machine sees its files.
    #[track_caller]
    pub(crate) fn create_and_show(&self, image: &str, id: &str) -> PathBuf {
        let printed = self.create(image, id);
        let rootfs = self.store.rootfs(id);
        assert_eq!(printed["root"]["path"].as_str(), rootfs.to_str());
        if *DRIVER == Driver::OverlayXfs {
            let options = printed["mounts"][0]["options"][0].as_str().unwrap();
            assert!(options.ends_with(",userxattr"), "{options}");
            let mount = ["-t", "overlay", "overlay", "-o", options];
            run(Command::new("mount").args(mount).arg(&rootfs)).success();
        }
        rootfs
    }

    #[track_caller]
    pub(crate) fn is_empty(&self) {
        assert_eq!((self.store.volumes(), self.store.leftovers()), (vec![], vec![]));
    }

    /// A directory that the user can read, for images.
    pub(crate) fn images(&self) -> PathBuf {
        let directory = self.store.beside("images");
        fs::create_dir_all(&directory).unwrap();
        allow_search(&directory);
        directory
    }
}

fn init_flags() -> Vec<String> {
    // Not every kernel has quotas on XFS.
    let quota = if *DRIVER == Driver::Btrfs { "--log-level=fatal" } else { "--without-quota" };
    ["init-store", "--store-size-bytes", "4294967296", quota].map(str::to_owned).to_vec()
}
