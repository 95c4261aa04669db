//! Who one is to a registry: names and passwords, tokens, what logins left on disk, and who gets to see any of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{
    Answer, IDENTITY_TOKEN, Outcome, PASSWORD, Registry, ScriptedRegistry, Setup, TempStore, TokenServer, USER,
    WRONG_PASSWORD, assert_whole, create, fails, forget, image, large_layer, layout, run, succeeds, wait_for,
};
use serde_json::{Value, json};

/// base64 of `groot:secret-word`.
const LOGIN: &str = "Z3Jvb3Q6c2VjcmV0LXdvcmQ=";
const LONG: Duration = Duration::from_secs(600);

/// A registry that wants a name and a password, and its image.
fn private_registry(store: &TempStore) -> (Registry, String) {
    let registry = Registry::start(Setup { basic_auth: true, ..Setup::default() });
    let url = registry.push(&image().write(&store.beside("layout"), "latest"), "some/image:latest", &[]);
    (registry, url)
}

/// A registry that wants tokens, and its image.
fn token_registry(store: &TempStore, tokens: &TokenServer) -> (Registry, String) {
    let tokens_of = Some((tokens.realm(), tokens.authority()));
    let registry = Registry::start(Setup { tokens_of, ..Setup::default() });
    let url = registry.push(&image().write(&store.beside("layout"), "latest"), "some/image:latest", &[]);
    (registry, url)
}

/// A create with nothing in its environment but these variables.
fn with_environment(store: &TempStore, host: &str, url: &str, id: &str, variables: &[(&str, &Path)]) -> Outcome {
    let mut command = store.command(["create", "--insecure-registry", host, url, id]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).envs(variables.iter().copied());
    run(&mut command)
}

fn write(path: &Path, content: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content.to_string()).unwrap();
}

#[test]
fn name_and_password() {
    let store = TempStore::new();
    let (registry, url) = private_registry(&store);
    let log = store.beside("log");
    let with = |user: &str, password: &str| {
        let flags = ["--log-level", "debug", "--log-file", log.to_str().unwrap()];
        let create = ["create", "--insecure-registry", &registry.host(), "--username", user, "--password", password];
        store.run([&flags[..], &create, &[&url, "x"]].concat())
    };
    let wrong = with(USER, "wrong").failure();
    assert!(wrong.contains(WRONG_PASSWORD) && wrong.contains(&url), "{wrong}");
    let anonymous = fails(&store, &registry.host(), &url);
    assert_eq!(
        anonymous,
        format!(
            "{url} does not exist or you do not have permissions to see it. (requested access to the resource is denied)"
        )
    );
    with(USER, PASSWORD).success();
    assert_whole(&store.rootfs("x"));
    assert!(!fs::read_to_string(log).unwrap().contains(PASSWORD));
}

#[test]
fn the_password_may_be_in_a_file() {
    let store = TempStore::new();
    let (registry, url) = private_registry(&store);
    let file = store.beside("password");
    let with = |flags: &[&str], id: &str| {
        let create = ["create", "--insecure-registry", &registry.host(), "--username", USER];
        store.run([&create[..], flags, &["--password-file", file.to_str().unwrap(), &url, id]].concat())
    };
    let missing = with(&[], "x").failure();
    assert_eq!(missing, format!("reading the password file: open {}: no such file or directory", file.display()));
    for (n, content) in [format!("{PASSWORD}\n"), format!("{PASSWORD}\r\n"), PASSWORD.to_owned()].iter().enumerate() {
        fs::write(&file, content).unwrap();
        with(&[], &n.to_string()).success();
    }
    fs::write(&file, format!("{PASSWORD}\n\n")).unwrap();
    assert!(with(&[], "x").failure().contains(WRONG_PASSWORD));
    assert!(with(&["--password", "p"], "x").failure().contains("--password-file"));
    fs::write(&file, vec![b'x'; 100_000]).unwrap();
    assert!(with(&[], "x").failure().ends_with("larger than any password"));
}

