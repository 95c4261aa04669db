//! All commands of the documentation are run by a test, or it is said why none can.

use std::fs;

use grootfs_test_support::pages::{RUNNERS, Runner, blocks};
use grootfs_test_support::shown::fits;

use super::root;

#[test]
fn somebody_runs_each_block() {
    for block in blocks() {
        let runner = block.runner().unwrap_or_else(|| panic!("nobody runs it, see RUNNERS: {block:?}"));
        match runner {
            Runner::In(program) => {
                let path = root().join(format!("tests/{program}.rs"));
                assert!(fs::read_to_string(&path).unwrap().contains("mod pages;"), "{}", path.display());
            }
            Runner::File(path) => {
                let text = fs::read_to_string(root().join(path)).unwrap();
                assert!(text.contains(&block.page), "{path} does not read {}", block.page);
            }
            Runner::Nobody(reason) => assert!(!reason.is_empty(), "{block:?}"),
        }
    }
}

#[test]
fn each_block_that_is_said_to_be_run_is_there() {
    let blocks = blocks();
    for (page, heading, runners) in RUNNERS {
        let count = blocks.iter().filter(|block| block.page == page && block.heading == heading).count();
        assert_eq!(count, runners.len(), "{page}: {heading}");
    }
}

#[test]
fn what_differs_by_more_than_numbers_is_another_output() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(fits(&lines("used    1.5 GiB"), &lines("used 39.4 MiB")));
    assert!(fits(&lines("(6 B), in 0 s"), &lines("(6.1 KiB), in 12 min")));
    assert!(fits(&lines("a\n...\nd"), &lines("a\nb\nc\nd")));
    assert!(fits(&lines("/volumes/0123456789ab: 5"), &lines("/volumes/cdefcdefcdefcdef: 4")));
    assert!(fits(&lines("... no space left"), &lines("mkdir /x: no space left")));
    assert!(fits(&lines("made …: ok"), &lines("made x: y: ok")));
    assert!(!fits(&lines("made …: ok"), &lines("made x: no")));
    assert!(!fits(&lines("used 5"), &lines("free 5")));
    assert!(!fits(&lines("a"), &lines("a\nb")));
    assert!(!fits(&lines("a\n...\nd"), &lines("a\nb")));
    assert!(!fits(&lines("image-5 is gone"), &lines("image-x is gone")));
}
