//! An end that somebody asks for from outside: by a signal, or by a limit of time.
//!
//! Work of some length looks now and then whether it [`is_requested`], and then fails as if it could not go on, so that what
//! it has begun is tidied up after. Who is not done within `GRACE` is ended all the same: by then one is at work, perhaps in
//! the kernel, who does not look. The store is made for that.
//!
//! Nothing is done about signals before [`watch`], so that a command that has no such work makes no call for it.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::sync::{Once, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::{signals, spawning};

/// How long work has to tidy up. A caller who interrupts a command waits less than a second for its end.
const GRACE: Duration = Duration::from_millis(700);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// A signal, by its number.
    Signal(i32),
    /// The limit of time.
    TimeLimit,
}

/// The signal that has come, [`TIME_LIMIT`], or 0.
static REQUESTED: AtomicI32 = AtomicI32::new(0);
const TIME_LIMIT: i32 = -1;
/// What the handler of signals writes to.
static WAKE: AtomicI32 = AtomicI32::new(-1);
/// Who decides how the process ends: whoever is first.
static OUTCOME: AtomicU8 = AtomicU8::new(OPEN);
const OPEN: u8 = 0;
const DISARMED: u8 = 1;
const OVERDUE: u8 = 2;
static PREPARED: OnceLock<Prepared> = OnceLock::new();
static WATCHED: Once = Once::new();

struct Prepared {
    deadline: Option<Instant>,
    overdue: fn(Interrupt),
}

/// Says what is to happen when an end is requested and does not come: `overdue`, which is to end the process. With a `limit`
/// the end is requested when that is over.
pub fn prepare(limit: Option<Duration>, overdue: fn(Interrupt)) {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    // Nothing is prepared twice.
    let _ = PREPARED.set(Prepared { deadline, overdue });
    if deadline.is_some() {
        watch();
    }
}

/// Begins to watch, for work of some length that looks whether an end [`is_requested`]. Where there can be no watching,
/// signals do what they do by default.
pub fn watch() {
    WATCHED.call_once(|| {
        if let Some(prepared) = PREPARED.get()
            && let Err(error) = start(prepared)
        {
            tracing::info!(%error, "watching-for-interrupts-failed");
        }
    });
}

fn start(prepared: &'static Prepared) -> io::Result<()> {
    // Open to the end: the handler of signals writes to it, by its number.
    let wake: &'static OwnedFd = Box::leak(Box::new(eventfd(0, EventfdFlags::CLOEXEC)?));
    WAKE.store(wake.as_raw_fd(), Ordering::Relaxed);
    spawning::thread("interrupt")?.spawn(move || {
        if let Some(interrupt) = wait(wake, prepared.deadline) {
            thread::sleep(GRACE);
            if decide(OVERDUE) {
                // What is still to be said may be waited for. Another signal ends that.
                signals::stop_handling_ends();
                (prepared.overdue)(interrupt);
            }
        }
    })?;
    signals::handle_ends(note)
}

/// Waits for a signal or the deadline.
fn wait(wake: &OwnedFd, deadline: Option<Instant>) -> Option<Interrupt> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        match poll(&mut [PollFd::new(wake, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => request(TIME_LIMIT),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return None,
        }
        return requested();
    }
}

fn request(who: i32) {
    // The first counts.
    let _ = REQUESTED.compare_exchange(0, who, Ordering::Relaxed, Ordering::Relaxed);
}

/// Handles a signal, so it only does what may be done there (signal-safety(7)).
extern "C" fn note(signal: i32) {
    request(signal);
    signals::wake(WAKE.load(Ordering::Relaxed));
}

/// Who has asked for an end, if somebody has.
pub fn requested() -> Option<Interrupt> {
    match REQUESTED.load(Ordering::Relaxed) {
        0 => None,
        TIME_LIMIT => Some(Interrupt::TimeLimit),
        signal => Some(Interrupt::Signal(signal)),
    }
}

/// Whether somebody has asked for an end.
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed) != 0
}

/// Tells that what the command comes to is decided: no request changes it any more, and signals do what they do by default.
/// Does not return where a request already ends the process.
pub fn disarm() {
    while !decide(DISARMED) {
        // Another thread is about to end the process.
        thread::park();
    }
    if WAKE.load(Ordering::Relaxed) >= 0 {
        signals::stop_handling_ends();
    }
}

fn decide(outcome: u8) -> bool {
    let decided = OUTCOME.compare_exchange(OPEN, outcome, Ordering::AcqRel, Ordering::Acquire);
    decided.is_ok() || decided == Err(outcome)
}

/// A stream that fails once an end is requested.
#[derive(Debug)]
pub struct Interruptible<T>(pub T);

/// Fails once an end is requested.
pub fn check() -> io::Result<()> {
    if is_requested() { Err(io::Error::other("interrupted")) } else { Ok(()) }
}

impl<T: Read> Read for Interruptible<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        check()?;
        self.0.read(buffer)
    }
}

impl<T: Write> Write for Interruptible<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        check()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