#[test]
fn a_password_does_not_stay_among_the_arguments() {
    let store = TempStore::new();
    let path = format!("/v2/some/image/blobs/{}", large_layer().digest);
    let server = ScriptedRegistry::start(&layout(&store), move |asked| match asked.path == path {
        true => Answer::StallAfter(1000),
        false => Answer::Serve,
    });
    for (n, password) in [vec!["--password", PASSWORD], vec!["-password=secret-word"]].into_iter().enumerate() {
        let (host, url, id) = (server.host(), server.url(), n.to_string());
        let arguments =
            [&["create", "--insecure-registry", &host, "--username", USER], &password[..], &[&url, &id]].concat();
        let mut stalled = store.command(arguments).stdout(Stdio::null()).spawn().unwrap();
        wait_for("the stall", || server.asked().len() >= 5 * (n + 1) - n);
        let shown = fs::read(format!("/proc/{}/cmdline", stalled.id())).unwrap();
        let shown: Vec<&str> = str::from_utf8(&shown).unwrap().split_terminator('\0').collect();
        stalled.kill().unwrap();
        stalled.wait().unwrap();
        let covered = "*".repeat(PASSWORD.len());
        match n {
            0 => assert!(shown.windows(2).any(|pair| pair == ["--password", &covered]), "{shown:?}"),
            _ => assert!(shown.contains(&format!("-password={covered}").as_str()), "{shown:?}"),
        }
        assert!(shown.contains(&USER) && shown.contains(&url.as_str()), "{shown:?}");
        store.ok(["clean"]);
    }
}

#[test]
fn what_a_login_left_is_used_from_all_the_usual_places() {
    let store = TempStore::new();
    let (registry, url) = private_registry(&store);
    let host = registry.host();
    let login = json!({ "auths": { (&host): { "auth": LOGIN } } });
    let base = |name: &str| store.beside(name);
    let places: [(&str, PathBuf, &str); 6] = [
        ("REGISTRY_AUTH_FILE", base("a/file.json"), "file.json"),
        ("XDG_RUNTIME_DIR", base("b"), "containers/auth.json"),
        ("XDG_CONFIG_HOME", base("c"), "containers/auth.json"),
        ("HOME", base("d"), ".config/containers/auth.json"),
        ("HOME", base("e"), ".docker/config.json"),
        ("DOCKER_CONFIG", base("f"), "config.json"),
    ];
    for (variable, directory, file) in places {
        let value = if variable == "REGISTRY_AUTH_FILE" { directory.clone() } else { directory.join(file) };
        let path = if variable == "REGISTRY_AUTH_FILE" { &directory } else { &value };
        write(path, &login);
        with_environment(&store, &host, &url, "x", &[(variable, &directory)]).success();
        assert_whole(&store.rootfs("x"));
        forget(&store, "x");
    }
    // The first that has something for this registry counts, and flags before all.
    write(&base("g/containers/auth.json"), &json!({ "auths": { "other.example": { "auth": LOGIN } } }));
    let both = [("XDG_RUNTIME_DIR", base("g")), ("HOME", base("e"))];
    let both = both.each_ref().map(|(name, path)| (*name, path.as_path()));
    with_environment(&store, &host, &url, "x", &both).success();
    forget(&store, "x");
    let mut flags =
        store.command(["create", "--insecure-registry", &host, "--username", "x", "--password", "y", &url, "x"]);
    assert!(run(flags.env("HOME", base("e"))).failure().contains("given as --username and --password"));
}

