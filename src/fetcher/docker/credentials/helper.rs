//! Credential helpers: programs that keep passwords, `docker-credential-<name>`.
//!
//! `get` reads the registry from standard input and writes JSON to standard output. What a helper says on standard error,
//! or when it fails, is never passed on: nobody knows what is in it.

use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Credentials, Error, Secret};
use crate::sys::spawning;

/// A helper that asks somebody for a password must not hang a create.
const TIMEOUT: Duration = if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(30) };
const POLL: Duration = Duration::from_millis(5);
/// Answers are a line.
const LIMIT: u64 = 256 * 1024;
/// What helpers say who have nothing (docker-credential-helpers).
const NOT_FOUND: &str = "credentials not found in native keychain";
/// That there is no such program.
const MISSING: &str = "not found in $PATH";
/// The user name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks the helper `name`, on whom the file at `path` relies. `None` if it has nothing for the registry.
pub(super) fn get(path: &Path, name: &str, registry: &str) -> Result<Option<Credentials>, Error> {
    if name.starts_with('.') || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(Error::HelperName { path: path.to_owned(), name: name.to_owned() });
    }
    let program = format!("docker-credential-{name}");
    match ask(&program, registry) {
        Ok(answer) => Ok(answer.map(|secret| Credentials { secret, origin: format!("from {program}") })),
        Err(reason) if reason == MISSING => Err(Error::NoHelper { path: path.to_owned(), program }),
        Err(reason) => Err(Error::Helper { path: path.to_owned(), program, reason }),
    }
}

fn ask(program: &str, registry: &str) -> Result<Option<Secret>, String> {
    let (is_success, output) = run(program, registry)?;
    if !is_success {
        let is_nothing = String::from_utf8_lossy(&output).trim() == NOT_FOUND;
        return if is_nothing { Ok(None) } else { Err("it failed: run it by hand to see why".to_owned()) };
    }
    let answer: Answer =
        serde_json::from_slice(&output).map_err(|_| "its answer is not the JSON expected".to_owned())?;
    Ok(match answer {
        Answer { secret, .. } if secret.is_empty() => None,
        Answer { username, secret } if username == TOKEN_USER => Some(Secret::IdentityToken(secret)),
        Answer { username, secret } => Some(Secret::Password { username, password: secret }),
    })
}

/// Whether a directory of `$PATH` has the program, as far as this process may look.
fn is_in_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|at| at.join(program).exists()))
}

/// Runs a helper, for as long as it may take. Whether it succeeded, and what it wrote.
fn run(program: &str, registry: &str) -> Result<(bool, Vec<u8>), String> {
    let child = spawning::program(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MISSING.to_owned(),
            // So says execvp(3) of a program that it finds nowhere, where a directory of `PATH` may not be searched.
            io::ErrorKind::PermissionDenied if !is_in_path(program) => MISSING.to_owned(),
            _ => crate::sys::path_error::reason(&error),
        })?;
    let mut child = Ended(child);
    let (stdin, stdout) = (child.0.stdin.take(), child.0.stdout.take());
    let registry = registry.to_owned();
    // Its pipes are left to a thread, because a helper that hangs may hold them open.
    let talk = spawning::thread("helper").and_then(|talk| {
        talk.spawn(move || {
            if let Some(mut stdin) = stdin {
                // Whoever does not want to know may know anyway.
                let _ = stdin.write_all(registry.as_bytes());
            }
            let mut output = Vec::new();
            stdout.map_or(Ok(0), |stdout| stdout.take(LIMIT).read_to_end(&mut output)).map(|_| output)
        })
    });
    let talk = talk.map_err(|error| crate::sys::path_error::reason(&error))?;
    let deadline = Instant::now() + TIMEOUT;
    while !talk.is_finished() && Instant::now() < deadline {
        thread::sleep(POLL);
    }
    if !talk.is_finished() {
        return Err(format!("no answer within {} s", TIMEOUT.as_secs()));
    }
    let output = talk.join().unwrap_or_else(|panic| resume_unwind(panic));
    let output = output.map_err(|error| crate::sys::path_error::reason(&error))?;
    let status = child.wait_until(deadline)?;
    Ok((status, output))
}

/// A child that does not outlive its owner.
struct Ended(Child);

impl Ended {
    fn wait_until(&mut self, deadline: Instant) -> Result<bool, String> {
        loop {
            match self.0.try_wait().map_err(|error| crate::sys::path_error::reason(&error))? {
                Some(status) => return Ok(status.success()),
                None if Instant::now() >= deadline => return Err("it does not end".to_owned()),
                None => thread::sleep(POLL),
            }
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Neither matters when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A helper in a directory of its own; its path serves as the program's name.
    fn helper(script: &str) -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker-credential-test");
        let content = format!("#!/bin/sh\n[ \"$1\" = get ] || exit 9\n{script}\n");
        // Another process writes it: a program that this one has open cannot be run, nor while a fork of it has.
        let mut write = Command::new("sh");
        write.args(["-c", "printf %s \"$1\" >\"$0\" && chmod 755 \"$0\""]).arg(&path).arg(content);
        assert!(write.status().unwrap().success());
        let program = path.to_str().unwrap().to_owned();
        (directory, program)
    }

    #[test]
    fn answers() {
        let (_directory, program) =
            helper(r#"read host; echo "{\"ServerURL\":\"$host\",\"Username\":\"me\",\"Secret\":\"pw of $host\"}""#);
        let Ok(Some(Secret::Password { username, password })) = ask(&program, "h.example:5000") else { panic!() };
        assert_eq!((username.as_str(), password.as_str()), ("me", "pw of h.example:5000"));
        let (_directory, program) = helper(r#"echo '{"Username":"<token>","Secret":"t"}'"#);
        assert!(matches!(ask(&program, "h"), Ok(Some(Secret::IdentityToken(token))) if token == "t"));
        let (_directory, program) = helper("echo credentials not found in native keychain; exit 1");
        assert!(matches!(ask(&program, "h"), Ok(None)));
    }

    #[test]
    fn failures_quote_nothing() {
        for (script, expected) in [
            ("echo secret; echo secret >&2; exit 1", "it failed"),
            ("echo secret", "not the JSON expected"),
            ("exec sleep 20", "no answer within"),
            ("exec >&-; exec sleep 20", "it does not end"),
        ] {
            let (_directory, program) = helper(script);
            let Err(reason) = ask(&program, "h") else { panic!("{script}") };
            assert!(reason.contains(expected) && !reason.contains("secret"), "{script}: {reason}");
        }
        // The search goes on past a directory that may not be searched, but ends with that reason.
        let missing = ask("docker-credential-no-such-helper", "h").err();
        assert!(matches!(missing.as_deref(), Some("not found in $PATH" | "permission denied")), "{missing:?}");
    }
}
