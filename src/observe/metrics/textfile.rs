//! The metrics file: Prometheus' text format, for the textfile collector of node_exporter.
//!
//! Processes come and go, so the file itself is where counts are kept: each process reads it, adds its own numbers and
//! puts a new file in its place, under a lock. A reader sees the old file or the new one, never a part. A file that was
//! not written by this module is somebody else's, and left alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::names::{Size, TIMINGS};
use super::{End, Measurement, Value};
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::{OnPath, PathError};

/// First line of the file, by which it is known.
const HEADER: &str = "# Metrics of grootfs; it keeps its counts in this file.";

/// A process needs the lock for a millisecond.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The file has a few lines for each store.
const MAX_LENGTH: u64 = 16 * 1024 * 1024;

const RUNS: &str = "grootfs_command_runs_total";

/// Why the file was not updated.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0} was not written by grootfs and is left alone: move it away, or name another metrics file")]
    Foreign(PathBuf),
    #[error("{0} is locked by another process for more than 5 s")]
    Locked(PathBuf),
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Values by sample, `name{labels}`.
type Samples = BTreeMap<String, f64>;

/// Adds what was measured to the file at `path`.
pub(super) fn update(
    path: &Path,
    store: &Path,
    command: &str,
    measured: &[Measurement],
    end: End<'_>,
) -> Result<(), Error> {
    let lock = with_suffix(path, ".lock");
    let Some(_lock) = lock::own_whole_within(&lock, LOCK_TIMEOUT)? else { return Err(Error::Locked(lock)) };
    let mut samples = read(path)?;
    add(&mut samples, &store.display().to_string(), command, measured, end);
    Ok(replace(path, &render(&samples))?)
}

/// The samples of the file; none if there is no file, or an empty one, as a power cut can leave it.
fn read(path: &Path) -> Result<Samples, Error> {
    let foreign = || Error::Foreign(path.to_owned());
    let content = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Samples::new()),
        Err(e) => return Err(PathError::new("stat", path, e).into()),
        Ok(metadata) if !metadata.is_file() || metadata.len() > MAX_LENGTH => return Err(foreign()),
        Ok(_) => fs::read(path).on("open", path)?,
    };
    if content.is_empty() {
        return Ok(Samples::new());
    }
    let text = String::from_utf8(content).map_err(|_| foreign())?;
    let lines = text.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n')).ok_or_else(foreign)?.lines();
    let samples = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample);
    samples.collect::<Option<Samples>>().ok_or_else(foreign)
}

fn sample(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok().filter(|value: &f64| value.is_finite())?;
    name.ends_with('}').then(|| (name.to_owned(), value))
}

fn add(samples: &mut Samples, store: &str, command: &str, measured: &[Measurement], end: End<'_>) {
    let labels = format!("store=\"{}\"", escaped(store));
    for measurement in measured {
        match measurement.value {
            Value::Time(timing, duration) => {
                let (name, seconds) = (timing.prometheus, duration.as_secs_f64());
                *samples.entry(format!("{name}_seconds_sum{{{labels}}}")).or_default() += seconds;
                *samples.entry(format!("{name}_seconds_count{{{labels}}}")).or_default() += 1.0;
                samples.insert(format!("{name}_last_seconds{{{labels}}}"), seconds);
            }
            Value::Size(size, bytes) => {
                if let Some((name, _)) = size.prometheus() {
                    samples.insert(format!("{name}{{{labels}}}"), bytes as f64);
                }
            }
        }
    }
    let result = match end {
        End::Nothing => return,
        End::Success => "success",
        End::Failure { .. } => "failure",
    };
    let run = format!("{RUNS}{{{labels},command=\"{command}\",result=\"{result}\"}}");
    *samples.entry(run).or_default() += 1.0;
}

/// A label's value, where three characters mean something.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn render(samples: &Samples) -> String {
    let mut text = format!("{HEADER}\n");
    write_metric(&mut text, samples, RUNS, ("counter", "Commands that were run, by how they ended"), &[""]);
    for timing in &TIMINGS {
        let name = timing.prometheus;
        let (all, last) = (format!("{name}_seconds"), format!("{name}_last_seconds"));
        write_metric(&mut text, samples, &all, ("summary", timing.help), &["_count", "_sum"]);
        write_metric(&mut text, samples, &last, ("gauge", &format!("{}, the last one", timing.help)), &[""]);
    }
    for (name, help) in Size::IN_FILE.iter().filter_map(|size| size.prometheus()) {
        write_metric(&mut text, samples, name, ("gauge", help), &[""]);
    }
    text
}

