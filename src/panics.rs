//! What becomes of a panic, which is a defect of this program: unwinding cleans up as an error would, and at its end there
//! is one line for the user.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::OnceLock;

/// The first panic of the process: others follow from it, or come to light by it.
static FIRST: OnceLock<String> = OnceLock::new();

/// The work ended in a panic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("internal error: {0}; this is a defect of grootfs, please report it")]
pub struct Panicked(String);

/// Has panics noted, with their place, instead of printed: standard error is for logs.
pub fn note_instead_of_printing() {
    set_hook(Box::new(note));
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
    // All but the first are dropped.
    let _ = FIRST.set(text(info.payload()) + &place);
}

/// Does `work`. Nothing else in the program stops a panic; a thread hands its own on to whoever waits for it.
///
/// # Errors
/// When it panicked.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    // What it worked on is dropped, or protects itself: a lock is taken over from who panicked with it.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let first = FIRST.get().cloned();
        Panicked(first.unwrap_or_else(|| text(payload.as_ref())))
    })
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_reason() {
        assert_eq!(caught(|| 3), Ok(3));
        let reasons = [caught(|| panic!("plain")), caught(|| panic!("number {}", 7))];
        let reasons = reasons.map(|caught: Result<(), Panicked>| caught.unwrap_err().0);
        assert_eq!(reasons, ["plain", "number 7"]);
    }
}
