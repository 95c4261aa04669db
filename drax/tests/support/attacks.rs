//! What an ordinary user may try. Each of these is run on each filesystem.

use super::{
    ALICE, BOB, Ended, MIB, ROOT, User, World, as_user, attributes, end, install, make_dir, own_file, set_mode,
    status_of, succeed, wait, write,
};
use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Makes a test of each attack, on one filesystem.
macro_rules! on {
    ($quotas:expr) => {
        support::attacks::tests!(
            $quotas;
            a_user_limits_an_image_of_a_store_of_their_own,
            images_in_the_making_are_limited_and_those_being_removed_are_not,
            a_symlinked_store,
            a_symlinked_image,
            a_path_with_dots,
            another_user_s_store,
            an_image_of_another_user_s_in_a_store_of_one_s_own,
            a_path_outside_of_any_store,
            a_store_that_lacks_something,
            a_store_that_others_may_write_to,
            an_image_that_shares_files_with_its_neighbour,
            an_image_info_that_is_somebody_else_s,
            fifos_and_devices,
            a_path_that_is_swapped_during_the_call,
            closed_standard_streams,
            descriptors_that_are_inherited_are_closed,
            no_arguments_at_all,
            variables_of_the_environment,
            resource_limits_of_the_caller,
            output_to_where_nothing_can_be_written,
            sizes_that_are_none,
            an_id_that_is_not_there,
            signals,
            a_helper_without_the_rights_says_why,
            only_one_capability_is_left,
            nobody_looks_into_it,
            opaque_marks_are_set_in_layers_of_one_s_own,
            any_number_of_opaque_marks_is_set_at_once,
            opaque_marks_are_set_nowhere_else,
            root_may_limit_everybody_s_images,
        );
    };
}

macro_rules! tests {
    ($quotas:expr; $($attack:ident),+ $(,)?) => {
        $(#[test]
        fn $attack() {
            support::attacks::$attack(&support::World::new($quotas));
        })+
    };
}
pub(crate) use {on, tests};

const LINK: &str = "a symbolic link (which are not followed)";

/// The one thing that is allowed, so that all the refusals mean something.
pub(crate) fn a_user_limits_an_image_of_a_store_of_their_own(world: &World) {
    let others = world.state_below(&world.home(BOB));
    let image = world.image(ALICE, "x");
    world.limit(ALICE, &image, 5 * MIB).is_done();
    assert_eq!(world.limit_of(&image), 5 * MIB);
    write(&world.target(&image).join("fits"), MIB).unwrap();
    write(&world.target(&image).join("does-not"), 8 * MIB).unwrap_err();

    let stats = world.stats(ALICE, &image);
    assert!(stats.stdout.contains(&format!("\"quota_size_bytes\":{},", 5 * MIB)), "{stats:?}");
    spared(world, &others);
}

/// The limits of the filesystem have one more; nothing of Bob's has changed.
#[track_caller]
fn spared(world: &World, before: &str) {
    let after = world.state_below(&world.home(BOB));
    let lines: Vec<&str> = after.lines().collect();
    for line in before.lines() {
        assert!(lines.contains(&line), "{line} is gone from:\n{after}");
    }
}

pub(crate) fn images_in_the_making_are_limited_and_those_being_removed_are_not(world: &World) {
    let making = world.make_image_at(ALICE, &world.store(ALICE).join("tmp/create.new"));
    world.limit(ALICE, &making, 5 * MIB).is_done();
    assert_eq!(world.limit_of(&making), 5 * MIB);
    for name in ["delete.old", "dead.123", "elsewhere"] {
        let other = world.make_image_at(ALICE, &world.store(ALICE).join("tmp").join(name));
        world.refuses("is not of the form", || world.limit(ALICE, &other, 5 * MIB));
    }
}

pub(crate) fn a_symlinked_store(world: &World) {
    let link = world.home(ALICE).join("link");
    for target in [world.store(ALICE), world.store(BOB)] {
        symlink(&target, &link).unwrap();
        let image = if target == world.store(ALICE) { "x" } else { "y" };
        world.refuses(LINK, || world.limit(ALICE, &link.join("images").join(image), MIB));
        world.refuses(LINK, || world.stats(ALICE, &link.join("images").join(image)));
        fs::remove_file(&link).unwrap();
    }
}