#[test]
fn logins_that_are_of_no_use_are_told_in_one_line() {
    let store = TempStore::new();
    let (registry, url) = private_registry(&store);
    let host = registry.host();
    let file = store.beside("auth.json");
    let fails = |content: Option<&str>| {
        let _ = fs::remove_file(&file);
        content.inspect(|content| fs::write(&file, content).unwrap());
        let message = with_environment(&store, &host, &url, "x", &[("REGISTRY_AUTH_FILE", &file)]).failure();
        assert!(message.contains(&url), "{message}");
        message
    };
    let name = file.display();
    assert!(fails(None).contains(&format!("open {name}: no such file or directory")));
    assert!(
        fails(Some("{\"auths\": [")).contains(&format!("{name} is not the JSON of an auth file (line 1, column 1"))
    );
    let anonymous = fails(Some("{}"));
    assert_eq!(
        anonymous,
        format!(
            "{url} does not exist or you do not have permissions to see it. (requested access to the resource is denied)"
        )
    );
    // base64 of `groot:wrong`
    let wrong = fails(Some(&format!(r#"{{"auths":{{"{host}":{{"auth":"Z3Jvb3Q6d3Jvbmc="}}}}}}"#)));
    assert!(wrong.contains(WRONG_PASSWORD) && wrong.contains(&format!("(from {name})")), "{wrong}");
}

#[test]
fn an_empty_environment_is_enough() {
    let store = TempStore::new();
    let registry = Registry::plain();
    let url = registry.push(&image().write(&store.beside("layout"), "latest"), "some/image", &[]);
    let (host, tokens) = (registry.host(), TokenServer::start(LONG, true));
    let (private, private_url) = private_registry(&store);
    let (by_token, token_url) = token_registry(&store, &tokens);
    let with = |host: &str, url: &str, id: &str| {
        let mut command = store.command(["create", "--insecure-registry", host, url, id]);
        run(command.env_clear())
    };
    with(&host, &url, "x").success();
    with(&by_token.host(), &token_url, "y").success();
    let message = with(&private.host(), &private_url, "z").failure();
    assert_eq!(
        message,
        format!(
            "{private_url} does not exist or you do not have permissions to see it. (requested access to the resource is denied)"
        )
    );
}

/// A directory with a credential helper that knows the user under `key`, and writes down what it is asked.
fn helper(store: &TempStore, key: &str, answer: &str) -> PathBuf {
    let directory = store.beside("helpers");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("docker-credential-test");
    let asked = directory.join("asked");
    let script = format!(
        "#!/bin/sh\nread -r host; echo \"$1 $host\" >>'{}'; echo 'a secret' >&2\n[ \"$host\" = '{key}' ] && {{ {answer}; exit; }}\n\
         echo 'credentials not found in native keychain'; exit 1\n",
        asked.display()
    );
    // Another process writes it: a program that somebody has open for writing cannot be run.
    let mut write = Command::new("sh");
    write.args(["-c", "printf %s \"$1\" >\"$0\""]).arg(&path).arg(script);
    assert!(write.status().unwrap().success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

#[test]
fn credential_helpers() {
    let store = TempStore::new();
    let (registry, url) = private_registry(&store);
    let host = registry.host();
    let answer = format!(r#"echo '{{"ServerURL":"x","Username":"{USER}","Secret":"{PASSWORD}"}}'"#);
    let helpers = helper(&store, &host, &answer);
    let path = format!("{}:{}", helpers.display(), std::env::var("PATH").unwrap());
    let file = store.beside("auth.json");
    let with = |content: &Value, id: &str| {
        write(&file, content);
        let log = ["--log-level", "debug", "--log-file", store.beside("log").to_str().unwrap()].map(str::to_owned);
        let create = ["create", "--insecure-registry", &host, &url, id].map(str::to_owned);
        run(store.command([log.to_vec(), create.to_vec()].concat()).env("REGISTRY_AUTH_FILE", &file).env("PATH", &path))
    };
    for content in
        [json!({ "credHelpers": { (&host): "test" } }), json!({ "credsStore": "test", "auths": { (&host): {} } })]
    {
        with(&content, "x").success();
        assert_whole(&store.rootfs("x"));
        forget(&store, "x");
    }
    assert_eq!(fs::read_to_string(helpers.join("asked")).unwrap(), format!("get {host}\nget {host}\n"));
    // Not for this registry, then nothing is to be had from it, and the file itself is next.
    let other = json!({ "credHelpers": { "other.example": "test" } });
    assert!(with(&other, "x").failure().contains("does not exist or you do not have permissions"));
    helper(&store, "other.example", &answer);
    let none = json!({ "credsStore": "test" });
    assert!(with(&none, "x").failure().contains("does not exist or you do not have permissions"));
    with(&json!({ "credsStore": "test", "auths": { (&host): { "auth": LOGIN } } }), "x").success();
    forget(&store, "x");

    let missing = with(&json!({ "credsStore": "no-such-helper" }), "x").failure();
    assert!(
        missing.contains("docker-credential-no-such-helper is not in $PATH") && missing.contains(&url),
        "{missing}"
    );
    for bad in ["../test", "a b", "/bin/sh"] {
        assert!(with(&json!({ "credsStore": bad }), "x").failure().contains("is not a valid name"), "{bad}");
    }
    helper(&store, &host, "echo secret-word; exit 3");
    let broken = with(&none, "x").failure();
    assert!(broken.contains("credential helper docker-credential-test: it failed"), "{broken}");
    assert!(!broken.contains("secret"), "{broken}");
    assert!(!fs::read_to_string(store.beside("log")).unwrap().contains("secret"));
}

#[test]
fn logins_are_read_only_when_a_registry_asks() {
    let store = TempStore::new();
    let registry = Registry::plain();
    let url = registry.push(&image().write(&store.beside("layout"), "latest"), "some/image", &[]);
    let missing = store.beside("no-such-file");
    with_environment(&store, &registry.host(), &url, "x", &[("REGISTRY_AUTH_FILE", &missing)]).success();
    let (private, private_url) = private_registry(&store);
    let pinned = format!("docker://{}/some/image@{}", private.host(), registry.digest("some/image"));
    assert!(private_url.contains("some/image"));
    // The same image from a registry that asks: all of it is there, so nobody asks.
    with_environment(&store, &private.host(), &pinned, "y", &[("REGISTRY_AUTH_FILE", &missing)]).success();
}

#[test]
fn tokens_for_everybody() {
    let (store, tokens) = (TempStore::new(), TokenServer::start(LONG, true));
    let (registry, url) = token_registry(&store, &tokens);
    let pushes = tokens.asked().len();
    succeeds(&store, &registry.host(), &url, "x");
    let asked = tokens.asked()[pushes..].to_vec();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].path, "/token?service=test&scope=repository%3Asome%2Fimage%3Apull");
    assert_eq!(asked[0].header("authorization"), "");
}

#[test]
fn tokens_for_users() {
    let (store, tokens) = (TempStore::new(), TokenServer::start(LONG, false));
    let (registry, url) = token_registry(&store, &tokens);
    let host = registry.host();
    let with = |user: &str, password: &str, id: &str| {
        store.run(["create", "--insecure-registry", &host, "--username", user, "--password", password, &url, id])
    };
    let expected = format!(
        "{url} does not exist or you do not have permissions to see it. (requested access to the resource is denied)"
    );
    assert_eq!(fails(&store, &host, &url), expected);
    let wrong = with(USER, "wrong", "x").failure();
    assert!(wrong.contains(WRONG_PASSWORD) && wrong.contains(&url), "{wrong}");
    with(USER, PASSWORD, "x").success();
    assert_whole(&store.rootfs("x"));
}

#[test]
fn identity_tokens() {
    let (store, tokens) = (TempStore::new(), TokenServer::start(LONG, false));
    let (registry, url) = token_registry(&store, &tokens);
    let (host, file) = (registry.host(), store.beside("auth.json"));
    let with = |token: &str| {
        write(&file, &json!({ "auths": { (&host): { "auth": "Z3Jvb3Q6", "identitytoken": token } } }));
        with_environment(&store, &host, &url, "x", &[("REGISTRY_AUTH_FILE", &file)])
    };
    let wrong = with("wrong").failure();
    assert!(wrong.contains(WRONG_PASSWORD) && wrong.contains(file.to_str().unwrap()), "{wrong}");
    with(IDENTITY_TOKEN).success();
    assert_whole(&store.rootfs("x"));
    let asked = tokens.asked().pop().unwrap();
    assert!(asked.body.starts_with("grant_type=refresh_token&service=test&scope=repository%3Asome%2Fimage%3Apull"));
    assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/token", ""));
}

#[test]
fn a_token_that_expires_on_the_way_is_replaced() {
    let (store, tokens) = (TempStore::new(), TokenServer::start(Duration::from_secs(3), true));
    let (registry, _) = token_registry(&store, &tokens);
    let pushes = tokens.asked().len();
    // The large layer breaks off, and the request for the rest of it arrives after the token's end.
    let path = format!("/v2/some/image/blobs/{}", large_layer().digest);
    let server = ScriptedRegistry::in_front_of(&registry.host(), move |asked| match asked.before {
        0 if asked.path == path => Answer::CloseAfter(1_000_000),
        1 if asked.path == path => Answer::Late(Duration::from_secs(5)),
        _ => Answer::Serve,
    });
    let begin = Instant::now();
    succeeds(&store, &server.host(), &server.url(), "x");
    assert!(begin.elapsed() > Duration::from_secs(5));
    assert_eq!(tokens.asked().len() - pushes, 2, "{:?}", tokens.asked());
    assert!(server.asked().iter().any(|asked| asked.header("range") == "bytes=1000000-"));
}

#[test]
fn a_registry_that_accepts_nobody_is_given_up() {
    let store = TempStore::new();
    let registry = ScriptedRegistry::start(&layout(&store), |asked| match asked.path.starts_with("/token") {
        true => Answer::Status(200, vec![], r#"{"token":"t"}"#.into()),
        false => {
            let challenge = format!(r#"Bearer realm="http://{}/token""#, asked.header("host"));
            Answer::Status(401, vec![("www-authenticate", challenge)], String::new())
        }
    });
    assert!(fails(&store, &registry.host(), &registry.url()).contains("does not exist or you do not have permissions"));
    assert!(registry.asked().len() <= 4, "{:?}", registry.asked());
}

#[test]
fn credentials_stay_with_the_registry() {
    let store = TempStore::new();
    let layout = layout(&store);
    let elsewhere = ScriptedRegistry::start(&layout, |_| Answer::Serve);
    let target = elsewhere.host();
    let registry = ScriptedRegistry::start(&layout, move |asked| match asked.header("authorization") {
        "" => Answer::Status(401, vec![("www-authenticate", "Basic realm=x".into())], String::new()),
        _ if asked.is_blob() => {
            let location = format!("http://{target}{}?signature=secret", asked.path);
            Answer::Status(307, vec![("location", location)], String::new())
        }
        _ => Answer::Serve,
    });
    let (host, url) = (registry.host(), registry.url());
    let outcome =
        store.run(["create", "--insecure-registry", &host, "--username", USER, "--password", PASSWORD, &url, "x"]);
    let asked = elsewhere.asked();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.header("authorization").is_empty()), "{asked:?}");
    assert!(registry.asked().iter().any(|asked| !asked.header("authorization").is_empty()));
    assert!(!outcome.stdout.contains("secret"), "{outcome:?}");
    outcome.success();
    assert_whole(&store.rootfs("x"));
}

#[test]
fn a_realm_without_encryption_gets_no_password_of_a_registry_with() {
    let (store, tokens) = (TempStore::new(), TokenServer::start(LONG, true));
    let registry = Registry::start(Setup {
        tls_for: Some("localhost"),
        tokens_of: Some((tokens.realm(), tokens.authority())),
        ..Setup::default()
    });
    let url = registry.url("some/image");
    let mut command = store.command(["create", "--username", USER, "--password", PASSWORD, &url, "x"]);
    let message = run(command.env("SSL_CERT_FILE", registry.authority())).failure();
    assert!(message.contains("unable to retrieve auth token: the realm is not secure"), "{message}");
    assert!(tokens.asked().is_empty());
    assert!(create(&store, &registry.host(), &url, "x").failure().contains("the realm is not secure"));
}

/// What GitHub Packages, JFrog and others do: whoever does not say who he is sees nothing, and is told so.
#[test]
fn a_registry_that_asks_only_at_its_root() {
    let store = TempStore::new();
    let tokens = TokenServer::start(LONG, true);
    let realm = tokens.realm();
    for status in [403, 404, 401] {
        for scheme in ["Basic", "Bearer"] {
            let challenge = format!("{scheme} realm=\"{realm}\",service=\"caf\u{e9}\"");
            let server = ScriptedRegistry::start(&layout(&store), move |asked| {
                let is_known = asked.header("authorization").starts_with(scheme);
                match asked.path.as_str() {
                    "/v2/" => Answer::Status(401, vec![("www-authenticate", challenge.clone())], String::new()),
                    _ if is_known => Answer::Serve,
                    _ => Answer::Status(status, vec![], String::new()),
                }
            });
            let (host, url) = (server.host(), server.url());
            let login = ["create", "--insecure-registry", &host, "--username", USER, "--password", PASSWORD, &url, "x"];
            store.ok(login);
            assert_whole(&store.rootfs("x"));
            forget(&store, "x");
            assert_eq!(server.asked().iter().filter(|asked| asked.path == "/v2/").count(), 1);
        }
        // Nothing there for anybody.
        let server = ScriptedRegistry::start(&layout(&store), move |_| Answer::Status(status, vec![], String::new()));
        let message = fails(&store, &server.host(), &server.url());
        assert!(message.contains("requested access to the resource is denied"), "{message}");
        assert_eq!(server.asked().len(), 2);
    }
}

#[test]
fn a_missing_helper_and_nulls_do_not_stop_a_public_pull() {
    let store = TempStore::new();
    let tokens = TokenServer::start(LONG, true);
    let (registry, url) = token_registry(&store, &tokens);
    let file = store.beside("auth.json");
    for content in [
        json!({ "credsStore": "no-such-helper" }),
        json!({ "credHelpers": { registry.host(): "no-such-helper" }, "auths": null }),
        json!({ "auths": { registry.host(): { "auth": null, "username": null } }, "credHelpers": null, "credsStore": null }),
    ] {
        write(&file, &content);
        with_environment(&store, &registry.host(), &url, "x", &[("REGISTRY_AUTH_FILE", &file)]).success();
        forget(&store, "x");
    }
}

/// Whatever is said and kept of addresses with a password in them, on every way that one may take into a message.
#[test]
fn passwords_in_addresses_are_never_shown() {
    let store = TempStore::new();
    let password = crate::support::SECRET;
    let elsewhere = format!("http://me:{password}@127.0.0.1:1/x?signature={password}");
    let server = ScriptedRegistry::start(&layout(&store), move |asked| match asked.path.split('/').nth(2) {
        Some("moved") => Answer::Status(307, vec![("location", elsewhere.clone())], String::new()),
        Some("realm") => {
            let challenge = format!("Bearer realm=\"{elsewhere}\",service=\"x\"");
            Answer::Status(401, vec![("www-authenticate", challenge)], String::new())
        }
        Some("missing") => Answer::Status(404, vec![], String::new()),
        _ => Answer::Serve,
    });
    let host = server.host();
    let config = |n: usize, content: &str| {
        let path = store.beside(&format!("config-{n}.yml"));
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (proxy, with_slash) = (format!("http://me:{password}@127.0.0.1:1"), format!("{password}/{password}"));
    let mirror = config(1, &format!("create: {{registry_mirrors: {{'{host}': ['me:{password}@{host}']}}}}"));
    let insecure = config(2, &format!("create: {{insecure_registries: ['https://me:{password}@{host}']}}"));
    let ignored = config(3, &format!("clean: {{ignore_images: ['docker://me:{password}@{host}/a/b']}}"));
    let images = [
        format!("docker://me:{password}@{host}/a/b"),
        format!("docker://me:{with_slash}@{host}/a/b"),
        format!("docker:///me:{password}@{host}/a/b"),
        format!("docker://{password}@{host}/a/b"),
        format!("docker://me:{password}@{host}/missing/b"),
        format!("docker://me:{password}@{host}/moved/b"),
        format!("docker://me:{password}@{host}/realm/b"),
        format!("docker://me:{password}@no-such-host.invalid/a"),
        format!("https://me:{password}@{host}/x.tar?key={password}"),
        format!("https:/me:{password}@{host}/x.tar"),
        format!("oci://me:{password}@{host}/x"),
        format!("me:{password}@{host}/x"),
    ];
    let mut commands: Vec<Vec<&str>> = Vec::new();
    for (n, image) in images.iter().enumerate() {
        commands.push(vec!["create", "--insecure-registry", &host, image, if n % 2 == 0 { "x" } else { "y" }]);
        commands.push(vec!["create", image]);
        commands.push(vec!["create", "id", image, "more"]);
        commands.push(vec!["create", &host, image]);
        commands.push(vec!["delete", image]);
        commands.push(vec!["stats", image]);
        commands.push(vec![image]);
    }
    for config in [&mirror, &insecure, &ignored] {
        commands.push(vec!["--config", config, "create", "--insecure-registry", &host, &images[0], "z"]);
        commands.push(vec!["--config", config, "clean"]);
        commands.push(vec!["--config", config, "delete", "z"]);
    }
    for command in commands {
        let log = ["--log-level", "debug"];
        let outcome = run(store.command([&log[..], &command].concat()).env("https_proxy", &proxy));
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!said.contains(password), "{command:?}: {said}");
    }
    let kept = crate::support::succeed(
        "sh",
        ["-c", &format!("cd '{}' && find . && grep -rs . meta || true", store.path().display())],
    );
    assert!(kept.contains("baseimage") && !kept.contains(password), "{kept}");
}
