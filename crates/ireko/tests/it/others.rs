//! The command lines of Docker, buildx and kaniko.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it made has failed")]

use crate::daemons::Registry;
use crate::support::{Place, Said};
use ireko_testkit::{GitRepo, git_over_http};
use serde_json::Value;
use std::fs;
use std::os::unix::process::CommandExt;

/// Runs the binary under kaniko's name.
fn executor(place: &Place, args: &[&str]) -> Said {
    let mut command = place.command(args);
    command.arg0("/kaniko/executor");
    Said::of(command.output().unwrap())
}

fn read(place: &Place, name: &str) -> String {
    fs::read_to_string(place.path(name)).unwrap()
}

#[test]
fn kaniko_pushes_and_tells_the_digest() {
    let Some(place) = Place::with_base() else { return };
    let Some(registry) = Registry::start() else { return };
    place.dockerfile("FROM base\nARG WHO\nRUN echo $WHO > /who\n");
    let name = format!("{}/team/app", registry.address());
    let (one, two) = (format!("--destination={name}:1"), format!("{name}:2"));
    let said = executor(
        &place,
        &[
            "--context",
            "dir://context",
            &one,
            "-d",
            &two,
            "--build-arg=WHO=kaniko",
            "--label",
            "a=b",
            "--annotation=org.example.note=x",
            "--digest-file",
            "deep/digest",
            "--image-name-with-digest-file=names",
            "--image-name-tag-with-digest-file=tags",
            "--use-new-run",
            "--cache=true",
            "--cache-repo=r.io/cache",
            "--log-format=text",
        ],
    )
    .ok();
    assert!(said.stderr.contains("warning: `--use-new-run`: without effect here"), "{}", said.stderr);
    assert!(said.stderr.contains("warning: `--cache-repo`: there is no cache elsewhere"), "{}", said.stderr);
    let digest = read(&place, "deep/digest");
    assert!(digest.starts_with("sha256:") && !digest.ends_with('\n'), "{digest:?}");
    assert_eq!(read(&place, "names"), format!("{name}@{digest}\n{name}@{digest}\n"));
    assert_eq!(read(&place, "tags"), format!("{name}:1@{digest}\n{name}:2@{digest}\n"));

    // The registry has it under both names, and Docker's words show it.
    let format = "{{.Manifest.Digest}}";
    for tag in [format!("{name}:1"), two] {
        let said = place.ireko(&["buildx", "imagetools", "inspect", "--format", format, &tag]).ok();
        assert_eq!(said.stdout.trim(), digest);
    }
    let text = place.ireko(&["manifest", &format!("{name}:1")]).ok().stdout;
    assert!(text.contains(&format!("Digest:    {digest}")), "{text}");
    let raw = place.ireko(&["manifest", "inspect", &format!("{name}:1")]).ok().stdout;
    let raw: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(raw["annotations"]["org.example.note"], "x");
    let name = format!("{name}:1");
    let seen = place.ireko(&["run", "--rm", "--entrypoint", "/bin/sh", &name, "-c", "cat /who"]).ok();
    assert_eq!(seen.stdout, "kaniko\n");
    let label = place.ireko(&["inspect", "-f", "{{.Config.Labels.a}}", &name]).ok();
    assert_eq!(label.stdout, "b\n");
}