pub(crate) fn a_symlinked_image(world: &World) {
    // Nothing but the link must keep Alice out.
    open_up(world);
    for (name, target) in [("own", world.image(ALICE, "x")), ("others", world.image(BOB, "y"))] {
        let link = world.image(ALICE, name);
        symlink(target, &link).unwrap();
        world.refuses(LINK, || world.limit(ALICE, &link, MIB));
    }
    let images = world.store(ALICE).join("images");
    fs::rename(&images, world.store(ALICE).join("aside")).unwrap();
    symlink(world.store(BOB).join("images"), &images).unwrap();
    world.refuses(LINK, || world.limit(ALICE, &images.join("y"), MIB));
}

pub(crate) fn a_path_with_dots(world: &World) {
    open_up(world);
    let store = world.store(ALICE);
    for path in [
        store.join("images/../../../bob/store/images/y"),
        store.join("images/x/../x"),
        store.join("images/../images/x"),
        store.join("./images/x"),
        store.join("images/.."),
        PathBuf::from("store/images/x"),
    ] {
        world.refuses("absolute and without `.` and `..`", || world.limit(ALICE, &path, MIB));
    }
}

pub(crate) fn another_user_s_store(world: &World) {
    let image = world.image(BOB, "y");
    world.refuses("permission denied", || world.limit(ALICE, &image, MIB));
    open_up(world);
    world.refuses("does not belong to the user who called, uid 4001", || world.limit(ALICE, &image, MIB));
    world.refuses("does not belong to the user who called, uid 4001", || world.stats(ALICE, &image));
}

/// Lets everybody into Bob's store.
pub(crate) fn open_up(world: &World) {
    for path in [world.store(BOB), world.image(BOB, "y")] {
        set_mode(&path, 0o755);
    }
}

pub(crate) fn an_image_of_another_user_s_in_a_store_of_one_s_own(world: &World) {
    let image = world.make_image(BOB, "gift");
    let moved = world.image(ALICE, "gift");
    fs::rename(image, &moved).unwrap();
    set_mode(&moved, 0o755);
    world.refuses("does not belong to the user who called", || world.limit(ALICE, &moved, MIB));
}

pub(crate) fn a_path_outside_of_any_store(world: &World) {
    let elsewhere = world.home(ALICE).join("elsewhere");
    make_dir(&elsewhere, ALICE, 0o755);
    make_dir(&elsewhere.join("images"), ALICE, 0o755);
    let image = world.make_image_at(ALICE, &elsewhere.join("images/x"));
    world.refuses("is not a store", || world.limit(ALICE, &image, MIB));
    for path in [Path::new("/tmp"), Path::new("/"), Path::new("/images/x"), &elsewhere, &world.store(ALICE)] {
        let call = || world.limit(ALICE, path, MIB);
        world.refuses("is not of the form", call);
    }
}

pub(crate) fn a_store_that_lacks_something(world: &World) {
    for name in ["images", "volumes", "tmp", "locks", "meta", "meta/namespace.json"] {
        let (path, aside) = (world.store(ALICE).join(name), world.store(ALICE).join("aside"));
        fs::rename(&path, &aside).unwrap();
        if name == "images" {
            // The image has to be there, or that is what is missed.
            make_dir(&path, BOB, 0o755);
            world.refuses("does not belong to", || world.limit(ALICE, &world.image(ALICE, "x"), MIB));
            fs::remove_dir(&path).unwrap();
        }
        world.refuses("is not a store", || world.limit(ALICE, &world.image(ALICE, "x"), MIB));
        fs::rename(&aside, &path).unwrap();
    }
    let record = world.store(ALICE).join("meta/namespace.json");
    chown(&record, Some(BOB.uid), None).unwrap();
    world.refuses("is not a store", || world.limit(ALICE, &world.image(ALICE, "x"), MIB));
}

