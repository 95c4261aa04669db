//! Random numbers, for names that nobody has had before.

use std::fs::File;
use std::io::Read;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::path_error::{OnPath, PathError};

/// The same numbers as a file (random(4)).
const DEVICE: &str = "/dev/urandom";

/// A random number (getrandom(2)).
pub fn random_number() -> Result<u64, PathError> {
    let mut bytes = [0; 8];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        // Kernels before 3.17, and filters of system calls that do not know it.
        Err(Errno::NOSYS | Errno::PERM) => {
            File::open(DEVICE).and_then(|mut device| device.read_exact(&mut bytes)).on("read", DEVICE)?;
        }
        filled => drop(filled.on("read", "random bytes")?),
    }
    Ok(u64::from_ne_bytes(bytes))
}
