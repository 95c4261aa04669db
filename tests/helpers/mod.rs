//! Limits as an ordinary user has them set, by a helper with the setuid bit. Programs whose stores have limits run all of
//! it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::support::{
    Archive, DRIVER, Driver, Image, Layer, MIB, Outcome, TempStore, User, five_mebibytes, install_helper, is_full,
    names, succeed, system_calls, write,
};

/// Whose the stores are.
pub(crate) const USER: u32 = 4712;
const IDS: (u32, u32) = (100_000, 65_536);

/// The name and the flag of the driver's helper.
static HELPER: LazyLock<(&str, &str)> = LazyLock::new(|| match *DRIVER {
    Driver::OverlayXfs => ("tardis", "--tardis-bin"),
    Driver::Btrfs => ("drax", "--drax-bin"),
});

/// A store that belongs to an ordinary user, who has the helper in `$PATH`, and an image for it.
pub(crate) struct UsersStore {
    pub(crate) store: TempStore,
    user: User,
    image: String,
}

impl UsersStore {
    /// One without id mappings, given to the user by an administrator.
    pub(crate) fn new() -> Self {
        let store = TempStore::uninitialised();
        store.init_with_quota(&[]);
        Self::given(store)
    }

    pub(crate) fn given(store: TempStore) -> Self {
        let user = User::new(store.beside("").as_path(), USER, &[IDS]);
        succeed("chown", ["-R", &USER.to_string(), store.path().to_str().unwrap()]);
        Self::with_helper(store, user)
    }

    /// One whose ids are mapped.
    fn mapped() -> Self {
        let store = TempStore::uninitialised();
        let user = User::new(store.path().parent().unwrap(), USER, &[IDS]);
        store.init_with_quota(&user.mapping_flags());
        Self::with_helper(store, user)
    }

    pub(crate) fn both() -> [Self; 2] {
        [Self::new(), Self::mapped()]
    }

    /// The helper is as `make install` leaves it.
    fn with_helper(store: TempStore, user: User) -> Self {
        install_helper(&user.bin().join(HELPER.0));
        let image = five_mebibytes(&store);
        UsersStore { store, user, image }
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.user.run(&self.store, arguments)
    }

    /// Creates an image of 5 MiB with a limit of 10, unmounted as an ordinary user's are.
    #[track_caller]
    pub(crate) fn create(&self, flags: &[&str], id: &str) -> Outcome {
        let create = ["create", "--without-mount", "--disk-limit-size-bytes", "10485760", &self.image, id];
        self.run(&[flags, &create].concat())
    }

    /// Where the files lie that a container of this image writes.
    pub(crate) fn own_files(&self, id: &str) -> PathBuf {
        self.store.image(id).join(if *DRIVER == Driver::Btrfs { "snapshot" } else { "diff" })
    }

    /// Nothing of an image is left, whether finished or in the making.
    #[track_caller]
    pub(crate) fn has_nothing_of(&self, id: &str) {
        assert!(!self.store.image(id).exists());
        assert_eq!(self.store.leftovers(), [""; 0]);
        if *DRIVER == Driver::OverlayXfs {
            assert_eq!(names(&self.store.path().join("projectids")), [""; 0]);
        }
    }