pub(crate) fn a_store_that_others_may_write_to(world: &World) {
    let image = world.image(ALICE, "x");
    for path in [world.store(ALICE), world.store(ALICE).join("images"), world.store(ALICE).join("tmp"), image.clone()] {
        for mode in [0o770, 0o707] {
            set_mode(&path, mode);
            world.refuses("others may write in", || world.limit(ALICE, &image, MIB));
        }
        set_mode(&path, 0o700);
    }
    succeed("setfacl", ["-m", "u:4002:rwx", world.store(ALICE).to_str().unwrap()]);
    world.refuses("others may write in", || world.limit(ALICE, &image, MIB));
}

/// Directories have no hard links, files have: a limit must not reach other images through them.
pub(crate) fn an_image_that_shares_files_with_its_neighbour(world: &World) {
    let (image, neighbour) = (world.image(ALICE, "x"), world.make_image(ALICE, "neighbour"));
    own_file(&neighbour.join("file"), ALICE, "content");
    fs::hard_link(neighbour.join("file"), image.join("file")).unwrap();
    let own_image = |state: String| {
        state.lines().filter(|line| !line.contains("/images/x ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = own_image(world.state_below(&world.store(ALICE).join("images")));
    world.limit(ALICE, &image, MIB).is_done();
    let after = own_image(world.state_below(&world.store(ALICE).join("images")));
    let changed: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    // The new limit itself.
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(!changed[0].starts_with('/'), "{changed:?}");
}

/// The size of the layers is read from a file in the image; it may be any file of the system.
pub(crate) fn an_image_info_that_is_somebody_else_s(world: &World) {
    let (image, info) = (world.image(ALICE, "x"), world.image(ALICE, "x").join("image_info"));
    own_file(&world.home(BOB).join("secret"), BOB, "31337");
    fs::remove_file(&info).unwrap();
    symlink(world.home(BOB).join("secret"), &info).unwrap();
    world.refuses("image_info: too many levels of symbolic links", || world.stats(ALICE, &image));
    fs::remove_file(&info).unwrap();
    fs::hard_link(world.home(BOB).join("secret"), &info).unwrap();
    let refused = || world.stats(ALICE, &image);
    world.refuses("image_info: it belongs to somebody else", refused);
    set_mode(&world.home(BOB).join("secret"), 0o600);
    world.refuses("image_info: permission denied", refused);
    fs::remove_file(&info).unwrap();
    own_file(&info, ALICE, "swordfish\n");
    let ended = world.stats(ALICE, &image);
    assert!(ended.code == Some(1) && !ended.stdout.contains("swordfish"), "{ended:?}");
}

pub(crate) fn fifos_and_devices(world: &World) {
    let (image, store) = (world.image(ALICE, "x"), world.store(ALICE));
    let kinds: [(&str, &[&str]); 3] = [("fifo", &["p"]), ("null", &["c", "1", "3"]), ("whiteout", &["c", "0", "0"])];
    for (name, kind) in kinds {
        let odd = store.join("images").join(name);
        let make = |path: &Path| {
            succeed("mknod", [path.to_str().unwrap()].iter().chain(kind));
            chown(path, Some(ALICE.uid), Some(ALICE.uid)).unwrap();
        };
        make(&odd);
        world.refuses("not a directory", || world.limit(ALICE, &odd, MIB));
        let info = image.join("image_info");
        fs::rename(&odd, &info).unwrap();
        world.refuses("image_info: ", || world.stats(ALICE, &image));
        fs::remove_file(&info).unwrap();
        own_file(&info, ALICE, "1000");
        if world.is_xfs() {
            let lock = store.join("locks/global-groot-lock.lock");
            let _ = fs::remove_file(&lock);
            make(&lock);
            world.refuses("locking ", || world.limit(ALICE, &image, MIB));
            fs::remove_file(&lock).unwrap();
        }
    }
}

/// Directories and links change places while the helper walks: at no time may it end up in Bob's store.
pub(crate) fn a_path_that_is_swapped_during_the_call(world: &World) {
    // Nothing but the helper's own checks is to keep Alice out of there.
    open_up(world);
    let ours = world.make_image(ALICE, "swapped");
    let theirs = world.image(ALICE, "link");
    symlink(world.image(BOB, "y"), &theirs).unwrap();
    let (store, store_link) = (world.store(ALICE), world.home(ALICE).join("link"));
    symlink(world.store(BOB), &store_link).unwrap();
    // The same name in both stores.
    symlink("y", world.store(BOB).join("images/swapped")).unwrap();
    let before = world.state_below(&world.home(BOB));

    let is_over = AtomicBool::new(false);
    let calls = if world.is_xfs() { 60 } else { 400 };
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                exchange(&ours, &theirs);
                exchange(&store, &store_link);
            }
        });
        let done = (0..calls).filter(|_| {
            let ended = world.limit(ALICE, &ours, 3 * MIB);
            assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
            ended.code == Some(0)
        });
        let done = done.count();
        is_over.store(true, Ordering::Relaxed);
        done
    });
    assert!((1..calls).contains(&done), "{done} of {calls} calls found the image: that was no race");
    let after = world.state_below(&world.home(BOB));
    let bobs =
        |state: &str| state.lines().filter(|line| !line.contains("/link ")).map(str::to_owned).collect::<Vec<_>>();
    for line in bobs(&before) {
        assert!(bobs(&after).contains(&line), "{line} is gone from:\n{after}");
    }
    assert_eq!(world.limit_of(&world.image(BOB, "y")), 7 * MIB);
}

