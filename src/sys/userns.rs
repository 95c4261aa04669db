//! A child process that is root of a user namespace of its own (user_namespaces(7)).
//!
//! A namespace starts without ids; they are mapped from outside, by programs with the setuid bit, while the child waits.
//! Programs with the setuid bit do not work inside, so the parent stays to run those that the child asks for.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork, getpid, getppid, setresgid, setresuid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::{Signal, set_parent_process_death_signal};

/// Longest request and answer, in bytes.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// What the parent says when the ids are mapped.
const MAPPED: &[u8] = b"mapped";

/// Which of the two processes this is.
pub enum Side {
    /// The one in the namespace, root there.
    Inside,
    /// The one outside.
    Outside(Outside),
}

/// The child's end, in the child.
static PARENT: OnceLock<Mutex<Inside>> = OnceLock::new();

struct Inside {
    socket: OwnedFd,
}

/// The parent's end.
pub struct Outside {
    socket: OwnedFd,
    child: Pid,
}

/// How the child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Killed(i32),
}

/// Asks the parent that stayed outside, and waits for the answer; `None` where there is none, as this process is not one
/// of [`Side::Inside`].
///
/// # Errors
/// Those of send(2) and recv(2); that the parent is gone is one.
pub fn ask_parent(request: &[u8]) -> Option<io::Result<Vec<u8>>> {
    let parent = PARENT.get()?;
    Some(parent.lock().unwrap_or_else(PoisonError::into_inner).ask(request))
}

/// Forks. The child lives no longer than its parent.
///
/// For a process of one thread: the child has a copy of the calling one only.
///
/// # Errors
/// In the parent alone: those of fork(2), and those of the child's unshare(2).
pub fn fork_into_namespace() -> io::Result<Side> {
    let flags = SocketFlags::CLOEXEC;
    let (outside, inside) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let parent = getpid();
    // SAFETY: this process has one thread, so the child may do whatever its parent may: no lock is held by anybody else.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(outside);
            let inside = Inside { socket: inside };
            // The parent knows why, and tells.
            inside.become_root_of_namespace(parent).unwrap_or_else(|_| std::process::exit(1));
            // Empty so far: nothing forks twice.
            let _ = PARENT.set(Mutex::new(inside));
            Ok(Side::Inside)
        }
        ForkResult::Parent { child } => {
            drop(inside);
            let outside = Outside { socket: outside, child };
            match outside.wait_until_ready() {
                Ok(()) => Ok(Side::Outside(outside)),
                Err(error) => {
                    outside.wait()?;
                    Err(error)
                }
            }
        }
    }
}

impl Inside {
    fn become_root_of_namespace(&self, parent: Pid) -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        self.report(unshare(CloneFlags::CLONE_NEWUSER))?;
        if receive(&self.socket)? != MAPPED {
            return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
        }
        self.report(become_root())?;
        // Changing ids forgets it; whoever died before it was said again is not heard of.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(io::ErrorKind::ConnectionAborted)) }
    }

    /// Tells the parent how a step ended.
    fn report(&self, result: nix::Result<()>) -> io::Result<()> {
        let number = result.err().map_or(0, |errno| errno as i32);
        send(&self.socket, &number.to_ne_bytes(), SendFlags::NOSIGNAL)?;
        Ok(result?)
    }

    fn ask(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        send(&self.socket, request, SendFlags::NOSIGNAL)?;
        let answer = receive(&self.socket)?;
        if answer.is_empty() { Err(io::Error::from(io::ErrorKind::ConnectionAborted)) } else { Ok(answer) }
    }
}

impl Outside {
    /// The child's process id.
    pub fn child(&self) -> i32 {
        self.child.as_raw()
    }

