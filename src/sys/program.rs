//! Programs that are run for what their caller may not do.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, getxattr};

/// Finds a program as the shell does: a name without a slash is looked up in `$PATH`.
pub fn find(program: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    candidates(program, &path).find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
}

fn candidates(program: &Path, path: &OsStr) -> impl Iterator<Item = PathBuf> {
    let is_name = program.components().count() == 1 && !program.has_root();
    let directories = if is_name { std::env::split_paths(path).collect() } else { vec![PathBuf::new()] };
    let program = program.to_owned();
    directories.into_iter().map(move |directory| directory.join(&program))
}

/// Whether a program runs as its owner, whoever starts it.
pub fn has_setuid_bit(path: &Path) -> bool {
    const SETUID: u32 = 0o4000;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & SETUID != 0)
}

/// Whether a program has capabilities that its caller has not (capabilities(7)).
pub fn has_capabilities(path: &Path) -> bool {
    let mut value = [0; 64];
    // By its path: a program need not be readable.
    getxattr(path, "security.capability", &mut value[..]).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_paths_are_not() {
        let all = |program: &str| candidates(Path::new(program), OsStr::new("/a:/b")).collect::<Vec<_>>();
        assert_eq!(all("tool"), [PathBuf::from("/a/tool"), PathBuf::from("/b/tool")]);
        assert_eq!(all("/c/tool"), [PathBuf::from("/c/tool")]);
        assert_eq!(all("./tool"), [PathBuf::from("./tool")]);
        assert_eq!(all("bin/tool"), [PathBuf::from("bin/tool")]);
    }
}