fn exchange(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(|path| CString::new(path.to_str().unwrap()).unwrap());
    // SAFETY: both are NUL-terminated strings that outlive the call.
    unsafe {
        libc::renameat2(libc::AT_FDCWD, one.as_ptr(), libc::AT_FDCWD, other.as_ptr(), libc::RENAME_EXCHANGE);
    }
}

/// What is opened first would be standard output, and have the answer written into it.
pub(crate) fn closed_standard_streams(world: &World) {
    for (n, streams) in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"].into_iter().enumerate() {
        let image = world.make_image(ALICE, &n.to_string());
        let shell = format!("exec \"$0\" \"$@\" {streams}");
        world.run_through(&["sh", "-c", &shell], world.limit_arguments(&image, "3145728")).is_done();
        assert_eq!(world.limit_of(&image), 3 * MIB, "{streams}");
        let failing = world.limit_arguments(&world.image(ALICE, "none"), "3145728");
        assert_eq!(world.run_through(&["sh", "-c", &shell], failing).code, Some(1), "{streams}");
        assert_eq!(fs::read_to_string(image.join("image_info")).unwrap(), "1000");
    }
    let lock = world.store(ALICE).join("locks/global-groot-lock.lock");
    if world.is_xfs() {
        assert_eq!(fs::metadata(lock).unwrap().len(), 0);
    }
}

pub(crate) fn descriptors_that_are_inherited_are_closed(world: &World) {
    let stuck = Stuck::through(world, &["bash", "-c", "exec 7</etc/passwd 200</etc; exec \"$0\" \"$@\""]);
    let open = fs::read_dir(format!("/proc/{}/fd", stuck.pid())).unwrap();
    let open: Vec<_> = open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap()).collect();
    stuck.ends().is_done();
    assert!(open.iter().all(|target| !target.starts_with("/etc")), "{open:?}");
}

/// Without a name there is no argument either; what would be read next is the environment.
pub(crate) fn no_arguments_at_all(world: &World) {
    let before = world.state();
    let program = CString::new(world.program("drax").to_str().unwrap()).unwrap();
    let variable = CString::new("limit").unwrap();
    let mut command = Command::new("true");
    // SAFETY: runs between fork and exec, and only calls exec, with arrays of valid strings that end in null.
    unsafe {
        command.uid(ALICE.uid).gid(ALICE.uid).pre_exec(move || {
            let nothing = [std::ptr::null()];
            let environment = [variable.as_ptr(), std::ptr::null()];
            libc::execve(program.as_ptr(), nothing.as_ptr(), environment.as_ptr());
            Err(std::io::Error::last_os_error())
        });
    }
    let ended = end(&mut command);
    // Kernels from 5.18 on put an empty name there.
    assert!(ended.code == Some(1) || ended.stdout.contains("Usage"), "{ended:?}");
    assert_eq!(world.state(), before);
}