#[test]
fn kaniko_writes_archives_without_a_registry() {
    let Some(place) = Place::with_base() else { return };
    place.file("sub/file", "x");
    place.file("sub/Own", "FROM base\nCOPY file /file\n");
    let tar = ["--no-push", "--tar-path", "app.tar", "--destination=app:1", "--digest-file", "digest"];
    let mut all = vec!["kaniko", "-c", "context", "--context-sub-path=sub", "-f", "Own"];
    all.extend(tar);
    place.ireko(&all).ok();
    let digest = read(&place, "digest");
    assert!(digest.starts_with("sha256:"), "{digest}");
    place.ireko(&["rmi", "app:1"]).ok();
    assert!(place.ireko(&["image", "load", "-i", "app.tar"]).ok().stdout.contains("app:1"));

    // A layout has the digest that was told of without it.
    all.extend(["--oci-layout-path", "layout"]);
    place.ireko(&all).ok();
    assert_eq!(read(&place, "digest"), digest);
    let index: Value = serde_json::from_str(&read(&place, "layout/index.json")).unwrap();
    assert_eq!(index["manifests"][0]["digest"], digest.as_str());

    // A packed context, as a file and on standard input.
    let context = place.context().join("sub");
    let packed = place.path("packed.tar.gz");
    let mut tar = std::process::Command::new("tar");
    let made = tar.arg("-czf").arg(&packed).arg("-C").arg(context).arg(".").status();
    assert!(made.unwrap().success());
    let url = format!("tar://{}", packed.display());
    executor(&place, &["--context", &url, "-f", "Own", "--no-push", "-d", "packed"]).ok();
    let args = ["kaniko", "--context=tar://stdin", "-f", "Own", "--no-push", "-d", "fed"];
    place.ireko_fed(&args, &fs::read(&packed).unwrap()).ok();
    assert_eq!(place.id("packed"), place.id("fed"));

    // Only the cache remembers what goes nowhere.
    let before = place.ireko(&["images", "-q"]).ok().stdout;
    place.file("sub/file", "y");
    executor(&place, &["-c", "context/sub", "-f", "Own", "--no-push"]).ok();
    assert_eq!(place.ireko(&["images", "-q"]).ok().stdout, before);
}