/// A metric with its type, its help and all its samples, whose names have one of `suffixes` behind the metric's.
fn write_metric(text: &mut String, samples: &Samples, name: &str, (kind, help): (&str, &str), suffixes: &[&str]) {
    let mut lines = String::new();
    for suffix in suffixes {
        let start = format!("{name}{suffix}{{");
        for (sample, value) in samples.range(start.clone()..).take_while(|(sample, _)| sample.starts_with(&start)) {
            lines += &format!("{sample} {value}\n");
        }
    }
    if !lines.is_empty() {
        *text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
    }
}

/// Puts a new file in place of the old one. Nothing is flushed: counts are not worth a wait for the disk.
fn replace(path: &Path, text: &str) -> Result<(), PathError> {
    let new = with_suffix(path, ".new");
    // One that a killed process left; never written through, for it might be a link.
    files::remove_if_there(&new)?;
    let mut file = File::options().write(true).create_new(true).mode(0o644).open(&new).on("open", &new)?;
    file.set_permissions(fs::Permissions::from_mode(0o644)).on("chmod", &new)?;
    file.write_all(text.as_bytes()).on("write", &new)?;
    fs::rename(&new, path).on("rename", path)
}

/// A name beside `path` that the collector, which reads `*.prom`, passes over.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn measured() -> Vec<Measurement> {
        let values = [
            Value::Time(&TIMINGS[0], Duration::from_millis(250)),
            Value::Size(Size::StoreUsage, 4096),
            Value::Size(Size::UsedBackingStore, 4096),
        ];
        values.map(|value| Measurement { at: SystemTime::now(), value }).into()
    }

    fn update(path: &Path, store: &str, end: End<'_>) -> Result<(), Error> {
        super::update(path, Path::new(store), "create", &measured(), end)
    }

    const FAILURE: End<'_> = End::Failure { message: "no", exit_code: 1 };

    #[test]
    fn counts_grow_and_the_rest_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("grootfs.prom");
        update(&path, "/s", End::Success).unwrap();
        update(&path, "/s", End::Success).unwrap();
        update(&path, "/s", FAILURE).unwrap();
        update(&path, "/s", End::Nothing).unwrap();
        update(&path, "/a \"b\"\\", End::Success).unwrap();
        let expected = r#"# Metrics of grootfs; it keeps its counts in this file.
# HELP grootfs_command_runs_total Commands that were run, by how they ended
# TYPE grootfs_command_runs_total counter
grootfs_command_runs_total{store="/a \"b\"\\",command="create",result="success"} 1
grootfs_command_runs_total{store="/s",command="create",result="failure"} 1
grootfs_command_runs_total{store="/s",command="create",result="success"} 2
# HELP grootfs_image_creation_seconds Time to create an image
# TYPE grootfs_image_creation_seconds summary
grootfs_image_creation_seconds_count{store="/a \"b\"\\"} 1
grootfs_image_creation_seconds_count{store="/s"} 4
grootfs_image_creation_seconds_sum{store="/a \"b\"\\"} 0.25
grootfs_image_creation_seconds_sum{store="/s"} 1
# HELP grootfs_image_creation_last_seconds Time to create an image, the last one
# TYPE grootfs_image_creation_last_seconds gauge
grootfs_image_creation_last_seconds{store="/a \"b\"\\"} 0.25
grootfs_image_creation_last_seconds{store="/s"} 0.25
# HELP grootfs_store_used_bytes Bytes in use of the filesystem of the store
# TYPE grootfs_store_used_bytes gauge
grootfs_store_used_bytes{store="/a \"b\"\\"} 4096
grootfs_store_used_bytes{store="/s"} 4096
"#;
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
        let mut names = files::names(directory.path()).unwrap();
        names.sort();
        assert_eq!(names, ["grootfs.prom", "grootfs.prom.lock"]);
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("other.prom");
        for content in ["node_time 5\n", "\u{0}", &format!("{HEADER}\nhalf a li"), &format!("{HEADER}\na{{}} NaN\n")] {
            fs::write(&path, content).unwrap();
            assert!(matches!(update(&path, "/s", End::Success), Err(Error::Foreign(_))), "{content:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(update(&path, "/s", End::Success), Err(Error::Foreign(_))));
        let (own, link) = (directory.path().join("own.prom"), directory.path().join("link.prom"));
        update(&own, "/s", End::Success).unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert!(matches!(update(&link, "/s", End::Success), Err(Error::Foreign(_))));
    }

    #[test]
    fn an_empty_file_is_a_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("grootfs.prom");
        fs::write(&path, "").unwrap();
        update(&path, "/s", End::Success).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with(HEADER));
    }
}