/// The dynamic linker, the C library and the runtime all read variables.
pub(crate) fn variables_of_the_environment(world: &World) {
    let (source, library, proof) =
        (world.home(ALICE).join("evil.c"), world.home(ALICE).join("evil.so"), world.home(ALICE).join("proof"));
    let code = "#include <fcntl.h>\n#include <unistd.h>\n__attribute__((constructor)) static void f(void) \
                { if (geteuid() == 0) close(open(PROOF, O_CREAT | O_WRONLY, 0600)); }\n";
    fs::write(&source, code).unwrap();
    let define = format!("-DPROOF=\"{}\"", proof.display());
    succeed("cc", ["-shared", "-fPIC", &define, "-o", library.to_str().unwrap(), source.to_str().unwrap()]);
    let mut command = world.command(ALICE, world.limit_arguments(&world.image(ALICE, "x"), "3145728"));
    for name in ["LD_PRELOAD", "LD_AUDIT", "GCONV_PATH", "LOCPATH", "NLSPATH"] {
        command.env(name, &library);
    }
    command
        .env("LD_LIBRARY_PATH", world.home(ALICE))
        .env("LD_DEBUG", "all")
        .env("GLIBC_TUNABLES", "glibc.malloc.check=3");
    command.env("LC_ALL", "de_DE.UTF-8").env("LANGUAGE", "de").env("TZ", "/etc/passwd").env("RUST_BACKTRACE", "full");
    command.env("PATH", world.home(ALICE)).env("TMPDIR", world.home(BOB)).env("IFS", "/");
    let ended = end(&mut command);
    ended.is_done();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    assert!(!proof.exists(), "a library of the caller's ran with root's rights");
    assert_eq!(world.limit_of(&world.image(ALICE, "x")), 3 * MIB);
}

/// Whatever is forbidden: the image is limited, or nothing is.
pub(crate) fn resource_limits_of_the_caller(world: &World) {
    let own = world.home(ALICE).join("own");
    make_dir(&own, ALICE, 0o755);
    for (n, limit) in [
        "--fsize=0",
        "--nofile=3",
        "--nofile=6",
        "--nofile=0",
        "--as=1000000",
        "--as=8000000",
        "--data=0",
        "--stack=16384",
        "--nproc=0",
        "--cpu=0",
        "--memlock=0",
        "--fsize=1",
        "--sigpending=0",
        "--rttime=1",
    ]
    .into_iter()
    .enumerate()
    {
        let image = world.make_image(ALICE, &n.to_string());
        let (others, before) = (world.state_below(&world.home(BOB)), world.state());
        let ended = world.run_through(&["prlimit", limit, "--"], world.limit_arguments(&image, "3145728"));
        if ended.code == Some(0) {
            assert_eq!(world.limit_of(&image), 3 * MIB, "{limit}");
            spared(world, &others);
        } else {
            assert_eq!(world.state(), before, "{limit} {ended:?}");
        }
        let is_needed = matches!(limit, "--fsize=0" | "--fsize=1" | "--nproc=0");
        assert!(ended.code == Some(0) || !is_needed, "{limit} {ended:?}");
    }
    let drop_rights = ["--core=unlimited", "setpriv", "--reuid=4001", "--regid=4001", "--clear-groups"];
    let mut command = Command::new("prlimit");
    command
        .args(drop_rights)
        .arg(world.program("drax"))
        .args(world.limit_arguments(&world.image(ALICE, "x"), "3145728"));
    end(command.current_dir(world.home(ALICE))).is_done();
    let left = fs::read_dir(world.home(ALICE)).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("core")), "{left:?}");
}

