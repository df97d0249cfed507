//! Pushing, logging in, mirrors and certificates, with Debian's registry, alone and behind an nginx.

use crate::daemons::{Nginx, Registry};
use crate::support::{Place, Said, have};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What skopeo knows of an image in a registry.
fn skopeo(place: &Place, name: &str) -> Value {
    let mut command = Command::new("timeout");
    command.args(["60", "skopeo", "inspect", "--tls-verify=false"]).arg(format!("docker://{name}"));
    command.current_dir(place.path("")).env("HOME", place.path("")).env("XDG_RUNTIME_DIR", place.path(""));
    let said = Said::of(command.stdin(Stdio::null()).output().expect("skopeo")).ok();
    serde_json::from_str(&said.stdout).expect("JSON")
}

/// A build's own words for the digest of what it pushed.
fn metadata(place: &Place) -> Value {
    let text = fs::read_to_string(place.path("meta.json")).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn each_target_is_pushed_under_its_own_names() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    let host = registry.address();
    place.dockerfile(
        "FROM base AS one\nRUN echo one >/name\nFROM base AS two\nRUN echo two >/name\nFROM base AS check\nRUN true >/check\n",
    );
    let (one, two) = (format!("{host}/shop/one:1"), format!("{host}/shop/two:1"));
    let names = [format!("one={one}"), format!("two={two}")];
    let flags = ["--push", "--target=check,one,two", "-t", &names[0], "-t", &names[1]];
    place.ireko(&[&["build"][..], &flags, &["context"]].concat()).ok();
    for (name, text) in [(&one, "one\n"), (&two, "two\n")] {
        let Some(other) = Place::new() else { return };
        other.ireko(&["pull", "-q", name]).ok();
        assert_eq!(other.ireko(&["run", name, "cat", "/name"]).ok().stdout, text);
    }
    // Four layers of the base; a layer, a config and a manifest of each; nothing of the one that goes nowhere.
    let log = registry.log();
    assert_eq!(registry.blobs(), 4 + 2 * 3, "{log}");
    assert!(log.contains("mount=sha256"), "the second takes the base over from the first: {log}");
}

#[test]
fn a_push_that_cannot_succeed_is_told_before_the_first_step() {
    let Some(place) = Place::with_base() else { return };
    let registry = ireko_testkit::TestRegistry::start();
    registry.require_login("me", "secret", true);
    place.dockerfile("FROM base\nRUN echo ran >/ran\n");
    let closed = format!("localhost:{}", crate::containers::free_port());
    let build = |host: &str, more: &[&str]| {
        let name = format!("{host}/team/app:1");
        let output = format!("type=registry,\"name={name},{host}/other\"");
        let flags = if more.is_empty() { vec!["--push"] } else { more.to_vec() };
        let flags = if more == ["-o"] { vec!["-o", &output] } else { flags };
        let named = ["-t", &name];
        place.ireko(&[&["build", "--progress=plain"][..], &flags, &named, &["context"]].concat())
    };
    for (host, code) in [(registry.address(), 2), (closed, 3)] {
        for flags in [&[][..], &["-o"]] {
            let said = build(&host, flags).fails(code, &[&host, "hint: "]);
            assert!(!said.stderr.contains("RUN"), "{}", said.stderr);
        }
        // Nobody is asked where that is not wanted, and the build pushes at its end.
        let said = build(&host, &["--push", "--skip-push-permission-check"]).fails(code, &[&host]);
        assert!(said.stderr.contains("RUN echo ran"), "{}", said.stderr);
    }
    let host = registry.address();
    place.ireko_fed(&["login", "-u", "me", "--password-stdin", &host], b"secret\n").ok();
    build(&host, &[]).ok();
    assert!(registry.manifest("team/app", "1").is_some());
    // Of the upload that was only a question nothing is left, at the latest a moment later.
    let deadline = Instant::now() + Duration::from_secs(10);
    while registry.uploads() > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(registry.uploads(), 0);
}