#[test]
fn mistakes_of_kaniko_are_told() {
    let Some(place) = Place::new() else { return };
    place.dockerfile("FROM scratch\nCOPY Dockerfile /\n");
    let fails = |args: &[&str], says: &[&str]| drop(executor(&place, args).fails(2, says));
    fails(&["-c", "context"], &["there is no `--destination`", "--no-push"]);
    fails(&["-c", "context", "--no-push", "--destinaton=a"], &["did you mean `--destination`?"]);
    fails(
        &["-c", "context", "--no-push", "--single-snapshot"],
        &["`--single-snapshot`", "COPY --from=0 / /"],
    );
    fails(&["-c", "s3://b/c.tar.gz", "--no-push"], &["S3", "tar://FILE"]);
    fails(&["-c", "tar:///nowhere.tar", "--no-push"], &["there is no such file"]);
    fails(&["--no-push"], &["/workspace/"]);
    fails(&["-c", "context", "-f", "Nofile", "--no-push"], &["`Nofile`", "context"]);
    fails(&["-c", "context", "--no-push", "--compression=xz", "--tar-path=a"], &["compression=xz"]);
    assert!(executor(&place, &["--help"]).ok().stdout.contains("--digest-file"));
    assert!(executor(&place, &["version"]).ok().stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn buildx_builds_and_pushes() {
    let Some(place) = Place::with_base() else { return };
    let Some(registry) = Registry::start() else { return };
    place.dockerfile("FROM base\nRUN echo hi > /hi\n");
    // What CI scripts do before.
    assert_eq!(place.ireko(&["buildx", "create", "--use", "--name", "ci"]).ok().stdout, "ci\n");
    assert!(place.ireko(&["buildx", "inspect", "--bootstrap"]).ok().stdout.contains("Platforms: linux/"));
    let name = format!("{}/app:1", registry.address());
    let said = place
        .ireko(&[
            "buildx",
            "--builder",
            "ci",
            "build",
            "--progress=plain",
            "--push",
            "--provenance=mode=min",
            "--cache-from=type=gha",
            "--cache-to=type=gha,mode=max",
            "--builder=ci",
            "--digest-file=digest",
            "-t",
            &name,
            "context",
        ])
        .ok();
    for text in [
        "warning: `--provenance`: no attestation is made",
        "warning: `--cache-from` and `--cache-to`: there is no cache elsewhere yet",
        "warning: `--builder ci`: there are no builders",
    ] {
        assert!(said.stderr.contains(text), "`{text}` is not in:\n{}", said.stderr);
    }
    let digest = place.ireko(&["buildx", "imagetools", "inspect", &name, "--format", "{{.Manifest.Digest}}"]);
    assert_eq!(digest.ok().stdout.trim(), read(&place, "digest"));

    place.build(&["--sbom=true"]).fails(2, &["`--sbom` is not supported"]);
    place.build(&["--squash"]).fails(2, &["`--squash` is not supported", "one layer"]);
    place.build(&["--dns", "1.1.1.1"]).fails(2, &["`--dns` is not supported by `ireko build`"]);
    place.ireko(&["buildx", "bake"]).fails(2, &["`buildx bake` is not supported"]);
}

#[test]
fn dockers_words_work() {
    let Some(place) = Place::with_base() else { return };
    let list = place.ireko(&["image", "ls"]).ok().stdout;
    assert!(list.contains("base") && list == place.ireko(&["images"]).ok().stdout, "{list}");
    let id = place.id("base");
    assert_eq!(place.ireko(&["image", "inspect", "--format", "{{.Id}}", "base"]).ok().stdout.trim(), id);
    let tags = place.ireko(&["inspect", "--type=image", "-f", "{{index .RepoTags 0}}", "base"]).ok().stdout;
    assert_eq!(tags.trim(), "base:latest");
    place.ireko(&["image", "tag", "base", "other:1"]).ok();
    assert_eq!(place.ireko(&["container", "run", "--rm", "other:1", "echo", "hi"]).ok().stdout, "hi\n");
    place.ireko(&["image", "save", "-o", "other.tar", "other:1"]).ok();
    place.ireko(&["image", "rm", "other:1"]).ok();
    place.ireko(&["image", "load", "-i", "other.tar"]).ok();
    assert!(place.ireko(&["image", "history", "other:1"]).ok().stdout.contains("COPY"));
    let format = "{{.Repository}}:{{.Tag}}";
    let names = place.ireko(&["images", "--format", format]).ok().stdout;
    assert_eq!(names, "base:latest\nother:1\n");
    let format = "table {{.Repository}}\\t{{.ID}}";
    let listed = place.ireko(&["images", "--format", format, "other"]).ok().stdout;
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>()[..3], ["REPOSITORY", "IMAGE", "ID"], "{listed}");
    let version = env!("CARGO_PKG_VERSION");
    let format = "{{.Server.Version}}";
    assert_eq!(place.ireko(&["version", "--format", format]).ok().stdout.trim(), version);
    assert_eq!(place.ireko(&["-v"]).ok().stdout, format!("ireko {version}\n"));
    assert_eq!(place.ireko(&["buildx", "version"]).ok().stdout, format!("ireko {version}\n"));
    assert!(place.ireko(&["version"]).ok().stdout.contains(version));
    let info = place.ireko(&["info"]).ok().stdout;
    assert!(info.contains("Images: 1") && info.contains("Sandbox level: "), "{info}");

    place.dockerfile("FROM base\nRUN true\n");
    let args = ["-D", "--log-level=error", "--config", "cfg", "image", "build", "-q", "-t", "app", "context"];
    place.ireko(&args).ok();
    let before = place.ireko(&["images", "-q"]).ok().stdout;
    place.ireko(&["builder", "build", "-q", "-o", "type=cacheonly", "-t", "none", "context"]).ok();
    assert_eq!(place.ireko(&["images", "-q"]).ok().stdout, before);
    place.ireko(&["inspect", "none"]).fails(2, &["no image `none`"]);

    // Mistakes.
    place.ireko(&["inspect", "-f", "{{.Nope}}", "base"]).fails(2, &["there is no `Nope`", "Id"]);
    place
        .ireko(&["run", "--dns", "1.1.1.1", "base"])
        .fails(125, &["`--dns` is not supported by `ireko run`"]);
    place
        .ireko(&["network", "create", "n"])
        .fails(2, &["no command `network create`", "hint: there are no networks"]);
    place.ireko(&["--log-level", "loud", "images"]).fails(2, &["no level"]);
}

#[test]
fn flags_of_docker_run_that_a_container_has_no_use_for_are_taken() {
    let Some(place) = Place::with_base() else { return };
    let said = place.ireko(&[
        "run",
        "--rm",
        "-l",
        "ci=1",
        "--no-healthcheck",
        "--log-driver=none",
        "--stop-timeout",
        "3",
        "--restart=no",
        "--pull=never",
        "--add-host",
        "far:10.0.0.7",
        "base",
        "grep",
        "far",
        "/etc/hosts",
    ]);
    assert_eq!(said.ok().stdout, "10.0.0.7\tfar\n");
    assert_eq!(place.ireko(&["run", "-h", "here", "base", "hostname"]).ok().stdout, "here\n");
    assert!(place.ireko(&["run", "--help"]).ok().stdout.contains("--hostname"));
    place.ireko(&["run", "--add-host", "far", "base"]).fails(125, &["`--add-host far`"]);
    place.ireko(&["run", "--restart=always", "base"]).fails(125, &["--restart"]);

    let Some(registry) = Registry::start() else { return };
    let name = format!("{}/base:1", registry.address());
    place.ireko(&["tag", "base", &name]).ok();
    place.ireko(&["push", "-q", "--disable-content-trust", &name]).ok();
    place.ireko(&["rmi", &name]).ok();
    place.ireko(&["run", &name, "true"]).fails(125, &["there is no image"]);
    assert_eq!(place.ireko(&["run", "--pull=missing", &name, "echo", "hi"]).ok().stdout, "hi\n");
    assert_eq!(place.ireko(&["run", "--pull", "always", &name, "echo", "hi"]).ok().stdout, "hi\n");
}

#[test]
fn kaniko_builds_repositories() {
    let Some(place) = Place::with_base() else { return };
    let repo = GitRepo::new(&place.path("repos/app"));
    repo.file("sub/file", "one\n").file("sub/Dockerfile", "FROM base\nCOPY file /file\n").commit("first");
    let first = repo.git(["rev-parse", "HEAD"]).trim().to_owned();
    repo.file("sub/file", "two\n").commit("second");
    let server = git_over_http(&place.path("repos"), None);
    let url = server.url("/app/.git").replace("http://", "git://");
    let build = |context: &str, more: &[&str]| {
        let mut args =
            vec!["kaniko", "--context", context, "--context-sub-path", "sub", "--no-push", "-d", "app"];
        args.extend(more);
        Said::of(place.command(&args).env("GIT_PULL_METHOD", "http").output().unwrap())
    };
    build(&url, &[]).ok();
    assert_eq!(place.inside("cat /file"), "two\n");
    build(&format!("{url}#refs/heads/main#{first}"), &[]).ok();
    assert_eq!(place.inside("cat /file"), "one\n");
    build(&url, &["--git", "branch=main"]).ok();
    assert_eq!(place.inside("cat /file"), "two\n");
    build(&url, &["--git", "branch=mian"]).fails(2, &["no ref `mian`"]);
}

#[test]
fn an_ignore_file_may_be_named() {
    let Some(place) = Place::with_base() else { return };
    place.file("keep", "");
    place.file("drop", "");
    fs::write(place.path("ignore"), "drop\n").unwrap();
    place.dockerfile("FROM base\nCOPY . /c/\n");
    place.build(&["--ignorefile", "ignore"]).ok();
    assert_eq!(place.inside("ls /c"), "Dockerfile\nkeep\n");
    place.build(&["--ignorefile", "nowhere"]).fails(2, &["cannot read ignore file `nowhere`"]);
}
