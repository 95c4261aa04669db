//! The working directory, for names that the kernel is to keep as they are given: those of an overlay's layers.
//!
//! It is changed here alone, and stays where it was changed to: nothing else depends on it, because paths are made absolute
//! when they are read.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::chdir;

static IN_USE: Mutex<()> = Mutex::new(());

/// While there is one, relative paths begin in the directory that was entered. There is one at a time.
#[derive(Debug)]
pub struct WorkingDirectory {
    _in_use: MutexGuard<'static, ()>,
}

impl WorkingDirectory {
    /// Makes `directory` the working directory: that of the process, unless the thread has one of its own.
    ///
    /// # Errors
    /// Those of chdir(2).
    pub fn enter(directory: &Path) -> io::Result<Self> {
        let _in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        chdir(directory)?;
        Ok(WorkingDirectory { _in_use })
    }
}