#[test]
fn a_build_is_pushed_under_all_its_names() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    if !have(&["skopeo"]) {
        return;
    }
    let host = registry.address();
    place.file("f", "content");
    place.dockerfile("FROM base\nCOPY f /f\nRUN cp /f /g && chmod 4755 /g\nCMD [\"cat\", \"/g\"]\n");
    let (one, two) = (format!("{host}/team/app:1"), format!("{host}/other:2"));
    let flags = ["-t", &one, "-t", &two, "--push", "--metadata-file=meta.json"];
    place.ireko(&[&["build", "--progress=plain"][..], &flags, &["context"]].concat()).ok();
    let digest = metadata(&place)["containerimage.digest"].clone();
    for name in [&one, &two] {
        assert_eq!(skopeo(&place, name)["Digest"], digest);
        let Some(other) = Place::new() else { return };
        other.ireko(&["pull", "-q", name]).ok();
        assert_eq!(other.layers(name), place.layers(name));
        assert_eq!(other.ireko(&["run", name]).ok().stdout, "content");
        other.sound();
    }
    // The second repository took over what the first had.
    let log = registry.log();
    assert!(log.contains("mount=sha256"), "{log}");
    let sent = |log: &str| {
        log.lines()
            .filter(|line| line.contains("PATCH") || line.contains("PUT /v2") && line.contains("digest="))
            .count()
    };
    let before = sent(&log);
    // Nothing is sent again.
    place.ireko(&["push", &one]).ok();
    place.ireko(&["tag", &one, &format!("{host}/team/app:new")]).ok();
    let said = place.ireko(&["push", "-q", "--digestfile=digest", &format!("{host}/team/app:new")]).ok();
    assert_eq!(said.stdout, format!("{host}/team/app:new\n"));
    assert_eq!(Value::from(fs::read_to_string(place.path("digest")).expect("a file")), digest);
    assert_eq!(sent(&registry.log()), before);
    let said = place.ireko(&["push", "--all-tags", &format!("{host}/team/app")]).ok().stdout;
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        said.contains(&format!("{host}/team/app:1: digest: {} size: ", digest.as_str().expect("text"))),
        "{said}"
    );
    place.sound();
}

