//! The programs under test, and the name of the program that tests them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The test program itself, in `<profile>/deps` of cargo's target directory.
static TEST_PROGRAM: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::current_exe().expect("the path of the test program"));

/// Name of the test program, as in `Cargo.toml`. Cargo appends `-<hash>` to the file's.
pub fn test_program() -> &'static str {
    let name = TEST_PROGRAM.file_name().and_then(|name| name.to_str()).expect("a name of cargo's");
    name.rsplit_once('-').map_or(name, |(name, _hash)| name)
}

/// A program of the workspace: in `GROOTFS_TEST_BIN_DIR`, or where cargo leaves it, in the directory above the test
/// program's.
fn built(name: &str) -> PathBuf {
    let beside_tests = || TEST_PROGRAM.ancestors().nth(2).map(Path::to_owned);
    let directory = std::env::var_os("GROOTFS_TEST_BIN_DIR").map(PathBuf::from).or_else(beside_tests);
    let program = directory.expect("the target directory").join(name);
    assert!(program.exists(), "{} is missing: cargo build --workspace", program.display());
    program
}

/// Path of the program under test.
pub fn grootfs_binary() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| built("grootfs").into_os_string().into_string().expect("text"));
    &PATH
}

/// Path of the setuid helper, without its bit.
pub(crate) fn drax_binary() -> PathBuf {
    built("drax")
}
