//! The documents of `--json` are those of docs/json.md: no key that is not described, none missing, each of its type.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Archive, Image, Layer, TempStore, small_image};

/// A row of a table.
struct Key {
    types: Vec<String>,
    is_optional: bool,
}

/// The keys of each command.
fn documented() -> BTreeMap<String, BTreeMap<String, Key>> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md")).unwrap();
    let sections = page.split("\n## ").skip(1);
    let of_section = |section: &str| {
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let keys = rows.map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let is_optional = cells[2].ends_with(", optional");
            let types = cells[2].trim_end_matches(", optional").split(" or ").map(str::to_owned).collect();
            (cells[1].trim_matches('`').to_owned(), Key { types, is_optional })
        });
        (section.lines().next().unwrap().to_owned(), keys.collect())
    };
    sections.map(of_section).collect()
}

/// Each key of a document with the types it has there: `a.b[].c`.
fn flatten(path: &str, value: &Value, maps: &dyn Fn(&str) -> bool, found: &mut Vec<(String, &'static str)>) {
    match value {
        Value::Object(_) if maps(path) => found.push((path.to_owned(), "map")),
        Value::Object(members) => {
            found.push((path.to_owned(), "object"));
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, maps, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(&format!("{path}[]"), item, maps, found)),
        Value::Null => found.push((path.to_owned(), "null")),
        Value::Bool(_) => found.push((path.to_owned(), "boolean")),
        Value::Number(_) => found.push((path.to_owned(), "number")),
        Value::String(_) => found.push((path.to_owned(), "string")),
    }
}

/// Compares a document with what is said of the command.
#[track_caller]
fn assert_documented(command: &str, document: &str) {
    let all = documented();
    let keys = all.get(command).unwrap_or_else(|| panic!("docs/json.md has no section {command}"));
    assert_eq!(document.lines().count(), 1, "{document}");
    let document: Value = serde_json::from_str(document).unwrap();
    assert_eq!(document["schema"], 1);
    let is_map = |path: &str| keys.get(path).is_some_and(|key| key.types == ["map"]);
    let mut found = Vec::new();
    flatten("", &document, &is_map, &mut found);
    for (path, kind) in &found {
        match keys.get(path) {
            Some(key) => assert!(key.types.iter().any(|type_| type_ == kind), "{command}: `{path}` is {kind}"),
            // What leads to keys that have rows of their own.
            None if *kind == "object" => assert!(
                path.is_empty() || keys.keys().any(|key| key.starts_with(&format!("{path}."))),
                "{command}: `{path}` is not described"
            ),
            None => panic!("{command}: `{path}` is not described"),
        }
    }
    for (path, _) in keys.iter().filter(|(_, key)| !key.is_optional) {
        let is_there = found.iter().any(|(found, _)| found == path);
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let has_parent = found.iter().any(|(found, kind)| found == parent && *kind == "object");
        assert!(is_there || !has_parent, "{command}: `{path}` is missing in {document}");
    }
}

fn image(store: &TempStore) -> String {
    let layer = Layer::new(Archive::new().directory("data", 0o755).file("data/file", 0o644, b"12345").bytes());
    let image = Image::new().layer(layer).env(&["A=b"]).volume("/data").edit_config(|config| {
        config["config"]["Labels"] = json!({ "a": "b" });
        config["config"]["Cmd"] = json!(["sh"]);
    });
    image.write(&store.beside("image"), "latest")
}

#[test]
fn inspect() {
    let store = TempStore::new();
    let url = image(&store);
    assert_documented("inspect", &store.ok(["inspect", "--json", &url]));
    store.create(&url, "x");
    assert_documented("inspect", &store.ok(["inspect", "--json", "x"]));
}

#[test]
fn pull() {
    let store = TempStore::new();
    assert_documented("pull", &store.ok(["pull", "--json", &image(&store)]));
}

#[test]
fn diff_and_commit() {
    let store = TempStore::new();
    let rootfs = store.create(&image(&store), "x");
    assert_documented("diff", &store.ok(["diff", "--json", "x"]));
    fs::write(rootfs.join("added"), "").unwrap();
    fs::write(rootfs.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff")), "").unwrap();
    assert_documented("diff", &store.ok(["diff", "--json", "x"]));
    let destination = format!("oci://{}:1", store.beside("mine").display());
    assert_documented("commit", &store.ok(["commit", "--json", "x", &destination]));
}

#[test]
fn list() {
    let store = TempStore::new();
    assert_documented("list", &store.ok(["list", "--json"]));
    let url = image(&store);
    store.create(&url, "x");
    let listed = store.ok(["list", "--json"]);
    assert_documented("list", &listed);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed["images"][0]["id"], &listed["images"][0]["source"]), (&json!("x"), &json!(url)));
}

#[test]
fn reports() {
    let store = TempStore::new();
    let url = image(&store);
    assert_documented("usage", &store.ok(["usage", "--json"]));
    store.create(&url, "x");
    store.ok(["create", "--without-mount", &small_image(&store.beside("small")), "y"]);
    assert_documented("usage", &store.ok(["usage", "--json"]));
    assert_documented("usage", &store.ok(["usage", "--exact", "--json"]));
    assert_documented("check", &store.ok(["check", "--json"]));
    fs::write(store.path().join("meta/dependencies/image:x.json"), "{").unwrap();
    fs::remove_file(store.path().join(format!("meta/digests-{}", store.volumes()[0]))).unwrap();
    let outcome = store.run(["check", "--deep", "--json"]);
    assert_eq!(outcome.code, Some(4));
    assert_documented("check", outcome.stdout.trim_end());
    fs::create_dir(store.path().join("tmp/dead.1")).unwrap();
    store.ok(["delete", "x"]);
    for flags in [&["--dry-run"][..], &[]] {
        assert_documented("clean", &store.ok([&["clean", "--json"], flags].concat()));
    }
    assert_documented("doctor", store.run(["doctor", "--json"]).stdout.trim_end());
}

#[test]
fn version() {
    let store = TempStore::new();
    assert_documented("version", &store.ok(["version", "--json"]));
    assert_eq!(store.ok(["version"]), format!("grootfs version {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(store.ok(["version"]), store.ok(["--version"]));
}