#[test]
fn forms_of_a_push() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    if !have(&["skopeo"]) {
        return;
    }
    let host = registry.address();
    place.file("f", "content");
    place.dockerfile("FROM base\nCOPY f /f\nCMD [\"cat\", \"/f\"]\n");
    let build = |output: &str| {
        place.ireko(&["build", "-q", "--metadata-file=meta.json", "-o", output, "context"]).ok();
        metadata(&place)["containerimage.digest"].as_str().expect("text").to_owned()
    };
    let raw = |name: &str| -> Value {
        let mut command = Command::new("timeout");
        command
            .args(["60", "skopeo", "inspect", "--raw", "--tls-verify=false"])
            .arg(format!("docker://{name}"));
        command.env("HOME", place.path("")).env("XDG_RUNTIME_DIR", place.path("")).stdin(Stdio::null());
        serde_json::from_str(&Said::of(command.output().expect("skopeo")).ok().stdout).expect("JSON")
    };
    build(&format!("type=registry,name={host}/a:zstd,compression=zstd"));
    assert_eq!(
        raw(&format!("{host}/a:zstd"))["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+zstd"
    );
    build(&format!("type=image,name={host}/a:docker,push=true,oci-mediatypes=false"));
    let docker = raw(&format!("{host}/a:docker"));
    assert_eq!(docker["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(docker["layers"][0]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    build(&format!("type=registry,name={host}/a:plain,compression=uncompressed"));
    assert_eq!(
        raw(&format!("{host}/a:plain"))["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar"
    );
    // Docker's types know no zstd, so such an image is OCI's whatever was asked for.
    build(&format!("type=registry,name={host}/a:both,compression=zstd,oci-mediatypes=false"));
    assert_eq!(raw(&format!("{host}/a:both"))["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    // A form that another destination asked for is not what is pushed, also when notes are gone.
    let name = format!("{host}/a:later");
    place.ireko(&["build", "-q", "-t", &name, "-o", "type=oci,compression=zstd,dest=z.tar", "context"]).ok();
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    place.ireko(&["push", "-q", &name]).ok();
    for layer in raw(&name)["layers"].as_array().expect("layers") {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    }
    let digest = build(&format!("type=image,name={host}/b,push-by-digest=true"));
    assert_eq!(raw(&format!("{host}/b@{digest}"))["layers"].as_array().expect("layers").len(), 5);
    for tag in ["zstd", "docker", "plain"] {
        let Some(other) = Place::new() else { return };
        let name = format!("{host}/a:{tag}");
        assert_eq!(other.ireko(&["pull", "-q", &name]).ok().stdout.trim().len(), 71);
        assert_eq!(other.ireko(&["run", &name]).ok().stdout, "content", "{tag}");
    }
    // What cannot be pushed is told before anything is built.
    place.dockerfile("FROM base\nRUN exit 7\n");
    place.ireko(&["build", "--push", "context"]).fails(2, &["needs a name", "-t host/repository:tag"]);
}

#[test]
fn an_index_is_pushed_with_its_members() {
    let (Some(place), Some(registry)) = (Place::with_bases(), Registry::start()) else { return };
    let name = format!("{}/app:1", registry.address());
    place.dockerfile("FROM base\nARG TARGETARCH\nENV ARCH=$TARGETARCH\nCMD echo $ARCH\n");
    let flags = [
        "build",
        "-q",
        "--platform=linux/amd64,linux/arm64",
        "--push",
        "-t",
        &name,
        "--metadata-file=meta.json",
    ];
    let id = place.ireko(&[&flags[..], &["context"]].concat()).ok().stdout;
    assert_eq!(metadata(&place)["containerimage.digest"], id.trim());
    let Some(other) = Place::new() else { return };
    other.ireko(&["pull", "-q", "--platform=linux/arm64", &name]).ok();
    assert_eq!(other.ireko(&["run", &name]).ok().stdout, "arm64\n");
    // From the store it is pushed as a whole too, with the same digest.
    let said = place.ireko(&["push", &name]).ok().stdout;
    assert!(said.contains(id.trim()), "{said} {id}");
}

#[test]
fn a_base_in_the_same_registry_never_comes_here() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    let host = registry.address();
    place.ireko(&["tag", "base", &format!("{host}/base:1")]).ok();
    place.ireko(&["push", "-q", &format!("{host}/base:1")]).ok();
    let Some(other) = Place::new() else { return };
    other.dockerfile(&format!("FROM {host}/base:1\nLABEL a=b\nCMD [\"echo\", \"hi\"]\n"));
    let said =
        other.ireko(&["build", "--progress=plain", "--push", "-t", &format!("{host}/app:1"), "context"]).ok();
    assert!(!said.stderr.contains("pulling"), "{}", said.stderr);
    let log = registry.log();
    let fetched = log.lines().filter(|line| line.contains("GET /v2/base/blobs")).count();
    // The config alone.
    assert!(fetched <= 2, "{fetched}\n{log}");
    let Some(third) = Place::new() else { return };
    third.ireko(&["pull", "-q", &format!("{host}/app:1")]).ok();
    assert_eq!(third.ireko(&["run", &format!("{host}/app:1")]).ok().stdout, "hi\n");
}

#[test]
fn layers_are_on_their_way_while_later_steps_run() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    let name = format!("{}/app:1", registry.address());
    place.dockerfile("FROM base\nRUN head -c 3000000 /dev/urandom >/a\nRUN sleep 4\nRUN echo b >/b\n");
    let mut command = place.command(&["build", "--progress=plain", "--push", "-t", &name, "context"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let begin = Instant::now();
    while registry.blobs() == 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing came");
        assert!(child.try_wait().expect("a state").is_none(), "the build ended before anything was pushed");
        std::thread::sleep(Duration::from_millis(20));
    }
    let was_running = child.try_wait().expect("a state").is_none();
    assert!(child.wait().expect("it ends").success());
    assert!(was_running, "the layer came when the build was over");
}

#[test]
fn who_is_not_let_in_is_told() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start_closed()) else { return };
    let host = registry.address();
    let name = format!("{host}/app:1");
    place.ireko(&["tag", "base", &name]).ok();
    place.ireko(&["push", &name]).fails(2, &["does not let everybody push", "ireko login"]);
    place.ireko_fed(&["login", "-u", "me", "--password-stdin", &host], b"wrong\n").fails(
        2,
        &["does not take the login of `me` (of the command line)", "user name or password is wrong"],
    );
    assert!(!place.path(".docker/config.json").exists(), "a wrong login is not kept");
    // Podman's file comes first; the new login is the one in use all the same.
    let first = place.path(".config/containers/auth.json");
    fs::create_dir_all(first.parent().expect("a directory")).expect("a directory");
    fs::write(&first, format!(r#"{{"auths": {{"{host}": {{"auth": "b2xkOm9sZA=="}}}}}}"#)).expect("a file");
    assert_eq!(place.ireko(&["login", "--get-login", &host]).ok().stdout, "old\n");
    let said = place.ireko_fed(&["login", "-u", "me", "--password-stdin", &host], b"secret\n").ok();
    assert_eq!(said.stdout, "Login Succeeded\n");
    let inline = fs::read_to_string(&first).expect("a file").replace("bWU6c2VjcmV0", "b2xkOm9sZA==");
    let shadowed = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        Said::of(command.env("DOCKER_AUTH_CONFIG", &inline).output().expect("it runs"))
    };
    shadowed(&["login", "-u", "me", "-p", "secret", &host])
        .fails(2, &["`DOCKER_AUTH_CONFIG` has another login", "unset it"]);
    assert_eq!(place.ireko(&["login", "--get-login", &host]).ok().stdout, "me\n");
    place.ireko(&["push", "-q", &name]).ok();
    // Docker's and Podman's own files are the same.
    if have(&["skopeo"]) {
        skopeo(&place, &name);
    }
    let Some(other) = Place::new() else { return };
    other.dockerfile(&format!("FROM {name}\nLABEL a=b\n"));
    other.build(&[]).fails(2, &["does not let everybody pull", "Dockerfile:1"]);
    let file = place.path(".docker/config.json");
    let pulled = |variable: &str, value: &str| {
        let mut command = other.command(&["pull", "-q", &name]);
        Said::of(command.env(variable, value).output().expect("it runs"))
    };
    pulled("REGISTRY_AUTH_FILE", file.to_str().expect("a path")).ok();
    pulled("DOCKER_CONFIG", file.parent().expect("a directory").to_str().expect("a path")).ok();
    pulled("DOCKER_AUTH_CONFIG", &fs::read_to_string(&file).expect("a file")).ok();
    pulled("REGISTRY_AUTH_FILE", "/does/not/exist").fails(2, &["does not let everybody pull"]);
    fs::write(other.path("broken.json"), "{\n  oops").expect("a file");
    pulled("REGISTRY_AUTH_FILE", other.path("broken.json").to_str().expect("a path"))
        .fails(2, &["broken.json", "line 2, column 3"]);
    other.ireko(&["pull", "-q", "--creds=me:secret", &name]).ok();
    let wrong = other
        .ireko(&["pull", "-q", "--creds=me:hunter2", &name])
        .fails(2, &["`me` (of the command line)", "user name or password"]);
    assert!(!wrong.stderr.contains("hunter2"));
    shadowed(&["logout", &host]).fails(2, &["`DOCKER_AUTH_CONFIG` still has a login"]);
    place.ireko_fed(&["login", "-u", "me", "--password-stdin", &host], b"secret\n").ok();
    // Nothing of a login is in the image or the store.
    assert_eq!(place.ireko(&["logout", &host]).ok().stdout, format!("Removed the login for {host}\n"));
    assert_eq!(place.ireko(&["logout", &host]).ok().stdout, format!("Not logged in to {host}\n"));
    place.ireko(&["push", &name]).fails(2, &["does not let everybody push"]);
    place.sound();
}

#[test]
fn a_helper_keeps_the_login() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start_closed()) else { return };
    let host = registry.address();
    let bin = place.path("bin");
    fs::create_dir(&bin).expect("a directory");
    let helper = bin.join("docker-credential-box");
    let script = "#!/bin/sh\nread -r server\n[ \"$1\" = get ] || exit 1\necho \"{\\\"Username\\\":\\\"me\\\",\\\"Secret\\\":\\\"secret\\\"}\"\n";
    fs::write(&helper, script).expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&helper, mode).expect("a mode");
    fs::create_dir(place.path(".docker")).expect("a directory");
    let config = |text: &str| fs::write(place.path(".docker/config.json"), text).expect("a file");
    config(r#"{"credsStore": "box"}"#);
    let name = format!("{host}/app:1");
    place.ireko(&["tag", "base", &name]).ok();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let push =
        || Said::of(place.command(&["push", "-q", &name]).env("PATH", &path).output().expect("it runs"));
    push().ok();
    config(r#"{"credsStore": "gone"}"#);
    push().fails(2, &["does not let everybody push", "`docker-credential-gone`", "is not installed"]);
    // Public images need no helper.
    let Some(open) = Registry::start() else { return };
    place.ireko(&["tag", "base", &format!("{}/app:1", open.address())]).ok();
    place.ireko(&["push", "-q", &format!("{}/app:1", open.address())]).ok();
    fs::write(&helper, "#!/bin/sh\necho 'vault is locked' >&2\nexit 1\n").expect("a file");
    config(r#"{"credsStore": "box"}"#);
    push().fails(2, &["`docker-credential-box`", "vault is locked"]);
    // One that waits for a person can be left.
    fs::write(&helper, "#!/bin/sh\n: >\"$HOME/waits\"\nsleep 1000\n").expect("a file");
    let mut command = place.command(&["push", "-q", &name]);
    let command = command.env("PATH", &path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    let begin = Instant::now();
    while !place.path("waits").exists() {
        assert!(begin.elapsed() < Duration::from_secs(60), "the helper was not asked");
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("it runs");
    let said = Said::of(child.wait_with_output().expect("it ends"));
    assert!(asked.success() && begin.elapsed() < Duration::from_secs(60));
    said.fails(130, &[]);
}

/// A certificate of an authority of the test's own, and one for a client.
fn certificates(dir: &Path) {
    let script = "set -e\n\
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=test-authority 2>/dev/null\n\
        sign() { openssl req -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj /CN=$1 2>/dev/null; \
        printf 'subjectAltName=DNS:registry.test,DNS:localhost,IP:127.0.0.1\\n' >ext; \
        openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out $1.crt $2 -extfile ext 2>/dev/null; }\n\
        sign server '-days 2'\nsign client '-days 2'\nsign old '-not_before 20200101000000Z -not_after 20200102000000Z' || sign old '-days -1'\n";
    let said = Command::new("sh").args(["-c", script]).current_dir(dir).output().expect("openssl runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn behind_tls() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    if !have(&["openssl", "nginx"]) {
        return;
    }
    certificates(&place.path(""));
    let at = place.path("").display().to_string();
    let upstream = registry.address();
    let server = |certificate: &str, more: &str| {
        Nginx::start_encrypted(&format!(
            "ssl_certificate {at}/{certificate}.crt; ssl_certificate_key {at}/{certificate}.key; client_max_body_size 0; {more}\n\
             location / {{ proxy_pass http://{upstream}; proxy_set_header Host $http_host; proxy_request_buffering off; }}"
        ))
    };
    let Some(plain) = server("server", "") else { return };
    let mutual = format!("ssl_client_certificate {at}/ca.crt; ssl_verify_client on;");
    let (Some(mutual), Some(old)) = (server("server", &mutual), server("old", "")) else { return };
    // A name that is not this machine's, which only the proxy knows.
    let proxy = Proxy::start();
    let push = |nginx: &Nginx, flags: &[&str], environment: &[(&str, &str)]| {
        let name = format!("registry.test:{}/app:1", nginx.port());
        place.ireko(&["tag", "base", &name]).ok();
        let mut command = place.command(&[&["push", "-q"][..], flags, &[&name]].concat());
        command.env("https_proxy", proxy.url()).envs(environment.iter().copied());
        Said::of(command.output().expect("it runs"))
    };
    let authority = place.path("ca.crt").display().to_string();
    push(&plain, &[], &[]).fails(3, &["UnknownIssuer"]);
    push(&plain, &[], &[("SSL_CERT_FILE", &authority)]).ok();
    push(&old, &[], &[("SSL_CERT_FILE", &authority)]).fails(3, &["Expired", "has to renew"]);
    let own_port = upstream.rsplit(':').next().expect("a port").to_owned();
    let name = format!("registry.test:{own_port}/app:1");
    place.ireko(&["tag", "base", &name]).ok();
    let mut command = place.command(&["push", "-q", &name]);
    let said = Said::of(command.env("https_proxy", proxy.url()).output().expect("it runs"));
    said.fails(3, &["the server speaks HTTP, not TLS", "--tls-verify=false", "IREKO_INSECURE_REGISTRIES"]);
    push(&plain, &["--tls-verify=false"], &[]).ok();
    push(&plain, &[], &[("IREKO_INSECURE_REGISTRIES", &format!("registry.test:{}", plain.port()))]).ok();
    assert!(proxy.connections() >= 4);
    // Files of one host, in the layout of Docker's and Podman's certs.d.
    for nginx in [&plain, &mutual] {
        let own = place.path(&format!(".config/containers/certs.d/registry.test:{}", nginx.port()));
        fs::create_dir_all(&own).expect("a directory");
        fs::copy(place.path("ca.crt"), own.join("ca.crt")).expect("a copy");
    }
    push(&plain, &[], &[]).ok();
    let refused = push(&mutual, &[], &[]);
    assert_ne!(refused.code, 0, "a certificate is asked for");
    let own = place.path(&format!(".config/containers/certs.d/registry.test:{}", mutual.port()));
    fs::copy(place.path("client.crt"), own.join("client.cert")).expect("a copy");
    push(&mutual, &[], &[]).fails(2, &["client.key` is missing"]);
    fs::copy(place.path("client.key"), own.join("client.key")).expect("a copy");
    push(&mutual, &[], &[]).ok();
    // A registry of this machine that speaks TLS is spoken to in TLS, with any certificate.
    let name = format!("localhost:{}/local:1", plain.port());
    place.ireko(&["tag", "base", &name]).ok();
    place.ireko(&["push", "-q", &name]).ok();
    assert!(registry.log().contains("/v2/local/manifests/1"));
}

/// A proxy that knows one host: every CONNECT goes to the port asked for on this machine.
struct Proxy {
    port: u16,
    count: Arc<AtomicUsize>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                seen.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || drop(tunnel(stream)));
            }
        });
        Self { port, count }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn connections(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

fn tunnel(mut client: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let asked = head.split_whitespace().nth(1).and_then(|host| host.rsplit_once(':')?.1.parse::<u16>().ok());
    let mut server = TcpStream::connect(("127.0.0.1", asked.unwrap_or(1)))?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        to.shutdown(std::net::Shutdown::Write)
    });
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

#[test]
fn mirrors_are_asked_first() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    let host = registry.address();
    place.ireko(&["tag", "base", &format!("{host}/hub/library/debian:12")]).ok();
    place.ireko(&["push", "-q", &format!("{host}/hub/library/debian:12")]).ok();
    let conf = format!(
        "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n\
         [[registry.mirror]]\nlocation = \"127.0.0.1:1\"\n[[registry.mirror]]\nlocation = \"{host}/hub\"\n\
         [[registry]]\nprefix = \"bad.example\"\nblocked = true\n"
    );
    let Some(other) = Place::new() else { return };
    fs::write(other.path("registries.conf"), conf).expect("a file");
    other.dockerfile("FROM debian:12\nRUN echo hi >/f\nCMD [\"cat\", \"/f\"]\n");
    let build = |variables: &[(&str, &str)]| {
        let mut command = other.command(&["build", "--progress=plain", "-t", "app", "context"]);
        Said::of(command.envs(variables.iter().copied()).output().expect("it runs"))
    };
    let conf = other.path("registries.conf").display().to_string();
    let said = build(&[("CONTAINERS_REGISTRIES_CONF", &conf)]).ok();
    assert!(said.stderr.contains("mirror `127.0.0.1:1` is passed over"), "{}", said.stderr);
    assert!(said.stderr.contains(&format!("from {host}")), "{}", said.stderr);
    assert_eq!(other.ireko(&["run", "app"]).ok().stdout, "hi\n");
    other.dockerfile("FROM bad.example/x\n");
    build(&[("CONTAINERS_REGISTRIES_CONF", &conf)])
        .fails(2, &["registries.conf` blocks `bad.example/x", "Dockerfile:1:6"]);
    let Some(third) = Place::new() else { return };
    let mut command = third.command(&["pull", "-q", "debian:12"]);
    Said::of(command.env("IREKO_REGISTRY_MIRRORS", format!("http://{host}/hub")).output().expect("it runs"))
        .ok();
    fs::write(other.path("registries.conf"), "[[registry]]\nlocation = 1").expect("a file");
    build(&[("CONTAINERS_REGISTRIES_CONF", &conf)]).fails(2, &["registries.conf", "line 2"]);
}

#[test]
fn a_registry_in_bad_health() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    let upstream = registry.address();
    let pass = format!(
        "proxy_pass http://{upstream}; proxy_set_header Host $http_host; proxy_request_buffering off;"
    );
    let Some(slow) = Nginx::start(&format!(
        "client_max_body_size 0; location / {{ {pass} proxy_limit_rate 2m; }} location /v2/page/ {{ return 200 '<html>sign in</html>'; }}\n\
         location /v2/busy/ {{ return 503; }} location /v2/empty/ {{ return 200 ''; }} location /v2/small/ {{ client_max_body_size 40m; {pass} }}"
    )) else {
        return;
    };
    let host = format!("localhost:{}", slow.port());
    place.file("big", "");
    place.dockerfile("FROM base\nRUN head -c 6000000 /dev/urandom >/big && sha256sum /big >/sum\nCMD [\"sha256sum\", \"-c\", \"/sum\"]\n");
    place.ireko(&["build", "-q", "-t", "app", "-t", &format!("{host}/app:1"), "context"]).ok();
    // The connection is cut in the middle of the upload.
    let mut command = place.command(&["push", "-q", &format!("{host}/app:1")]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let begin = Instant::now();
    while registry.log().lines().filter(|line| line.contains("POST")).count() == 0
        && begin.elapsed() < Duration::from_secs(20)
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    slow.cut();
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let Some(other) = Place::new() else { return };
    other.ireko(&["pull", "-q", &format!("{host}/app:1")]).ok();
    assert_eq!(other.ireko(&["run", &format!("{host}/app:1")]).ok().stdout, "/big: OK\n");
    for (name, code, says) in [
        ("page/app:1", 3, "page/app:1"),
        ("empty/app:1", 3, "empty/app:1"),
        ("busy/app:1", 3, "503 Service Unavailable"),
        ("none/app:1", 2, "none/app:1` does not exist"),
    ] {
        other.dockerfile(&format!("FROM {host}/{name}\nLABEL a=b\n"));
        other.build(&[]).fails(code, &[says, "Dockerfile:1:6"]);
    }
    place.ireko(&["tag", "app", &format!("{host}/busy/app:1")]).ok();
    place.ireko(&["push", &format!("{host}/busy/app:1")]).fails(3, &["503 Service Unavailable"]);
    other.sound();
    place.sound();
}

#[test]
fn proxies_of_dockers_configuration_reach_steps_and_containers() {
    let Some(place) = Place::with_base() else { return };
    fs::create_dir(place.path(".docker")).expect("a directory");
    let text = r#"{"proxies": {"default": {"httpProxy": "http://p.example:1", "noProxy": "a"}}}"#;
    fs::write(place.path(".docker/config.json"), text).expect("a file");
    place.dockerfile("FROM base\nRUN echo $http_proxy $HTTP_PROXY $NO_PROXY >/f\nCMD [\"cat\", \"/f\"]\n");
    place.build(&[]).ok();
    assert_eq!(place.ireko(&["run", "app"]).ok().stdout, "http://p.example:1 http://p.example:1 a\n");
    assert_eq!(
        place.ireko(&["run", "app", "sh", "-c", "echo $http_proxy $NO_PROXY"]).ok().stdout,
        "http://p.example:1 a\n"
    );
    assert_eq!(
        place.ireko(&["run", "-e", "http_proxy=own", "app", "sh", "-c", "echo $http_proxy"]).ok().stdout,
        "own\n"
    );
    // Neither in the image nor in the key.
    let config = place.config("app").to_string();
    assert!(!config.contains("p.example"), "{config}");
    fs::write(place.path(".docker/config.json"), "{}").expect("a file");
    assert_eq!(place.build(&[]).ok().ran(), Vec::<String>::new());
    let mut command = place.command(&["build", "-q", "--no-cache", "--http-proxy", "-t", "app", "context"]);
    Said::of(command.env("http_proxy", "http://q.example:2").output().expect("it runs")).ok();
    assert_eq!(place.ireko(&["run", "app"]).ok().stdout, "http://q.example:2 http://q.example:2\n");
    place.dockerfile("FROM base\nRUN [ -z \"$http_proxy\" ]\n");
    place.build(&["--no-cache"]).ok();
    fs::write(place.path(".docker/config.json"), "{\"proxies\": 1}").expect("a file");
    place.build(&[]).fails(2, &[".docker/config.json", "line 1, column 13"]);
}

#[test]
fn one_tag_is_pushed_by_two() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    let name = format!("{}/app:1", registry.address());
    let mut children = Vec::new();
    let mut others = Vec::new();
    for at in 0..3 {
        place.dockerfile(&format!("FROM base\nRUN echo {at} >/f\nCMD [\"cat\", \"/f\"]\n"));
        let tag = format!("app{at}");
        place.ireko(&["build", "-q", "-t", &tag, "context"]).ok();
        let archive = format!("{tag}.tar");
        place.ireko(&["save", "-o", &archive, &tag]).ok();
        let Some(other) = Place::new() else { return };
        other.ireko(&["load", "-q", "-i", place.path(&archive).to_str().expect("a path")]).ok();
        other.ireko(&["tag", &tag, &name]).ok();
        let child = other.command(&["push", &name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        children.push(child.expect("it starts"));
        others.push(other);
    }
    let mut digests = Vec::new();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        digests.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let Some(last) = Place::new() else { return };
    last.ireko(&["pull", "-q", &name]).ok();
    let said = last.ireko(&["run", &name]).ok().stdout;
    assert!(["0\n", "1\n", "2\n"].contains(&said.as_str()), "{said}");
}
