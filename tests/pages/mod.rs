//! Every command of the documentation that has no test of its own: it succeeds, and prints what the page shows.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::pages::{Block, Step, blocks, program_name, runs_here};
use crate::support::{
    DRIVER, Driver, Image, PASSWORD, Registry, Setup, TempStore, USER, User, busybox_layer, grootfs_binary,
    install_helper, mount, program, run,
};

/// Ends the output of each command.
const END: &str = "-- end of a command --";
const IMAGE: &str = "docker:///library/busybox:latest";
/// All stores of the pages that are not below `/mnt`.
const STORES: [&str; 3] = ["/var/lib/grootfs/store", "/var/lib/grootfs/xfs", "/var/lib/grootfs/btrfs"];

/// What the commands below one heading find, and what stands for it on the page.
struct Scene {
    store: TempStore,
    /// Text of pages, and what it is here; what is first counts first.
    names: Vec<(String, String)>,
    variables: Vec<(&'static str, String)>,
    registries: Vec<Registry>,
    user: Option<User>,
}

impl Scene {
    /// With a store that has an image, unless it is the commands that make these.
    fn of(heading: &str, steps: &[Step]) -> Self {
        let is_new = ["Use", "init-store"].contains(&heading);
        let store = match program_name() {
            "guest_quota" => TempStore::with_quota(),
            _ if is_new => TempStore::uninitialised(),
            _ => TempStore::new(),
        };
        let makes = |step: &Step| step.command.contains(" create ") && step.command.ends_with(" my-image");
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let image = Image::new().edit_config(move |config| config["config"]["Env"] = serde_json::json!([path]));
        let url = image.layer(busybox_layer()).write(&store.beside("image"), "latest");
        if !is_new && !steps.iter().any(makes) {
            let limit: &[&str] = match heading {
                "stats, list, delete" => &["--disk-limit-size-bytes", "52428800"],
                _ => &[],
            };
            store.ok([&["create"], limit, &[&url, "my-image"]].concat());
        }
        let (registries, variables) = (Vec::new(), Vec::new());
        let mut scene = Scene { store, names: Vec::new(), variables, registries, user: None };
        scene.add_programs();
        scene.variables.push(("GROOTFS_DRIVER", DRIVER.name().to_owned()));
        if *DRIVER == Driver::OverlayXfs {
            // Not every kernel has quotas on XFS.
            scene.variables.push(("GROOTFS_INIT_WITHOUT_QUOTA", "true".to_owned()));
        }
        scene.add(heading, &url);
        let store = scene.path("store");
        scene.names.extend(STORES.map(|shown| (shown.to_owned(), store.clone())));
        scene.names.push((IMAGE.to_owned(), url));
        scene
    }

    fn add_programs(&mut self) {
        let bin = self.store.beside("bin");
        fs::create_dir(&bin).unwrap();
        symlink(grootfs_binary(), bin.join("grootfs")).unwrap();
        install_helper(&bin.join("drax"));
        self.variables.push(("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())));
    }

    /// What is shown below this heading alone.
    fn add(&mut self, heading: &str, url: &str) {
        match heading {
            "init-store" => {
                self.mount("xfs");
                self.mount("btrfs");
            }
            "create" => self.add_sources(url),
            "Disk limits and drax" => self.name("oci:///layouts/busybox:latest", url),
            "Unprivileged containers (id-mapped stores)" => {
                // Another store than that of the lines before.
                self.name("/mnt/xfs/unprivileged init-store --shared", "/mnt/xfs/sharing init-store --shared");
                self.mount("xfs");
                let mapping = "0:4294967294:1";
                self.name(
                    "--uid-mapping … --gid-mapping …",
                    &format!("--uid-mapping {mapping} --gid-mapping {mapping}"),
                );
                self.name("groot:groot", &format!("{0}:{0}", User::NAME));
                self.user = Some(User::new(self.store.path().parent().unwrap(), 4711, &[(100_000, 65_536)]));
            }
            "Output, exit codes, logs" | "Metrics" => {
                self.variables.push(("GROOTFS_STORE", self.path("store")));
                self.name("/var/log", &self.path(""));
                self.name("/var/lib/node_exporter", &self.path(""));
            }
            "Verifying the installation" => {
                self.name("/var/vcap/packages/grootfs/bin", &self.path("bin"));
                let config = self.configuration("config.yml", &self.path("store"));
                self.name("/var/vcap/jobs/garden/config/privileged_grootfs_config.yml", &config);
                let archive = self.path("rootfs.tar");
                fs::write(&archive, busybox_layer().blob.unwrap()).unwrap();
                self.name("/path/of/a/rootfs.tar", &archive);
            }
            "One set of layers for both stores" => {
                self.mount("xfs");
                let stores = self.path("xfs");
                let config = self.configuration("privileged.yml", &format!("{stores}/privileged"));
                self.variables.push(("privileged", config));
                let config = self.configuration("unprivileged.yml", &format!("{stores}/unprivileged"));
                self.variables.push(("unprivileged", config));
                self.name("./grootfs", "grootfs");
                self.name("STORE", &stores);
                self.name("4294967294:1 …", "4294967294:1 --gid-mapping 0:4294967294:1");
            }
            "Looking at it by hand" => {
                // Other filesystems come and go.
                let target = self.path("store");
                let uuid = run(Command::new("findmnt").args(["--noheadings", "--output", "UUID", &target])).success();
                self.name("/sys/fs/btrfs/*", &format!("/sys/fs/btrfs/{}", uuid.trim()));
            }
            _ => {}
        }
    }

    /// All that `create` takes.
    fn add_sources(&mut self, url: &str) {
        let registry = Registry::plain();
        registry.push(url, "team/app:latest", &[]);
        let host = registry.host();
        self.name("registry.example:5000", &host);
        self.name("sha256:…", &registry.digest("team/app:latest"));
        let private = Registry::start(Setup { basic_auth: true, ..Setup::default() });
        private.push(url, "private/app:latest", &[]);
        self.name("registry.example", &private.host());
        let password = self.path("password");
        fs::write(&password, PASSWORD).unwrap();
        self.name("--username me --password-file pw", &format!("--username {USER} --password-file {password}"));
        self.variables.push(("GROOTFS_CREATE_INSECURE_REGISTRIES", format!("{host},{}", private.host())));
        self.name("docker:///library/ubuntu:22.04", url);
        self.name("oci:///layouts/busybox:latest", url);
        let archive = self.path("rootfs.tar.gz");
        fs::write(&archive, busybox_layer().blob.unwrap()).unwrap();
        self.name("/rootfs.tar.gz", &archive);
        self.registries.extend([registry, private]);
    }

    fn name(&mut self, shown: &str, here: &str) {
        self.names.push((shown.to_owned(), here.to_owned()));
    }

    fn path(&self, name: &str) -> String {
        self.store.beside(name).to_str().unwrap().trim_end_matches('/').to_owned()
    }

    /// A filesystem of this kind, at `/mnt/<kind>` of the page.
    fn mount(&mut self, kind: &str) {
        let (file, target) = (self.store.beside(&format!("{kind}.file")), self.store.beside(kind));
        fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&file)).success();
        fs::create_dir(&target).unwrap();
        mount(&file, &target, kind, "loop");
        self.name(&format!("/mnt/{kind}"), &self.path(kind));
    }

