//! A second wall around a thread that writes what a stranger's archive says.
//!
//! It rests on the kernel alone: Landlock (landlock(7)) lets the thread reach the directories it was given and nothing else
//! of the filesystem, and a seccomp filter (seccomp(2)) has every system call fail that extraction has no use for. Both
//! hold for the one thread, for the rest of its life. A kernel without either leaves the thread as it is: what keeps it
//! inside the volume in the first place are its own root directory and the paths that it opens.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus,
};
use rustix::fs::{Mode, OFlags};
use seccompiler::{BpfProgram, sock_filter};

use super::spawning;

/// Lets the calling thread work below `volume`, read below each of `readable`, and reach nothing else. Returns whether the
/// kernel can do that.
pub fn restrict_files(volume: BorrowedFd<'_>, readable: &[BorrowedFd<'_>]) -> bool {
    match try_restrict_files(volume, readable) {
        Ok(status) => status != RulesetStatus::NotEnforced,
        Err(error) => {
            tracing::debug!(%error, "unpacking-without-landlock");
            false
        }
    }
}

fn try_restrict_files(volume: BorrowedFd<'_>, readable: &[BorrowedFd<'_>]) -> Result<RulesetStatus, RulesetError> {
    let newest = ABI::V5;
    // Without the right to refer, which came second, no file could be linked or moved to another directory.
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::Refer)?;
    let ruleset = ruleset.set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(newest))?;
    let mut ruleset = ruleset.create()?.add_rule(PathBeneath::new(volume, AccessFs::from_all(newest)))?;
    for directory in readable {
        ruleset = ruleset.add_rule(PathBeneath::new(directory, AccessFs::ReadFile | AccessFs::ReadDir))?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// Which walls this machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walls {
    /// [`restrict_files`] works.
    pub files: bool,
    /// [`restrict_system_calls`] works.
    pub system_calls: bool,
}

/// Puts a thread of its own behind both.
///
/// # Errors
/// If there can be no such thread.
pub fn probe() -> io::Result<Walls> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    std::thread::scope(|scope| {
        let probe = spawning::thread("probe")?.spawn_scoped(scope, || Walls {
            files: restrict_files(root.as_fd(), &[]),
            system_calls: restrict_system_calls(),
        })?;
        Ok(probe.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Lets the calling thread make no system calls but those of extraction; others fail with `EPERM`. Returns whether the
/// kernel can do that.
pub fn restrict_system_calls() -> bool {
    static PROGRAM: OnceLock<Option<BpfProgram>> = OnceLock::new();
    let Some(program) = PROGRAM.get_or_init(program) else {
        tracing::debug!(error = "the system calls of this processor are not known", "unpacking-without-seccomp");
        return false;
    };
    match seccompiler::apply_filter(program) {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, "unpacking-without-seccomp");
            false
        }
    }
}

/// Allows [`ALLOWED`], and ioctl(2) where it shares the blocks of a file. `None` on processors whose calls are unknown here.
///
/// The kernel translates a filter for each thread that attaches it, and runs it once for each call there is, to know those
/// that are always allowed. So it is short, and searches for the number of a call instead of comparing it with all.
fn program() -> Option<BpfProgram> {
    let architecture = AUDIT_ARCHITECTURE?;
    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let load = |offset| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let answer = |action| step(libc::BPF_RET | libc::BPF_K, 0, 0, action);
    let is_equal = |k, jt, jf| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, k);
    let mut steps =
        vec![load(ARCHITECTURE), is_equal(architecture, 1, 0), answer(libc::SECCOMP_RET_KILL_PROCESS), load(NUMBER)];
    let ranges = ranges();
    let end = steps.len() + ranges.len() - 1;
    search(&ranges, end, &mut steps)?;
    // In the order of `Verdict`.
    steps.push(answer(libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs()));
    steps.push(answer(libc::SECCOMP_RET_ALLOW));
    // Of all that devices and filesystems do for who asks, sharing the blocks of a file.
    steps.extend([load(SECOND_ARGUMENT), is_equal(FICLONE, 0, 1)]);
    steps.push(answer(libc::SECCOMP_RET_ALLOW));
    steps.push(answer(libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs()));
    Some(steps)
}

/// What becomes of a call: how many steps behind the search it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Refused = 0,
    Allowed = 1,
    Ioctl = 2,
}

/// From which number of a call on there is which verdict. The first begins with zero.
fn ranges() -> Vec<(u32, Verdict)> {
    let allowed = ALLOWED.iter().map(|call| (*call as u32, Verdict::Allowed));
    let verdicts: BTreeMap<u32, Verdict> = allowed.chain([(libc::SYS_ioctl as u32, Verdict::Ioctl)]).collect();
    let mut ranges = vec![(0, Verdict::Refused)];
    for (number, verdict) in verdicts {
        for (from, verdict) in [(number, verdict), (number + 1, Verdict::Refused)] {
            if ranges.last().is_some_and(|last| last.0 == from) {
                ranges.pop();
            }
            if ranges.last().is_none_or(|last| last.1 != verdict) {
                ranges.push((from, verdict));
            }
        }
    }
    ranges
}

/// Adds the steps that find which of `ranges` the loaded number is in; they lead to what begins at the step `end`. `None` if
/// that is too far for a jump.
fn search(ranges: &[(u32, Verdict)], end: usize, steps: &mut BpfProgram) -> Option<()> {
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    let ([_, ..], [(from, _), ..]) = (lower, upper) else { return Some(()) };
    let here = steps.len();
    let code = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    steps.push(sock_filter { code, jt: 0, jf: 0, k: *from });
    let mut jumps = [0; 2];
    for (jump, half) in jumps.iter_mut().zip([lower, upper]) {
        let target = if let [(_, verdict)] = half { end + *verdict as usize } else { steps.len() };
        *jump = u8::try_from(target - here - 1).ok()?;
        search(half, end, steps)?;
    }
    [steps[here].jf, steps[here].jt] = jumps;
    Some(())
}