    /// Tells the child that its ids are mapped, answers what it asks and waits for its end.
    ///
    /// # Errors
    /// That the child could not become root, and those of waitpid(2).
    pub fn serve(self, mut answer: impl FnMut(&[u8]) -> Vec<u8>) -> io::Result<Ended> {
        let mut sent = send(&self.socket, MAPPED, SendFlags::NOSIGNAL);
        if let Err(error) = self.wait_until_ready() {
            self.wait()?;
            return Err(error);
        }
        while sent.is_ok() {
            match self.receive() {
                Ok(request) if !request.is_empty() => {
                    let mut answer = answer(&request);
                    answer.truncate(MESSAGE_LIMIT);
                    sent = send(&self.socket, &answer, SendFlags::NOSIGNAL);
                }
                // The child is gone, or will be noticed to be.
                _ => break,
            }
        }
        self.wait()
    }

    /// Gives the child up, which ends it, and waits for that.
    ///
    /// # Errors
    /// Those of waitpid(2).
    pub fn give_up(self) -> io::Result<Ended> {
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both)?;
        self.wait()
    }

    /// Waits for what [`Inside::tell`] tells.
    fn wait_until_ready(&self) -> io::Result<()> {
        match self.receive()?.first_chunk().map(|number| i32::from_ne_bytes(*number)) {
            Some(0) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Err(io::Error::other("the child process ended before it had begun")),
        }
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        receive(&self.socket)
    }

    fn wait(&self) -> io::Result<Ended> {
        loop {
            match waitpid(self.child, None) {
                Ok(WaitStatus::Exited(_, code)) => return Ok(Ended::Exited(code)),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Ended::Killed(signal as i32)),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// A user namespace with these ids and nobody in it, for a caller who may map any. The maps are written as they are to
/// `uid_map` and `gid_map` of a process (user_namespaces(7)).
///
/// # Errors
/// Those of fork(2), unshare(2) and of writing the maps.
pub fn with_ids(uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    let (outside, inside) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // SAFETY: the child makes system calls and nothing else, and ends with one: whatever locks other threads held when
    // it was forked, it takes none.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(outside);
            let inside = Inside { socket: inside };
            if inside.report(unshare(CloneFlags::CLONE_NEWUSER)).is_ok() {
                let mut nothing = [0; 1];
                // Until the parent has what it wants, or is gone.
                let _ = recv(&inside.socket, &mut nothing[..], RecvFlags::empty());
            }
            // SAFETY: ends the process at once, without the handlers that the parent is to run.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(inside);
            let outside = Outside { socket: outside, child };
            let namespace = outside.wait_until_ready().and_then(|()| {
                let process = PathBuf::from(format!("/proc/{child}"));
                fs::write(process.join("uid_map"), uid_map)?;
                fs::write(process.join("gid_map"), gid_map)?;
                Ok(File::open(process.join("ns/user"))?.into())
            });
            outside.give_up()?;
            namespace
        }
    }
}

/// Whether there is such a user in the namespace of this process.
pub fn has_uid(id: u32) -> bool {
    has_id("/proc/self/uid_map", id)
}

/// Whether there is such a group in the namespace of this process.
pub fn has_gid(id: u32) -> bool {
    has_id("/proc/self/gid_map", id)
}

/// A kernel without user namespaces has no such file, and all ids.
fn has_id(map: &str, id: u32) -> bool {
    let Ok(map) = fs::read_to_string(map) else { return true };
    map.lines().any(|line| {
        let numbers: Vec<u32> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if id.checked_sub(first).is_some_and(|offset| offset < count))
    })
}

/// The caller may be another than root in its namespace, or nobody.
fn become_root() -> nix::Result<()> {
    let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(group, group, group)?;
    setresuid(user, user, user)
}

/// A whole message; empty at the end.
fn receive(socket: impl AsFd) -> io::Result<Vec<u8>> {
    let mut message = vec![0; MESSAGE_LIMIT];
    loop {
        match recv(socket.as_fd(), &mut message[..], RecvFlags::empty()) {
            Ok((length, _)) => {
                message.truncate(length);
                return Ok(message);
            }
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
    }
}