    fn configuration(&self, name: &str, store: &str) -> String {
        let path = self.path(name);
        fs::write(&path, format!("store: {store}\n")).unwrap();
        path
    }

    /// A text of the page, as it is here.
    fn here(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (shown, here)| text.replace(shown, here))
    }

    /// Runs the commands one after the other in one shell, and returns what each has printed.
    fn run(&self, commands: &[String]) -> Vec<String> {
        let lines = commands.iter().map(|command| format!("{command}\necho '{END}'\n"));
        let script: String = ["set -eu\nsudo() { \"$@\"; }\n".to_owned()].into_iter().chain(lines).collect();
        let mut shell = match &self.user {
            Some(user) => user.as_root("bash"),
            None => program("bash"),
        };
        shell.args(["-c", &script]).envs(self.variables.clone()).current_dir(self.store.path().parent().unwrap());
        let outcome = run(&mut shell);
        assert_eq!(outcome.code, Some(0), "{script}: {outcome:#?}");
        outcome.stdout.split_terminator(&format!("{END}\n")).map(str::to_owned).collect()
    }
}

/// The commands of a block; a configuration is checked.
fn steps(block: &Block, scratch: &Path) -> Vec<Step> {
    if block.language != "yaml" {
        return block.steps();
    }
    let path = scratch.join(format!("configuration-{}.yml", block.number));
    fs::write(&path, &block.text).unwrap();
    let command = format!("grootfs --config {} config check", path.display());
    vec![Step { command, is_of_root: true, output: None }]
}

#[test]
fn the_commands_of_all_pages_print_what_they_show() {
    let blocks: Vec<Block> = blocks().into_iter().filter(runs_here).collect();
    assert!(!blocks.is_empty());
    let scratch = tempfile::tempdir().unwrap();
    for blocks in blocks.chunk_by(|one, next| (&one.page, &one.heading) == (&next.page, &next.heading)) {
        let heading = &blocks[0].heading;
        let steps: Vec<Step> = blocks.iter().flat_map(|block| steps(block, scratch.path())).collect();
        let scene = Scene::of(heading, &steps);
        let command = |(number, step): (usize, &Step)| {
            assert!(step.is_of_root, "{heading}: {step:?}");
            scene.here(&step.command.replace("create …", &format!("create {IMAGE} image-{number}")))
        };
        let commands: Vec<String> = steps.iter().enumerate().map(command).collect();
        let printed = scene.run(&commands);
        assert_eq!(printed.len(), steps.len(), "{heading}: {printed:?}");
        for (step, printed) in steps.iter().zip(printed) {
            let mut step = step.clone();
            step.output = step.output.map(|lines| lines.iter().map(|line| scene.here(line)).collect());
            assert!(step.shows(&printed), "{} in {heading} of {}: {printed}", step.command, blocks[0].page);
        }
    }
}
