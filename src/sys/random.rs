//! Random numbers, for names that nobody has had before.

use super::path_error::{OnPath, PathError};

/// A random number (getrandom(2)).
pub fn random_number() -> Result<u64, PathError> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).on("read", "random bytes")?;
    Ok(u64::from_ne_bytes(bytes))
}