/// Limits of the size of files are told by a signal, which ends a program that does not expect it.
pub(crate) fn output_to_where_nothing_can_be_written(world: &World) {
    let output = world.home(ALICE).join("output");
    own_file(&output, ALICE, "");
    let shell = format!("exec prlimit --fsize=0 -- \"$0\" \"$@\" >{}", output.display());
    let target = world.target(&world.image(ALICE, "x"));
    let stats = ["stats", "--json", "--volume-path", target.to_str().unwrap()];
    let ended = world.run_through(&["sh", "-c", &shell], stats.map(str::to_owned).to_vec());
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let full = "exec \"$0\" \"$@\" >/dev/full";
    assert_eq!(world.run_through(&["sh", "-c", full], stats.map(str::to_owned).to_vec()).code, Some(3));
}

pub(crate) fn sizes_that_are_none(world: &World) {
    let image = world.image(ALICE, "x");
    for size in
        ["-1", "-9223372036854775808", "9223372036854775808", "18446744073709551616", "0x10", "1e3", "", " 5", "5M"]
    {
        world.refuses("is not a number of bytes", || world.run(ALICE, world.limit_arguments(&image, size)));
    }
    world.run(ALICE, world.limit_arguments(&image, "9223372036854775807")).is_done();
    assert!(world.limit_of(&image) >= i64::MAX as u64 - 4096, "{}", world.limit_of(&image));
}