    /// A helper that leaves a note and does nothing.
    pub(crate) fn fake(&self, mode: u32) -> (PathBuf, PathBuf) {
        let (program, note) = (self.store.beside("fake"), self.user.home().join("note"));
        let text = format!("#!/bin/sh\nprintf \"I'm groot - {} %s\" \"$*\" >{}\n", HELPER.0, note.display());
        // Another process writes it: what this one has open for writing is inherited by what other tests start.
        succeed("sh", ["-c", "printf %s \"$0\" >\"$1\"", &text, program.to_str().unwrap()]);
        set_mode(&program, mode);
        (program, note)
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_user_s_image_is_limited_counted_and_deleted() {
    for store in UsersStore::both() {
        store.create(&[], "x").success();
        write(&store.own_files("x").join("four"), 4 * MIB).unwrap();
        is_full(write(&store.own_files("x").join("two-more"), 2 * MIB));

        let stats = store.run(&["stats", "x"]).success();
        let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
        assert_eq!(stats["disk_usage"], store.store.stats("x"));
        assert_eq!(stats["disk_usage"]["quota_size_bytes"].as_u64(), Some(5 * MIB));
        let inodes = (*DRIVER == Driver::OverlayXfs).then_some(10_000);
        assert_eq!(stats["disk_usage"]["quota_inodes"].as_u64(), inodes);
        if inodes.is_some() {
            let few = ["--disk-limit-inodes", "200", "--exclude-image-from-quota"];
            let create = ["create", "--without-mount", &store.image, "few"];
            store.run(&[&create[..], &few].concat()).success();
            assert_eq!(store.store.stats("few")["quota_inodes"].as_u64(), Some(200));
            store.run(&["delete", "few"]).success();
        }

        assert_eq!(store.run(&["delete", "x"]).success(), "Image x deleted\n");
        assert_eq!(store.run(&["clean"]).success(), "clean completed\n");
        store.has_nothing_of("x");
    }
}

#[test]
fn a_limit_may_leave_the_layers_out() {
    for store in UsersStore::both() {
        let arguments = ["create", "--without-mount", "--disk-limit-size-bytes", "10485760"];
        store.run(&[&arguments[..], &["--exclude-image-from-quota", &store.image, "x"]].concat()).success();
        write(&store.own_files("x").join("nine"), 9 * MIB).unwrap();
        is_full(write(&store.own_files("x").join("two-more"), 2 * MIB));
    }
}

#[test]
fn what_the_image_declares_as_a_volume_is_limited_too() {
    for store in UsersStore::both() {
        let layer = Layer::new(Archive::new().file("hello", 0o644, b"hello").bytes());
        let image = Image::new().layer(layer).volume("/data").write(&store.store.beside("with-volume"), "latest");
        let arguments = ["create", "--without-mount", "--disk-limit-size-bytes", "10485760", &image, "x"];
        store.run(&arguments).success();
        let volumes = names(&store.store.image("x")).into_iter().filter(|name| name.starts_with("vol-"));
        let [volume] = volumes.collect::<Vec<_>>().try_into().unwrap();
        is_full(write(&store.store.image("x").join(volume).join("twelve"), 12 * MIB));
        assert_eq!(store.run(&["delete", "x"]).success(), "Image x deleted\n");
    }
}

#[test]
fn a_store_behind_a_link_is_known_to_the_helper_by_its_own_path() {
    let store = UsersStore::new();
    let link = store.store.beside("link");
    symlink(store.store.path(), &link).unwrap();
    // Of two, the last one counts.
    store.create(&["--store", link.to_str().unwrap()], "x").success();
    is_full(write(&store.own_files("x").join("six"), 6 * MIB));
}

#[test]
fn the_helper_is_the_one_of_the_flag_or_of_the_config() {
    let store = UsersStore::new();
    let (program, note) = store.fake(0o4755);
    store.create(&[HELPER.1, program.to_str().unwrap()], "x").success();
    let called = fs::read_to_string(&note).unwrap();
    let expected = match *DRIVER {
        Driver::OverlayXfs => format!("I'm groot - tardis limit --disk-limit-bytes {} --image-path ", 5 * MIB),
        Driver::Btrfs => "I'm groot - drax limit --disk-limit-bytes 10485760 --volume-path ".to_owned(),
    };
    assert!(called.starts_with(&expected), "{called}");

    fs::remove_file(&note).unwrap();
    let config = store.store.beside("config.yml");
    fs::write(&config, format!("{}_bin: {}\n", HELPER.0, program.display())).unwrap();
    store.create(&["--config", config.to_str().unwrap()], "y").success();
    assert!(note.exists());
}

#[test]
fn the_helper_is_looked_up_in_path() {
    for store in UsersStore::both() {
        let (program, note) = store.fake(0o4755);
        fs::rename(program, store.user.bin().join(HELPER.0)).unwrap();
        store.create(&[], "x").success();
        assert!(note.exists());
    }
}

#[test]
fn a_helper_that_is_not_there_is_an_error_and_leaves_nothing() {
    for store in UsersStore::both() {
        let expected = format!("apply disk limit: {} was not found in the $PATH", HELPER.0);
        let failed = store.create(&[HELPER.1, "/no/such/helper"], "x").failure();
        assert!(failed.ends_with(&expected), "{failed}");
        store.has_nothing_of("x");
    }
}

#[test]
fn a_helper_without_the_setuid_bit_is_an_error_and_leaves_nothing() {
    for store in UsersStore::both() {
        let (program, note) = store.fake(0o755);
        let program = program.to_str().unwrap();
        let failed = store.create(&[HELPER.1, program], "x").failure();
        assert!(failed.ends_with(&format!("apply disk limit: missing the setuid bit on {}", HELPER.0)), "{failed}");
        store.has_nothing_of("x");

        store.create(&[], "y").success();
        let failed = store.run(&[HELPER.1, program, "stats", "y"]).failure();
        assert!(failed.contains(&format!("missing the setuid bit on {}", HELPER.0)), "{failed}");
        assert!(!note.exists());
    }
}

#[test]
fn what_a_failed_helper_says_is_the_error() {
    for store in UsersStore::both() {
        // A store that others may write to is none of the user's.
        set_mode(&store.store.path().join("images"), 0o777);
        let failed = store.create(&[], "x").failure();
        assert!(failed.contains("apply disk limit: others may write in `"), "{failed}");
        assert!(failed.ends_with(": exit status 1"), "{failed}");
        store.has_nothing_of("x");
    }
}

#[test]
fn root_never_runs_a_helper() {
    let store = UsersStore::new();
    let (program, note) = store.fake(0o755);
    let flags = [HELPER.1, program.to_str().unwrap()];
    let create = ["create", "--disk-limit-size-bytes", "10485760", &store.image, "x"];
    for arguments in [&create[..], &["stats", "x"], &["clean"], &["delete", "x"]] {
        let calls = system_calls(&store.store.command([&flags[..], arguments].concat()));
        // Of all that is started, the one process that writes new layers to disk may start a program: itself.
        let own = u64::from(arguments[0] == "create");
        assert!(calls.get("execve").copied().unwrap_or_default() <= own, "{arguments:?} {calls:?}");
    }
    assert!(!note.exists());
}
