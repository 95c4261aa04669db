//! Commands that are ended from outside, by a signal or a limit of time, say in a line what they leave, and leave no more.

use std::fs;
use std::io::{PipeWriter, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use crate::support::{
    Answer, Archive, Image, Layer, Outcome, ScriptedRegistry, TempStore, assert_whole, large_layer, layout, names, run,
    succeed, wait_for, wrapped,
};

const CREATE: &str = "interrupted: no image was made, and layers that were complete are kept for the next create";
const PULL: &str = "interrupted: layers that were complete are kept in the store";
const COMMIT: &str = "interrupted: no image was written; a layout keeps the blobs that were complete";
const CLEAN: &str = "interrupted: what it removed is gone, and the next clean removes the rest";
/// Said by who did not notice in time, which on a busy machine may be anybody.
const OVERDUE: &str = "; what it had begun is removed by the next clean";

/// A registry that sends the start of the large layer and no more, to those who ask for it after so many have.
fn hanging_registry(store: &TempStore, after: usize) -> ScriptedRegistry {
    ScriptedRegistry::start(&layout(store), move |asked| match asked.path.ends_with(&large_layer().digest) {
        true if asked.before >= after => Answer::StallAfter(1_000_000),
        _ => Answer::Serve,
    })
}

fn wait_for_layer(server: &ScriptedRegistry, times: usize) {
    wait_for("the layer that hangs", || {
        server.asked().iter().filter(|asked| asked.path.ends_with(&large_layer().digest)).count() == times
    });
}

/// As from a terminal: what runs in the background of a script ignores SIGINT, and leaves that to what it starts.
fn begin(store: &TempStore, arguments: &[&str]) -> Child {
    let command = store.command(arguments);
    let mut command = wrapped(&["env", "--default-signal=HUP,INT,TERM"], &command);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Interrupts the command, which is to die of that with this message, and checks that nothing is left of its work in the
/// store. Returns whether it noticed in time.
#[track_caller]
fn interrupt(store: &TempStore, command: Child, signal: i32, message: &str) -> bool {
    succeed("kill", [format!("-{signal}"), command.id().to_string()]);
    let output = command.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(signal), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim_end_matches('\n').replace(OVERDUE, ""), message);
    if said.contains(OVERDUE) {
        store.ok(["clean"]);
    }
    assert_eq!(store.leftovers(), [""; 0]);
    // Layers that were complete are written to disk by a process of its own.
    wait_for("nothing to be found", || store.run(["check"]).code == Some(0));
    !said.contains(OVERDUE)
}

#[test]
fn an_interrupted_create_or_pull_leaves_nothing_and_can_be_repeated() {
    for (command, signal, message) in
        [("create", 1, CREATE), ("create", 2, CREATE), ("create", 15, CREATE), ("pull", 15, PULL)]
    {
        let store = TempStore::new();
        let server = hanging_registry(&store, 0);
        let (url, host) = (server.url(), server.host());
        let mut arguments = vec![command, "--insecure-registry", &host, &url];
        arguments.extend((command == "create").then_some("x"));
        let begun = begin(&store, &arguments);
        wait_for_layer(&server, 1);
        let _ = interrupt(&store, begun, signal, message);
        assert_eq!(names(&store.path().join("images")), [""; 0]);
        // From elsewhere: that server still hangs.
        assert_whole(&store.create(&format!("oci://{}:latest", store.beside("layout").display()), "x"));
    }
}

/// Nobody can look whether an end is requested while the kernel waits for a pipe.
#[test]
fn a_create_that_does_not_notice_is_ended_all_the_same() {
    let store = TempStore::new();
    let pipe = store.beside("pipe.tar");
    succeed("mkfifo", [&pipe]);
    let begun = begin(&store, &["create", pipe.to_str().unwrap(), "x"]);
    // Both ends are there, and nothing is written.
    let _writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    wait_for("the layer's directory", || !store.leftovers().is_empty());
    let _ = interrupt(&store, begun, 2, CREATE);
}

#[test]
fn an_interrupted_commit_leaves_nothing() {
    let store = TempStore::new();
    let server = hanging_registry(&store, 1);
    let (url, host) = (server.url(), server.host());
    store.ok(["create", "--insecure-registry", &host, &url, "x"]);
    let directory = store.beside("committed");
    fs::create_dir(&directory).unwrap();
    let destination = format!("oci-archive:{}", directory.join("image.tar").display());
    let begun = begin(&store, &["commit", "--insecure-registry", &host, "x", &destination]);
    wait_for_layer(&server, 2);
    let _ = interrupt(&store, begun, 2, COMMIT);
    assert_eq!(names(&directory), [""; 0]);
}

/// Nobody can look whether an end is requested while the kernel waits for a pipe, which a layer of the base is.
#[test]
fn a_commit_that_does_not_notice_leaves_nothing_and_one_that_was_killed_is_tidied_up_after() {
    let store = TempStore::new();
    let image = Image::new().layer(Layer::new(Archive::new().file("file", 0o644, b"").bytes()));
    let url = image.write(&store.beside("image"), "latest");
    store.create(&url, "x");
    let blobs = store.beside("image/blobs/sha256");
    let layer =
        blobs.join(Layer::new(Archive::new().file("file", 0o644, b"").bytes()).digest.trim_start_matches("sha256:"));
    let away = store.beside("layer");
    fs::rename(&layer, &away).unwrap();
    succeed("mkfifo", [&layer]);
    let directory = store.beside("committed");
    fs::create_dir(&directory).unwrap();
    let layout = format!("oci:{}", directory.join("layout").display());
    let archive = format!("oci-archive:{}", directory.join("image.tar").display());
    let is_at_work = || {
        let begun = |directory: &Path| names(directory).iter().any(|name| name.starts_with('.'));
        begun(&directory) || begun(&directory.join("layout/blobs/sha256"))
    };
    let begun = |destination: &str| {
        let child = begin(&store, &["commit", "x", destination]);
        // Both ends are there, and nothing is written.
        let writer = fs::OpenOptions::new().write(true).open(&layer).unwrap();
        wait_for("the beginning of a commit", is_at_work);
        (child, writer)
    };
    for destination in [&archive, &layout] {
        let (child, _writer) = begun(destination);
        let _ = interrupt(&store, child, 15, COMMIT);
        assert!(!is_at_work(), "{destination}: {:?}", names(&directory));
    }
    for destination in [&archive, &layout] {
        let (mut killed, _writer) = begun(destination);
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    assert!(is_at_work());
    fs::rename(&away, &layer).unwrap();
    for destination in [&archive, &layout] {
        store.ok(["commit", "x", destination]);
    }
    assert!(!is_at_work(), "{:?}", names(&directory));
    assert_eq!(names(&directory), ["image.tar", "layout"]);
}

/// What is removed takes its time, one after the other.
#[test]
fn an_interrupted_clean_says_so_and_the_next_one_removes_the_rest() {
    let store = TempStore::new();
    for n in 0..10 {
        let layer = Layer::new(Archive::new().file("file", 0o644, &[n]).bytes());
        store.create(&Image::new().layer(layer).write(&store.beside(&format!("image-{n}")), "latest"), "x");
        store.ok(["delete", "x"]);
    }
    let slowly = ["strace", "-f", "-o", "/dev/null", "-e", "inject=unlinkat,unlink,rmdir,ioctl:delay_enter=30000"];
    // On standard error strace talks to itself.
    let Outcome { code, stdout: said, .. } = run(&mut wrapped(&slowly, &store.command(["--timeout", "1", "clean"])));
    let expected = "given up after 1 s (--timeout): what it removed is gone, and the next clean removes the rest";
    assert_eq!((code, said.trim_end().replace(OVERDUE, "").as_str()), (Some(1), expected));
    store.ok(["clean"]);
    assert!(store.volumes().is_empty() && store.leftovers().is_empty(), "{:?}", store.leftovers());
}

/// Between two layers that it takes away, and before it removes what it has taken away.
#[test]
fn a_clean_stops_at_the_next_layer() {
    let store = TempStore::new();
    let create = |n: u8| {
        let layer = Layer::new(Archive::new().file("file", 0o644, &[n]).bytes());
        store.create(&Image::new().layer(layer).write(&store.beside(&format!("image-{n}")), "latest"), "x");
        store.ok(["delete", "x"]);
    };
    // strace(1) sends a signal with the call of this number.
    for (number, left) in [(1, 3), (4, 0)] {
        (0..4).for_each(create);
        let inject = format!("inject=rename,renameat,renameat2:signal=SIGTERM:when={number}");
        let mut command = wrapped(&["strace", "-f", "-o", "/dev/null", "-e", &inject], &store.command(["clean"]));
        let Output { status, stdout, .. } = command.output().unwrap();
        let said = String::from_utf8(stdout).unwrap().replace(OVERDUE, "");
        assert_eq!((status.signal(), said.trim_end()), (Some(15), CLEAN));
        assert_eq!((store.volumes().len(), names(&store.path().join("tmp")).len()), (left, 4 - left), "{number}");
        store.ok(["clean"]);
        assert!(store.volumes().is_empty() && store.leftovers().is_empty(), "{:?}", store.leftovers());
    }
}

/// Also while the answer is written, when nothing can be undone any more.
#[test]
fn a_signal_that_the_caller_has_ignored_changes_nothing() {
    let store = TempStore::new();
    let image = Image::new().layer(Layer::new(Archive::new().file("file", 0o644, b"x").bytes()));
    let url = image.write(&store.beside("image"), "latest");
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let full = fill(&mut writer);
    let mut command = wrapped(&["env", "--ignore-signal=INT"], &store.command(["create", &url, "x"]));
    let mut create = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    // The command has the other end.
    drop(command);
    wait_for("the image", || store.path().join("images/x").exists());
    for _ in 0..50 {
        succeed("kill", ["-INT".to_owned(), create.id().to_string()]);
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut said = Vec::new();
    reader.read_to_end(&mut said).unwrap();
    assert_eq!(create.wait().unwrap().code(), Some(0));
    assert!(said[full..].starts_with(b"{\"ociVersion\""), "{}", said.len());
}

/// Writes until there is no room, and tells how many bytes that took.
fn fill(pipe: &mut PipeWriter) -> usize {
    rustix::io::ioctl_fionbio(&*pipe, true).unwrap();
    let mut count = 0;
    while let Ok(written) = pipe.write(&[b' '; 4096]) {
        count += written;
    }
    rustix::io::ioctl_fionbio(&*pipe, false).unwrap();
    count
}

#[test]
fn a_command_gives_up_when_its_time_is_over() {
    let store = TempStore::new();
    let server = hanging_registry(&store, 0);
    let create = ["create", "--insecure-registry", &server.host(), &server.url(), "x"];
    let message = store.fails([&["--timeout", "1s"], &create[..]].concat());
    let expected =
        "given up after 1 s (--timeout): no image was made, and layers that were complete are kept for the next create";
    assert_eq!(message.replace(OVERDUE, ""), expected);
    if message.contains(OVERDUE) {
        store.ok(["clean"]);
    }
    assert_eq!(store.leftovers(), [""; 0]);
    let message = store.fails(["--timeout", "soon", "list"]);
    assert!(message.contains("must be a number of seconds, or as 90s, 5m or 2h"), "{message}");
}