pub(crate) fn an_id_that_is_not_there(world: &World) {
    let call = |path: &Path| world.limit(ALICE, path, MIB);
    for name in ["images/none", "tmp/create.none"] {
        world.refuses("no such file or directory", || call(&world.store(ALICE).join(name)));
    }
    // On btrfs, `images` would be taken for the image and the subvolume be missed.
    let images = world.store(ALICE).join("images");
    let ended = call(&images);
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

/// Nobody is to interrupt it between two steps, except by killing it.
pub(crate) fn signals(world: &World) {
    let stuck = Stuck::as_user(world, ALICE);
    for signal in ["HUP", "INT", "QUIT", "TERM", "ALRM", "VTALRM", "XCPU", "USR1", "TSTP", "PIPE"] {
        as_user(ALICE, "/bin/kill", &["-s", signal, &stuck.pid().to_string()].map(Path::new));
    }
    stuck.ends().is_done();
    for signal in ["HUP", "TERM"] {
        let image = world.make_image(ALICE, signal);
        let mut command = world.command(ALICE, world.limit_arguments(&image, "3145728"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        as_user(ALICE, "/bin/kill", &["-s", signal, &child.id().to_string()].map(Path::new));
        let ended = wait(child);
        // It has come before the helper was ready for it, or after.
        assert!(ended.code.is_none() || world.limit_of(&image) == 3 * MIB, "{signal} {ended:?}");
    }
    let times = if world.is_xfs() { 10 } else { 30 };
    for delay in 0..times {
        let image = world.make_image(ALICE, &delay.to_string());
        let others = world.state_below(&world.home(BOB));
        let mut command = world.command(ALICE, world.limit_arguments(&image, "3145728"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_micros(delay * 150));
        child.kill().unwrap();
        let ended = wait(child);
        assert!(matches!(world.limit_of(&image), 0 | 3_145_728), "{delay} {ended:?}");
        spared(world, &others);
    }
}

/// Neither the bit nor its owner is of use where the kernel does not look at them.
pub(crate) fn a_helper_without_the_rights_says_why(world: &World) {
    let arguments = || world.limit_arguments(&world.image(ALICE, "x"), "3145728");
    world.refuses("drax lacks the privileges it needs: it was started with no_new_privs set", || {
        world.run_through(&["setpriv", "--no-new-privs"], arguments())
    });
    set_mode(&world.program("drax"), 0o755);
    world.refuses("it must be owned by root and have the setuid bit: chown root and chmod u+s", || {
        world.run(ALICE, arguments())
    });
    chown(world.program("drax"), Some(BOB.uid), None).unwrap();
    set_mode(&world.program("drax"), 0o4755);
    world.refuses("it must be owned by root", || world.run(ALICE, arguments()));

    let nosuid = world.home(ALICE).join("nosuid");
    make_dir(&nosuid, ALICE, 0o755);
    succeed("mount", ["-t", "tmpfs", "-o", "nosuid,mode=755", "tmpfs", nosuid.to_str().unwrap()]);
    install(&world.program("tardis"), &nosuid.join("drax"));
    let mut command = Command::new(nosuid.join("drax"));
    let ended = end(command.args(arguments()).uid(ALICE.uid).gid(ALICE.uid));
    succeed("umount", [nosuid.to_str().unwrap()]);
    assert!(ended.code == Some(1) && ended.stdout.contains("mounted with nosuid"), "{ended:?}");
}

/// What is left of root's rights while it works: looked at while it waits to write its answer.
pub(crate) fn only_one_capability_is_left(world: &World) {
    for (user, capabilities) in [(ALICE, "0000000000200000"), (ROOT, "000000000020000f")] {
        let stuck = Stuck::as_user(world, user);
        let of = |field| status_of(stuck.pid(), field);
        let found = [of("Uid"), of("CapInh"), of("CapPrm"), of("CapEff"), of("NoNewPrivs")];
        stuck.ends().is_done();
        let (ids, none) = (format!("{0} 0 0 {0}", user.uid), "0000000000000000");
        assert_eq!(found, [&ids, none, capabilities, capabilities, "1"], "{}", user.name);
    }
}

/// A process of the caller's own user must not get at what the helper has open.
pub(crate) fn nobody_looks_into_it(world: &World) {
    let stuck = Stuck::as_user(world, ALICE);
    let pid = stuck.pid().to_string();
    let as_alice = |program: &str, arguments: &[&str]| {
        end(Command::new(program).args(arguments).uid(ALICE.uid).gid(ALICE.uid).current_dir("/")).code
    };
    let (list, memory) = (format!("/proc/{pid}/fd/"), format!("/proc/{pid}/mem"));
    let found = [
        as_alice("ls", &[&list]),
        as_alice("cat", &[&memory]),
        as_alice("strace", &["-o", "/dev/null", "-p", &pid]),
        as_alice("prlimit", &["--nofile=0", "--pid", &pid]),
    ];
    stuck.ends().is_done();
    assert!(found.iter().all(|code| code.is_some_and(|code| code != 0)), "{found:?}");
}

/// A helper that has done its work and cannot write its answer, because the pipe is full.
struct Stuck {
    child: Child,
    reader: std::io::PipeReader,
}

impl Stuck {
    fn as_user(world: &World, user: User) -> Self {
        Self::start(world.command(user, Self::arguments(world)))
    }

    fn through(world: &World, before: &[&str]) -> Self {
        let mut command = Command::new(before[0]);
        command.args(&before[1..]).arg(world.program("drax")).args(Self::arguments(world));
        command.uid(ALICE.uid).gid(ALICE.uid).current_dir("/");
        Self::start(command)
    }

    fn arguments(world: &World) -> Vec<String> {
        let target = world.target(&world.image(ALICE, "x"));
        ["stats", "--json", "--volume-path", target.to_str().unwrap()].map(str::to_owned).to_vec()
    }

    fn start(mut command: Command) -> Self {
        let (reader, mut writer) = std::io::pipe().unwrap();
        fill(&mut writer);
        let child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let stuck = Self { child, reader };
        stuck.wait();
        stuck
    }

    /// Waits until the helper has given up its rights and sleeps, which it does nowhere but at the full pipe.
    fn wait(&self) {
        let start = Instant::now();
        let mut times = 0;
        while times < 20 {
            assert!(start.elapsed() < Duration::from_secs(10), "not so after ten seconds");
            let is_stuck =
                status_of(self.pid(), "NoNewPrivs") == "1" && status_of(self.pid(), "State").starts_with('S');
            times = if is_stuck { times + 1 } else { 0 };
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it write, and waits for its end.
    fn ends(self) -> Ended {
        let Self { child, mut reader } = self;
        let drain = thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let ended = wait(child);
        drain.join().unwrap().unwrap();
        ended
    }
}

/// Writes to a pipe until it is full.
fn fill(pipe: &mut std::io::PipeWriter) {
    // SAFETY: F_GETPIPE_SZ takes no argument.
    let size = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETPIPE_SZ) };
    pipe.write_all(&vec![0; size as usize]).unwrap();
}

pub(crate) fn opaque_marks_are_set_in_layers_of_one_s_own(world: &World) {
    let layer = make_layer(world, ALICE);
    let inner = layer.join("a/b");
    let others = world.state_below(&world.home(BOB));
    let paths = [&layer.join("a"), &inner];
    let arguments = paths.iter().flat_map(|path| ["--opaque-path", path.to_str().unwrap()]);
    world.run(ALICE, ["handle-opqwhiteouts"].into_iter().chain(arguments)).is_done();
    let marked = paths.map(|path| format!("{} trusted.overlay.opaque=\"y\"", path.display()));
    assert_eq!(attributes(&layer), marked);
    assert_eq!(world.state_below(&world.home(BOB)), others);
}

pub(crate) fn any_number_of_opaque_marks_is_set_at_once(world: &World) {
    let layer = make_layer(world, ALICE);
    let mut arguments = vec!["handle-opqwhiteouts".to_owned()];
    for n in 0..600 {
        let path = layer.join(n.to_string());
        make_dir(&path, ALICE, 0o755);
        arguments.push(format!("--opaque-path={}", path.display()));
    }
    world.run(ALICE, arguments).is_done();
    assert_eq!(attributes(&layer).len(), 600);
}

pub(crate) fn opaque_marks_are_set_nowhere_else(world: &World) {
    let layer = make_layer(world, ALICE);
    let theirs = make_layer(world, BOB);
    open_up(world);
    let mark = |path: &Path| {
        let good = layer.join("a");
        let arguments = ["handle-opqwhiteouts", "--opaque-path", good.to_str().unwrap(), "--opaque-path"];
        world.run(ALICE, arguments.into_iter().chain([path.to_str().unwrap()]))
    };
    symlink(theirs.join("a"), layer.join("link")).unwrap();
    symlink(&theirs, world.store(ALICE).join("volumes/link")).unwrap();
    fs::write(layer.join("file"), "").unwrap();
    let mounted = layer.join("mounted");
    make_dir(&mounted, ALICE, 0o755);
    succeed("mount", ["--bind", theirs.to_str().unwrap(), mounted.to_str().unwrap()]);
    for (path, text) in [
        (layer.join("link"), LINK),
        (layer.join("link/b"), LINK),
        (world.store(ALICE).join("volumes/link/a"), LINK),
        (layer.join("file"), "not a directory"),
        (layer.join("none"), "no such file or directory"),
        (layer.join("a/../../../../bob/store/volumes/layer/a"), "is not of the form"),
        (theirs.join("a"), "does not belong to the user who called"),
        (mounted.join("a"), "something else is mounted there"),
        (world.image(ALICE, "x"), "is not of the form"),
        (world.store(ALICE).join("volumes"), "is not of the form"),
        (PathBuf::from("/etc"), "is not of the form"),
    ] {
        // The first path is fine, and yet is not marked.
        world.refuses(text, || mark(&path));
    }
    succeed("umount", [mounted.to_str().unwrap()]);
}

/// A layer with two directories, one in the other; the inner one belongs to an id of the image's.
fn make_layer(world: &World, user: User) -> PathBuf {
    let layer = world.store(user).join("volumes/layer");
    make_dir(&layer, user, 0o755);
    make_dir(&layer.join("a"), user, 0o755);
    make_dir(&layer.join("a/b"), User { name: "mapped", uid: 100_005 }, 0o755);
    layer
}

/// Root is trusted, with everybody's stores and with what is no store yet.
pub(crate) fn root_may_limit_everybody_s_images(world: &World) {
    let image = world.image(ALICE, "x");
    world.limit(ROOT, &image, 5 * MIB).is_done();
    assert_eq!(world.limit_of(&image), 5 * MIB);
    assert!(world.stats(ROOT, &image).stdout.contains(&format!("\"quota_size_bytes\":{},", 5 * MIB)));
    // What root has made in passing is of use to the owner.
    let again = world.make_image(ALICE, "again");
    world.limit(ALICE, &again, 3 * MIB).is_done();
}