/// Offsets in `struct seccomp_data`; processors with the higher half of an argument first are none of those below.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const SECOND_ARGUMENT: u32 = 24;

/// <linux/audit.h>: what tells calls of this program from those of another kind that the kernel takes as well.
const AUDIT_ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else if cfg!(target_arch = "riscv64") {
    Some(0xc000_00f3)
} else {
    None
};

/// <linux/fs.h>: `_IOW(0x94, 9, int)`.
const FICLONE: u32 = 0x4004_9409;

/// What extraction does, and what every thread does that uses memory, waits for others, logs and ends.
const ALLOWED: &[i64] = &[
    // Directories and files, by descriptor.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_close,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_fchdir,
    // Their content.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_ftruncate,
    libc::SYS_copy_file_range,
    // Their attributes.
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    libc::SYS_utimensat,
    libc::SYS_fgetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_lsetxattr,
    libc::SYS_flistxattr,
    libc::SYS_fremovexattr,
    libc::SYS_removexattr,
    // Descriptors, memory, time, other threads and the end.
    libc::SYS_dup,
    libc::SYS_fcntl,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_geteuid,
    libc::SYS_getegid,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_set_robust_list,
    libc::SYS_restart_syscall,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Linux 6.6, of the same number everywhere.
const SYS_FCHMODAT2: i64 = 452;

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::net::UdpSocket;

    use super::*;

    fn in_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(work).join().unwrap())
    }

    #[test]
    fn a_restricted_thread_reaches_what_it_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let [volume, lower, outside] = ["volume", "lower", "outside"].map(|name| directory.path().join(name));
        for path in [&volume, &lower, &outside] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "x").unwrap();
        }
        let (volume_fd, lower_fd) = (File::open(&volume).unwrap(), File::open(&lower).unwrap());
        in_a_thread(|| {
            if !restrict_files(volume_fd.as_fd(), &[lower_fd.as_fd()]) {
                return;
            }
            let is_refused = |result: io::Result<()>| {
                let error = result.unwrap_err();
                assert!(
                    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::CrossesDevices),
                    "{error}"
                );
            };
            fs::create_dir(volume.join("d")).unwrap();
            fs::hard_link(volume.join("file"), volume.join("d/link")).unwrap();
            fs::rename(volume.join("d/link"), volume.join("moved")).unwrap();
            fs::read(lower.join("file")).unwrap();
            is_refused(fs::write(lower.join("file"), "y"));
            is_refused(fs::remove_file(lower.join("file")));
            is_refused(fs::read(outside.join("file")).map(drop));
            is_refused(fs::hard_link(outside.join("file"), volume.join("stolen")));
            is_refused(fs::rename(volume.join("moved"), outside.join("moved")));
            is_refused(fs::create_dir(outside.join("d")));
        });
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "x", "other threads are as before");
    }

    /// What a filter answers to a call, and how many steps that takes.
    fn answer(program: &[sock_filter], call: [u32; 16]) -> (u32, usize) {
        let (mut at, mut loaded, mut steps) = (0, 0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            (at, steps) = (at + 1, steps + 1);
            let is_so = match u32::from(code) {
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    loaded = call[k as usize / 4];
                    continue;
                }
                code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => loaded == k,
                code if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => loaded >= k,
                code if code == libc::BPF_RET | libc::BPF_K => return (k, steps),
                code => panic!("{code:#x}"),
            };
            at += usize::from(if is_so { jt } else { jf });
        }
    }

    #[test]
    fn the_filter_allows_what_is_listed_in_few_steps() {
        const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        let (program, architecture) = (program().unwrap(), AUDIT_ARCHITECTURE.unwrap());
        let call = |number, architecture, second_argument| {
            let mut call = [0; 16];
            (call[0], call[1], call[6]) = (number, architecture, second_argument);
            answer(&program, call)
        };
        // Those of x32 too, which have a bit of their own (seccomp(2)).
        for number in (0..2000).chain(0x4000_0000..0x4000_2000).chain([u32::MAX]) {
            let (answer, steps) = call(number, architecture, 0);
            let expected = if ALLOWED.contains(&i64::from(number)) { libc::SECCOMP_RET_ALLOW } else { REFUSED };
            assert_eq!(answer, expected, "{number}");
            assert!(steps <= 14, "{steps} for {number}");
            assert_eq!(call(number, architecture ^ 0x8000_0000, 0).0, libc::SECCOMP_RET_KILL_PROCESS);
        }
        assert_eq!(call(libc::SYS_ioctl as u32, architecture, FICLONE).0, libc::SECCOMP_RET_ALLOW);
        assert!(program.len() < 128, "{}", program.len());
    }

    #[test]
    fn a_restricted_thread_makes_no_other_system_calls() {
        in_a_thread(|| {
            if !restrict_system_calls() {
                return;
            }
            let error = UdpSocket::bind("127.0.0.1:0").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
            assert!(std::process::Command::new("true").status().is_err());
            assert!(rustix::process::chroot("/").is_err());
            let many: Vec<Vec<u8>> = (0..1000).map(|size| vec![1; size * 100]).collect();
            assert_eq!(many.len(), 1000);
        });
        assert!(UdpSocket::bind("127.0.0.1:0").is_ok(), "other threads are as before");
    }
}
