//! A panic, which is a defect of the program, ends a command as an error does: one line, exit code 1, nothing left. Panics
//! are brought about by a kernel that claims to have written more than there was.

use crate::support::{Archive, Image, Layer, TempStore, names, with_fault};

fn image(store: &TempStore) -> String {
    let layer = |name: &str| {
        let files = |archive: Archive, n| archive.file(&format!("{name}-{n}"), 0o644, b"content");
        Layer::new((0..12).fold(Archive::new(), files).bytes())
    };
    Image::new().layer(layer("bottom")).layer(layer("top")).write(&store.beside("image"), "latest")
}

/// Has the `nth` write of each thread of a create that goes so far panic, if there are so many, and returns the message.
#[track_caller]
fn create_panics(store: &TempStore, url: &str, nth: u32) -> Option<String> {
    let (outcome, is_struck) =
        with_fault(&store.command(["create", url, "x"]), &format!("write:retval=1000000000:when={nth}"));
    if !is_struck {
        return None;
    }
    let line = outcome.failure();
    assert!(line.starts_with("internal error: ") && line.ends_with("please report it"), "{line}");
    assert_eq!(store.leftovers(), [""; 0], "{line}");
    assert_eq!(store.ok(["list"]), "Store empty\n", "{line}");
    assert_eq!(names(&store.path().join("meta/dependencies")), [""; 0], "{line}");
    Some(line)
}

#[test]
fn promise_02_a_panic_in_a_create_leaves_nothing_and_is_one_line() {
    let store = TempStore::new();
    let url = image(&store);
    // The first thread's first is of the dependency record.
    create_panics(&store, &url, 1).unwrap();
    // So many are made by the threads alone that unpack layers, two at once.
    let line = create_panics(&store, &url, 8).unwrap();
    assert!(line.contains("src/unpacker/extract.rs"), "{line}");
    assert_eq!(store.volumes(), [""; 0]);

    store.create(&url, "x");
    store.ok(["delete", "x"]);
    // The last write of a create is its answer.
    let lines: Vec<String> = (1..).map_while(|nth| create_panics(&store, &url, nth)).collect();
    assert!(lines.last().is_some_and(|line| line.contains("src/sys/stdout.rs")), "{lines:?}");
    assert!(store.image("x").exists(), "made when no write was struck");
}
