//! Whoever reads a command's output until its end waits for nobody but the command: nothing that it leaves running holds
//! the pipe.

use std::fs;
use std::io::Read;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::support::{Metron, TempStore, small_image, succeed, wrapped};

/// What writing new layers to disk takes here, after a create.
const FLUSH: Duration = Duration::from_secs(4);

/// A command of which all that was written has been read.
struct Ended {
    said: String,
    took: Duration,
    /// Ends when the last process that the command started has ended.
    all: Child,
}

impl Ended {
    fn is_something_left_running(&mut self) -> bool {
        self.all.try_wait().unwrap().is_none()
    }
}

/// Runs a command whose standard output, standard error and another descriptor, which it knows nothing of, are a pipe that
/// nobody else holds. `strace` has syncfs(2) take its time.
fn run(store: &TempStore, arguments: &[&str]) -> Ended {
    let pipe = store.beside("pipe");
    let _ = fs::remove_file(&pipe);
    succeed("mkfifo", [&pipe]);
    let command = store.command(arguments);
    let delay = format!("inject=syncfs:delay_enter={}", FLUSH.as_micros());
    let start = Instant::now();
    let to_pipe = wrapped(&["sh", "-c", "exec 5>\"$0\"; exec \"$@\" >&5 2>&5", pipe.to_str().unwrap()], &command);
    let strace = ["strace", "-f", "-qq", "-e", "trace=syncfs", "-e", &delay, "-o", "/dev/null"];
    let all = wrapped(&strace, &to_pipe).spawn().expect("the tests need strace");
    let mut said = String::new();
    fs::File::open(&pipe).unwrap().read_to_string(&mut said).unwrap();
    Ended { said, took: start.elapsed(), all }
}

#[track_caller]
fn assert_flushes_alone(store: &TempStore, arguments: &[&str], said: &str) {
    let mut ended = run(store, arguments);
    assert!(ended.said.contains(said), "{arguments:?}: {}", ended.said);
    assert!(ended.is_something_left_running(), "there is no flush to wait for: {arguments:?}");
    assert!(ended.took < FLUSH, "{arguments:?} was waited for as long as its flush: {:?}", ended.took);
    ended.all.wait().unwrap();
}

#[test]
fn what_a_create_leaves_running_holds_no_pipe() {
    let metron = Metron::start();
    let endpoint = metron.endpoint();
    for way in 0..3 {
        let store = TempStore::new();
        let url = small_image(&store.beside("image"));
        let [log, file] = ["log", "grootfs.prom"].map(|name| store.beside(name).display().to_string());
        let flags = match way {
            0 => &["--log-level", "debug"][..],
            1 => &["--log-file", &log],
            _ => &["--metron-endpoint", &endpoint, "--metrics-file", &file],
        };
        assert_flushes_alone(&store, &[flags, &["create", &url, "x"]].concat(), "\"ociVersion\"");
    }
}

#[test]
fn other_commands_leave_nothing_running() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    crate::support::wait_for("the flush", || crate::support::names(&store.path().join("meta/unflushed")).is_empty());
    let path = store.path().display().to_string();
    for (arguments, said) in [
        (&["create", &url, "y"][..], "\"ociVersion\""),
        (&["create", "/not/here.tar", "z"], "no such file or directory"),
        (&["create", &url, "x"], "already exists"),
        (&["create", "--with-clean", &url, "z"], "\"ociVersion\""),
        (&["stats", "x"], "disk_usage"),
        (&["stats", "unknown"], "not found"),
        (&["list"], &path),
        (&["capacity"], "capacity"),
        (&["clean"], "clean completed"),
        (&["generate-volume-size-metadata"], ""),
        (&["init-store", "--without-quota"], ""),
        (&["delete", "x"], "deleted"),
        (&["delete", "x"], "not found"),
        (&["delete-store"], ""),
    ] {
        let mut ended = run(&store, arguments);
        assert!(ended.said.contains(said), "{arguments:?}: {}", ended.said);
        assert!(ended.took < FLUSH, "{arguments:?} took {:?}", ended.took);
        crate::support::wait_for("the end of everything", || !ended.is_something_left_running());
    }
}

/// What a command opens itself must not become its standard error.
#[test]
fn a_command_without_standard_error_logs_nowhere() {
    let store = TempStore::new();
    let create = store.command(["--log-level", "debug", "create", &small_image(&store.beside("image")), "x"]);
    let mut closed = std::process::Command::new("sh");
    closed.args(["-c", r#"exec "$0" "$@" <&- >/dev/null 2>&-"#]).arg(create.get_program()).args(create.get_args());
    assert!(closed.status().unwrap().success());
    for file in ["locks/global-groot-lock.lock", "meta/dependencies/image:x.json", "images/x/image_info"] {
        let content = fs::read_to_string(store.path().join(file)).unwrap();
        assert!(!content.contains("groot-creating"), "{file}: {content}");
    }
    store.stats("x");
}
