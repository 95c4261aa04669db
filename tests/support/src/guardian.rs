//! What Garden's guardian does with an image plugin: the arguments it builds, and how it reads what comes back.

use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;

use crate::chug;
use crate::programs::grootfs_binary;

/// A plugin as guardian is configured with it: `--image-plugin` and each `--image-plugin-extra-arg`.
pub struct Plugin {
    binary: PathBuf,
    extra: Vec<String>,
}

impl Plugin {
    /// The built binary with a configuration file, as BOSH has it.
    pub fn with_config(config: &Path) -> Self {
        let extra = vec!["--config".to_owned(), config.display().to_string()];
        Plugin { binary: grootfs_binary().into(), extra }
    }
}

/// What a container asks for.
#[derive(Clone, Copy, Default)]
pub struct Rootfs<'a> {
    /// Address of the image, as the client gives it.
    pub image: &'a str,
    /// Whether the container is privileged.
    pub privileged: bool,
    /// Bytes of disk; 0 is no limit.
    pub limit: u64,
    /// Whether the limit is for what the container writes alone.
    pub exclusive: bool,
    /// Name and password for the registry.
    pub credentials: Option<(&'a str, &'a str)>,
}

/// What guardian takes over from a create.
#[derive(Debug)]
pub struct Created {
    /// Root of the container.
    pub root: PathBuf,
    /// Environment of the image.
    pub env: Vec<String>,
    /// Mounts that guardian puts before its own.
    pub mounts: Vec<Value>,
}

/// Disk usage of a container in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    /// Layers included.
    pub total: u64,
    /// What the container wrote.
    pub exclusive: u64,
}

/// A guardian with its two plugins.
pub struct Guardian {
    unprivileged: Plugin,
    privileged: Plugin,
    log: Mutex<Vec<chug::Entry>>,
}

impl Guardian {
    /// Configures one.
    pub fn new(unprivileged: Plugin, privileged: Plugin) -> Self {
        Guardian { unprivileged, privileged, log: Mutex::default() }
    }

    /// Asks one of the plugins for a root filesystem.
    pub fn create(&self, rootfs: Rootfs<'_>, handle: &str) -> Result<Created, String> {
        let mut arguments = vec!["create".to_owned()];
        if rootfs.limit > 0 {
            arguments.extend(["--disk-limit-size-bytes".to_owned(), rootfs.limit.to_string()]);
            if rootfs.exclusive {
                arguments.push("--exclude-image-from-quota".to_owned());
            }
        }
        if let Some((user, password)) = rootfs.credentials {
            arguments.extend(["--username", user, "--password", password].map(str::to_owned));
        }
        // The scheme of an address ends its tag with `#`, which is for the client only.
        arguments.extend([rootfs.image.replacen('#', ":", 1), handle.to_owned()]);
        let plugin = if rootfs.privileged { &self.privileged } else { &self.unprivileged };
        let said = self.run(plugin, &arguments)?;
        let spec: Value =
            serde_json::from_str(&said).map_err(|e| format!("parsing image plugin create: {e}: {said}"))?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        Ok(Created {
            root: spec["root"]["path"].as_str().ok_or("no root path")?.into(),
            env: list(&spec["process"]["env"]).iter().map(|e| e.as_str().unwrap().to_owned()).collect(),
            mounts: list(&spec["mounts"]),
        })
    }

    /// Has both plugins forget a container; the first failure ends it, and guardian tries again later.
    pub fn destroy(&self, handle: &str) -> Result<(), String> {
        for plugin in [&self.unprivileged, &self.privileged] {
            self.run(plugin, &["delete".to_owned(), handle.to_owned()])?;
        }
        Ok(())
    }

    /// Asks for a container's disk usage: one plugin, and after its failure the other.
    pub fn metrics(&self, handle: &str) -> Result<DiskUsage, String> {
        let stats = ["stats".to_owned(), handle.to_owned()];
        let said = self.run(&self.unprivileged, &stats).or_else(|_| self.run(&self.privileged, &stats))?;
        let numbers: HashMap<String, HashMap<String, u64>> =
            serde_json::from_str(&said).map_err(|e| format!("parsing stats: {e}: {said}"))?;
        let usage = &numbers["disk_usage"];
        Ok(DiskUsage { total: usage["total_bytes_used"], exclusive: usage["exclusive_bytes_used"] })
    }

    /// Asks how large the store is.
    pub fn capacity(&self) -> Result<u64, String> {
        let said = self.run(&self.unprivileged, &["capacity".to_owned()])?;
        let numbers: HashMap<String, u64> =
            serde_json::from_str(&said).map_err(|e| format!("parsing capacity: {e}: {said}"))?;
        Ok(numbers["capacity"])
    }

    /// Everything that was logged, in no particular order.
    pub fn log(&self) -> Vec<chug::Entry> {
        self.log.lock().unwrap().clone()
    }

    /// Runs a plugin in a process group of its own, without a time-out. Standard output is the answer, or the error of a
    /// plugin that fails; standard error is read until nobody has it open any more.
    fn run(&self, plugin: &Plugin, arguments: &[String]) -> Result<String, String> {
        let output = Command::new(&plugin.binary)
            .args(&plugin.extra)
            .args(arguments)
            .stdin(Stdio::null())
            .process_group(0)
            .output()
            .expect("the plugin starts");
        let stdout = String::from_utf8(output.stdout).expect("text");
        let entries = chug::read(&output.stderr).unwrap_or_else(|reason| panic!("{arguments:?}: {reason}"));
        crate::logs::collect(&output.stderr);
        self.log.lock().unwrap().extend(entries);
        match output.status.code() {
            Some(0) => Ok(stdout),
            code => Err(format!("running image plugin {}: {stdout}: exit status {code:?}", arguments[0])),
        }
    }
}
