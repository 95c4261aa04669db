//! The picture of the README: modules and who uses whom from the table of `docs/architecture.md`, and the steps of a create.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::imports::{Rules, everybody_may_import, rules};

/// What each module that is drawn is about. Those that everybody knows are one box at the bottom.
const CAPTIONS: [(&str, &str); 11] = [
    ("cli", "arguments, output"),
    ("observe", "logs, metrics"),
    ("store", "images, layers, garbage"),
    ("config", "YAML, flags"),
    ("fetcher", "registries, layouts, archives"),
    ("driver", "overlay-xfs, btrfs"),
    ("unpacker", "layers become files"),
    ("image", "manifests, chain ids"),
    ("layout", "paths of a store"),
    ("archive", "tar streams"),
    ("idmap", "id mappings"),
];

/// What a create does, in order, and the module that does it.
const CREATE: [(&str, &str); 6] = [
    ("fetcher", "read manifest and config"),
    ("store", "lock the image, record its layers"),
    ("unpacker", "pull, verify, unpack missing layers"),
    ("store", "publish each layer by a rename"),
    ("driver", "set the limit, mount"),
    ("store", "publish the image by a rename"),
];

const WIDTH: i64 = 960;
const BOX: i64 = 200;
const HEIGHT: i64 = 46;
const ROW: i64 = 84;

/// The rows of boxes, top first: a module stands below all that know it.
fn rows(knows: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let mut left: BTreeSet<&String> = knows.keys().collect();
    let mut rows = Vec::new();
    while !left.is_empty() {
        let is_known = |name: &String| left.iter().any(|other| *other != name && knows[*other].contains(name));
        let row: Vec<String> = left.iter().copied().filter(|name| !is_known(name)).cloned().collect();
        assert!(!row.is_empty(), "modules that know each other: {left:?}");
        left.retain(|name| !row.contains(name));
        rows.push(row);
    }
    rows
}

/// Of each module that is drawn, the others that it knows.
fn drawn(rules: &Rules) -> BTreeMap<String, BTreeSet<String>> {
    let captions: BTreeMap<_, _> = CAPTIONS.into_iter().collect();
    let shown = |name: &str| captions.contains_key(name);
    let known = |names: &BTreeSet<String>| {
        names.iter().map(|name| name.split("::").next().unwrap().to_owned()).filter(|name| shown(name)).collect()
    };
    let drawn: BTreeMap<_, _> =
        rules.iter().filter(|(name, _)| shown(name)).map(|(name, names)| (name.clone(), known(names))).collect();
    assert_eq!(drawn.len(), CAPTIONS.len(), "a module of the picture has no row in the table");
    drawn
}

pub(super) fn picture() -> String {
    let rules = rules();
    let knows = drawn(&rules);
    let rows = rows(&knows);
    let captions: BTreeMap<_, _> = CAPTIONS.into_iter().collect();
    let mut places = BTreeMap::new();
    for (y, row) in rows.iter().enumerate() {
        let gap = WIDTH / (row.len() as i64 + 1);
        for (x, name) in row.iter().enumerate() {
            places.insert(name.as_str(), (gap * (x as i64 + 1), 24 + ROW * y as i64));
        }
    }
    let foundation = 24 + ROW * rows.len() as i64;
    let (steps, height) = (foundation + 96, foundation + 220);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\" text-anchor=\"middle\">\n<!-- Made by tests/repository/picture.rs; see there. -->\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (from, to) in knows.iter().flat_map(|(from, names)| names.iter().map(move |to| (from, to))) {
        let ((x1, y1), (x2, y2)) = (places[from.as_str()], places[to.as_str()]);
        let (y1, middle) = (y1 + HEIGHT, (y1 + HEIGHT + y2) / 2);
        writeln!(svg, "<path d=\"M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}\" fill=\"none\" stroke=\"#9ab\"/>")
            .unwrap();
    }
    for (name, (x, y)) in &places {
        draw_box(&mut svg, (*x, *y), BOX, &format!("src/{name}"), captions[name]);
    }
    let common = everybody_may_import(&rules).into_iter().collect::<Vec<_>>().join(", ");
    draw_box(
        &mut svg,
        (WIDTH / 2, foundation),
        WIDTH - 80,
        &common,
        "used by every module; drax, the setuid helper, sets quotas",
    );
    writeln!(svg, "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">a create, step by step</text>", WIDTH / 2, steps - 14)
        .unwrap();
    let gap = WIDTH / CREATE.len() as i64;
    for (number, (module, what)) in CREATE.into_iter().enumerate() {
        assert!(places.contains_key(module), "{module} is not drawn");
        draw_step(&mut svg, (gap / 2 + gap * number as i64, steps), number + 1, module, what);
    }
    svg + "</svg>\n"
}

fn draw_box(svg: &mut String, (x, y): (i64, i64), width: i64, name: &str, caption: &str) {
    let (left, name_y, caption_y) = (x - width / 2, y + 19, y + 36);
    writeln!(
        svg,
        "<rect x=\"{left}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"#eef4fa\" stroke=\"#456\"/>\
         <text x=\"{x}\" y=\"{name_y}\" font-weight=\"bold\">{name}</text>\
         <text x=\"{x}\" y=\"{caption_y}\" fill=\"#456\">{caption}</text>"
    )
    .unwrap();
}

/// A step has room for two words a line.
fn draw_step(svg: &mut String, (x, y): (i64, i64), number: usize, module: &str, what: &str) {
    let head = y + 20;
    write!(svg, "<circle cx=\"{x}\" cy=\"{}\" r=\"12\" fill=\"#456\"/>", y + 15).unwrap();
    write!(svg, "<text x=\"{x}\" y=\"{head}\" fill=\"#fff\">{number}</text>").unwrap();
    write!(svg, "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\">{module}</text>", y + 46).unwrap();
    let words: Vec<&str> = what.split(' ').collect();
    for (line, words) in words.chunks(3).enumerate() {
        let line_y = y + 64 + 17 * line as i64;
        write!(svg, "<text x=\"{x}\" y=\"{line_y}\" fill=\"#456\">{}</text>", words.join(" ")).unwrap();
    }
    svg.push('\n');
}
