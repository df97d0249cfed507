//! What Dockerfiles mean.

use crate::support::{Place, Said};
use ireko_testkit::{Answer, Received, Server};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn a_stage_is_copied_from_and_runs() {
    let Some(place) = Place::with_base() else { return };
    place.file("src/hello.txt", "hello\n");
    place.built(
        "ARG BASE=base\nFROM ${BASE} AS build\nWORKDIR /src\nCOPY src .\nRUN tr a-z A-Z <hello.txt >/out\n\
         FROM base\nCOPY --from=build /out /out\nUSER app\nEXPOSE 80 53/udp\nVOLUME /data\nLABEL a=b\nSTOPSIGNAL SIGINT\nENTRYPOINT [\"cat\"]\nCMD [\"/out\"]\n",
    );
    assert_eq!(place.ireko(&["run", "--rm", "app"]).ok().stdout, "HELLO\n");
    let config = place.inspect()["Config"].clone();
    assert_eq!(config["User"], "app");
    assert_eq!(config["ExposedPorts"], json!({"53/udp": {}, "80/tcp": {}}));
    assert_eq!(config["Volumes"], json!({"/data": {}}));
    assert_eq!(config["Labels"]["a"], "b");
    assert_eq!(config["StopSignal"], "SIGINT");
    place.sound();
    place.nothing_mounted();
}

#[test]
fn heredocs_mounts_and_networks() {
    let Some(place) = Place::with_base() else { return };
    place.file("data/a", "A\n");
    place.built(
        "FROM base\nARG DIR=/cache\n\
         RUN --mount=type=bind,source=data,target=/in --mount=type=cache,target=$DIR --mount=type=tmpfs,target=/fast <<SCRIPT\n\
         set -e\ncat /in/a >/cache/a\ntouch /fast/x\n! touch /in/b 2>/dev/null\ncp /cache/a /a\nSCRIPT\n\
         RUN --network=none [ \"$(ls /sys/class/net)\" = lo ]\n\
         RUN cat <<EOF >/b\nvalue ${DIR}\nEOF\n",
    );
    assert_eq!(
        place.inside("cat /a /b; ls -d /in /cache /fast 2>&1 | grep -c 'No such' "),
        "A\nvalue /cache\n3\n"
    );
}

#[test]
fn what_a_step_writes_of_its_host_is_kept_or_refused() {
    let Some(place) = Place::with_base() else { return };
    place.file("f", "copied\n");
    place.built(
        "FROM base\nCOPY f /etc/hostname\n\
         RUN cat /etc/hostname >/seen && sed -i s/copied/edited/ /etc/hostname && cat /proc/sys/kernel/hostname >>/seen\n\
         RUN for file in hosts resolv.conf; do if echo x >>/etc/$file; then echo written >>/seen; fi; done\n\
         RUN cp -a /etc /etc2 && rm /etc/hostname && echo own >/etc/hostname && cp /etc/hostname /kept\n",
    );
    assert_eq!(place.inside("cat /seen /kept /etc2/hostname"), "copied\nbuildkitsandbox\nown\nedited\n");
}

#[test]
fn a_user_beyond_the_ids_of_an_ordinary_user() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nUSER 1000660000\nRUN id -u >/tmp/id\n");
    if crate::support::is_root() || crate::support::level() == Some("single-id") {
        place.build(&[]).ok();
        assert_eq!(place.inside("cat /tmp/id"), "1000660000\n");
    } else {
        place.build(&[]).fails(3, &["user 1000660000", "/etc/subuid", "Dockerfile:3"]);
    }
}

#[test]
fn owners_that_an_image_does_not_know() {
    let Some(place) = Place::with_base() else { return };
    place.file("a", "A\n");
    let said =
        place.built("FROM base\nUSER nobodyhere\nWORKDIR /w\nCOPY --chown=nobodyhere:root a /a\nUSER 0\n");
    assert_eq!(place.inside("stat -c '%u:%g' /w /a"), "0:0\n0:0\n");
    for line in ["line 3: WORKDIR /w: cannot use `nobodyhere`", "line 4: COPY --chown=nobodyhere:root a /a: "]
    {
        assert!(said.stderr.contains(line), "{}", said.stderr);
    }
    place.built("FROM scratch\nCOPY --chown=root:root a /a\n");
    place.dockerfile("FROM base\nCOPY --link --chown=app a /a\n");
    place.build(&[]).fails(2, &["`app`: the image has no user", "Dockerfile:2:21", "give a number"]);
}

#[test]
fn heredocs_keep_bytes_of_any_encoding() {
    let Some(place) = Place::with_base() else { return };
    let text =
        b"# caf\xe9\nFROM base\nCOPY <<'LATIN' <<-\"TABS\" /\ncaf\xe9 $HOME\nLATIN\n\t\xff\xfe\nTABS\n\
        RUN <<SCRIPT\n#!/bin/sh\nprintf 'caf\xe9' >/script\nSCRIPT\n";
    fs::write(place.context().join("Dockerfile"), text).expect("a Dockerfile");
    let said = place.build(&[]).ok();
    assert!(!said.stderr.contains("UTF-8"), "{}", said.stderr);
    let seen = place.inside("for file in LATIN TABS script; do od -An -tx1 /$file; done");
    assert_eq!(seen, " 63 61 66 e9 20 24 48 4f 4d 45 0a\n ff fe 0a\n 63 61 66 e9\n");
}

#[test]
fn a_tmpfs_has_the_mode_of_what_it_covers() {
    let Some(place) = Place::with_base() else { return };
    place.built(
        "FROM base\nRUN mkdir -m 750 /closed && ln -s closed /link\n\
         RUN --mount=type=tmpfs,target=/closed stat -c %a /closed >/modes\n\
         RUN --mount=type=tmpfs,target=/link stat -c %a /closed >>/modes\n\
         RUN --mount=type=tmpfs,target=/fresh stat -c %a /fresh >>/modes\n",
    );
    assert_eq!(place.inside("cat /modes"), "750\n750\n1777\n");
}

#[test]
fn the_hosts_of_a_step_are_buildkits() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nRUN cp /etc/hosts /seen\n");
    let hosts = "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    assert_eq!(place.inside("cat /seen"), hosts);
}

#[test]
fn copies_land_where_links_lead() {
    let Some(place) = Place::with_base() else { return };
    place.file("tool", "#!/bin/sh\necho tool\n");
    fs::set_permissions(place.context().join("tool"), fs::Permissions::from_mode(0o755)).expect("a mode");
    symlink("tool", place.context().join("link")).expect("a link");
    place.built("FROM base\nCOPY tool /bin/tool\nCOPY --chown=app:extra --chmod=600 tool /home/app/\nCOPY . /all/\nRUN sh -c tool\n");
    let listing = place.inside("tool; stat -c '%a %u:%g' /home/app/tool; readlink /bin; readlink /all/link; test -f /usr/bin/tool && echo there");
    assert_eq!(listing, "tool\n600 1000:1001\nusr/bin\ntool\nthere\n");
}

#[test]
fn an_ignore_file_may_hide_everything_but_the_sources() {
    let Some(place) = Place::with_base() else { return };
    place.file(".dockerignore", ".*\nDockerfile*\nsecret\n!.keep\n");
    place.file(".keep", "");
    place.file(".git/config", "");
    place.file("secret", "x");
    place.file("a", "x");
    place.built("FROM base\nCOPY . /all\n");
    assert_eq!(place.inside("ls -A /all"), ".keep\na\n");
    let listing = place.ireko(&["context", "context"]).ok().stdout;
    assert!(listing.contains("2 files") && listing.contains("secret"), "{listing}");
}

#[test]
fn contexts_come_by_name_by_layout_and_by_pipe() {
    let Some(place) = Place::with_base() else { return };
    let other = place.path("other");
    fs::create_dir(&other).expect("a directory");
    fs::write(other.join("b"), "B\n").expect("a file");
    place.dockerfile("FROM base\nCOPY --from=more b /b\n");
    place.build(&["--build-context", "more=other"]).ok();
    assert_eq!(place.inside("cat /b"), "B\n");

    place
        .ireko(&[
            "build",
            "-q",
            "-o",
            "type=oci,dest=layout,tar=false",
            "-t",
            "x:1",
            "context",
            "--build-context",
            "more=other",
        ])
        .ok();
    place.dockerfile("FROM laid\nCOPY --from=laid /b /c\n");
    place.build(&["--build-context", "laid=oci-layout://layout"]).ok();
    assert_eq!(place.inside("cat /c"), "B\n");

    let piped = place.ireko_fed(&["build", "-q", "-"], b"FROM base\nRUN true\n").ok();
    assert!(piped.stdout.starts_with("sha256:"), "{}", piped.stdout);
    let tar = std::process::Command::new("tar")
        .args(["-C", "context", "-cz", "."])
        .current_dir(place.path(""))
        .output();
    place.file("a", "x");
    if let Ok(tar) = tar {
        let args = [
            "build",
            "-q",
            "-t",
            "app",
            "--build-context",
            "laid=docker-image://base",
            "-f",
            "Dockerfile",
            "-",
        ];
        place.dockerfile("FROM base\n");
        place.ireko_fed(&args, &tar.stdout).fails(2, &["/b"]);
    }
}

#[test]
fn stages_that_nobody_needs_are_not_built() {
    let Some(place) = Place::with_base() else { return };
    place.built(
        "FROM base AS broken\nRUN false\nFROM nowhere.invalid/x AS missing\nFROM base AS good\nRUN true\n",
    );
    place.dockerfile("FROM base AS a\nRUN echo A >/x\nFROM base AS b\nRUN false\n");
    place.build(&["--target", "a"]).ok();
    assert_eq!(place.inside("cat /x"), "A\n");
}

#[test]
fn a_step_sees_a_container_and_leaves_nothing_of_it() {
    let Some(place) = Place::with_base() else { return };
    place.built(
        "FROM scratch AS empty\nFROM base\nRUN grep -q 'Seccomp:.2' /proc/self/status && grep -q 'CapEff:.00000000a80425fb' /proc/self/status\n\
         RUN test -c /dev/null && test -d /dev/shm && test -s /etc/resolv.conf && grep -q localhost /etc/hosts\n\
         RUN (sleep 100 &) ; true\nRUN id -G | grep -q 0\nUSER app\nRUN id -u | grep -qx 1000 && id -G | grep -qw 1001 && [ \"$HOME\" = /home/app ]\n",
    );
    let out = place.path("root");
    place.ireko(&["build", "-q", "-o", out.to_str().expect("a path"), "context"]).ok();
    for path in ["etc/resolv.conf", "etc/hosts", "etc/hostname", "proc", "sys", "dev"] {
        assert!(!out.join(path).exists(), "/{path} was left in a layer");
    }
}

#[test]
fn many_layers_build_load_and_run() {
    let Some(place) = Place::with_base() else { return };
    let mut text = "FROM base\n".to_owned();
    for at in 0..120 {
        text.push_str(&format!("COPY <<E /n/{at}\n{at}\nE\n"));
    }
    place.built(&text);
    assert_eq!(place.inside("ls /n | wc -l"), "120\n");
}

#[test]
fn awkward_files_survive() {
    let Some(place) = Place::with_base() else { return };
    let long = "n".repeat(200);
    place.built(&format!(
        "FROM base\nRUN mkdir -p /w/{long}/{long} && echo x >/w/{long}/{long}/f && ln /w/{long}/{long}/f /w/hard && ln -s nowhere /w/soft \
         && mkfifo /w/pipe && touch /w/sticky && chmod 7755 /w/sticky && printf x >\"$(printf '/w/\\377')\" \
         && dd if=/dev/zero of=/w/sparse bs=1 count=1 seek=100M 2>/dev/null\nRUN rm -r /w/{long} && rm -rf /var && mkdir /var && echo new >/var/only\n"
    ));
    let seen = place.inside("cat /w/hard; readlink /w/soft; test -p /w/pipe && stat -c %a /w/sticky; ls /w | wc -l; ls /var; stat -c %s /w/sparse");
    assert_eq!(seen, "x\nnowhere\n7755\n6\nonly\n104857601\n");
}

#[test]
fn a_dockerfile_alone_has_an_empty_context() {
    let Some(place) = Place::new() else { return };
    let fed = |text: &str| place.ireko_fed(&["build", "-q", "-"], text.as_bytes());
    fed("FROM scratch\nCOPY . /all\n").ok();
    fed("FROM scratch\nCOPY a /a\n").fails(2, &["`a` is not in the context", "Dockerfile:2:6"]);
}

#[test]
fn stages_that_stand_on_each_other_twice_are_looked_up_at_once() {
    let Some(place) = Place::with_base() else { return };
    let mut text = "FROM base AS s0\nRUN echo x >/x\n".to_owned();
    for at in 1..60 {
        let below = at - 1;
        text.push_str(&format!("FROM s{below} AS s{at}\nCOPY --from=s{below} /x /x{at}\n"));
    }
    place.built(&text);
    // Each stage has two ways to the one below: walking all of them would never end.
    place.built(&text);
    place.sound();
}

#[test]
fn a_named_context_never_stands_in_for_the_main_one() {
    let Some(place) = Place::with_base() else { return };
    place.file("f", "main\n");
    std::fs::create_dir(place.path("other")).unwrap();
    std::fs::write(place.path("other/f"), "other\n").unwrap();
    place.dockerfile("FROM base\nCOPY f /f\n");
    place.build(&["--build-context", "context=other"]).ok();
    assert_eq!(place.inside("cat /f"), "main\n");
}

/// More directories than the caller may have open files; the step has the caller's limit all the same.
#[test]
fn trees_as_deep_as_paths_can_be() {
    let Some(place) = Place::with_base() else { return };
    let deep = "i=0; while [ $i -lt 1900 ]; do mkdir d; cd d || exit 1; i=$((i+1)); done; ulimit -n >leaf";
    place.dockerfile(&format!(
        "FROM base AS deep\nRUN mkdir /x; cd /x; {deep}\nFROM base\nCOPY --from=deep /x /y\n"
    ));
    let args = ["build", "-t", "app", "-o", "type=oci,dest=out.tar", "context"];
    let output = place.command_by(&["prlimit", "--nofile=300:8000"], &args).output().expect("a build");
    Said::of(output).ok();
    let count = "cd /y; i=0; while cd d 2>/dev/null; do i=$((i+1)); done; echo $i; cat leaf";
    assert_eq!(place.inside(count), "1900\n300\n");
}

#[test]
fn hundreds_of_copies_at_once() {
    let Some(place) = Place::with_base() else { return };
    let mut text = String::new();
    for at in 0..300 {
        place.file(&format!("f{at}"), &at.to_string());
        text += &format!("FROM scratch AS s{at}\nCOPY f{at} /\n");
    }
    text += "FROM base\n";
    (0..300).for_each(|at| text += &format!("COPY --from=s{at} /f{at} /all/\n"));
    place.built(&(text + "RUN cat /all/* | wc -c >/count\n"));
    assert_eq!(place.inside("cat /count"), "790\n");
}

#[test]
fn an_array_that_is_not_json_is_warned_of_with_its_place() {
    let Some(place) = Place::with_base() else { return };
    let said = place.built("FROM base\nCMD ['echo', 'hi']\n");
    for says in ["CMD takes it as shell text", "Dockerfile:2:5", "double quotes"] {
        assert!(said.stderr.contains(says), "{}", said.stderr);
    }
    assert_eq!(place.inspect()["Config"]["Cmd"], json!(["/bin/sh", "-c", "['echo', 'hi']"]));
    assert!(!place.built("FROM base\nRUN [ -d /tmp ] && true\n").stderr.contains("warning"));
}

#[test]
fn proxies_reach_steps_only_as_build_arguments() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN env | grep -i proxy | sort >/seen; true\n");
    let with_env = |args: &[&str]| {
        let mut all = vec!["build", "--progress=plain", "-t", "app"];
        all.extend(args);
        all.push("context");
        let mut command = place.command(&all);
        command.env("HTTP_PROXY", "http://outer.invalid").env("no_proxy", "inner");
        Said::of(command.output().expect("a process")).ok()
    };
    // This process's own proxies are for its own errands.
    with_env(&[]);
    assert_eq!(place.inside("cat /seen"), "");
    // As a build argument it needs no ARG, and a name alone takes the value that is here.
    let said = with_env(&["--no-cache", "--build-arg", "HTTP_PROXY", "--build-arg", "https_proxy=http://p"]);
    assert!(!said.stderr.contains("no ARG of the Dockerfile"), "{}", said.stderr);
    assert_eq!(
        place.inside("cat /seen"),
        "HTTPS_PROXY=http://p\nHTTP_PROXY=http://outer.invalid\nhttp_proxy=http://outer.invalid\nhttps_proxy=http://p\n"
    );
    let config = place.config("app").to_string();
    assert!(!config.contains("outer.invalid") && !config.contains("http://p"), "{config}");
    // Another proxy fetches the same bytes: nothing runs again.
    let again = with_env(&["--build-arg", "HTTP_PROXY=http://other.invalid"]);
    assert_eq!(again.ran(), Vec::<String>::new(), "{}", again.stderr);
    // One that the Dockerfile declares is an argument as any other: in the key and in the history.
    place.dockerfile("FROM base\nARG HTTP_PROXY\nRUN echo $HTTP_PROXY >/seen\n");
    place.build(&["--build-arg", "HTTP_PROXY=http://one"]).ok();
    let said = place.build(&["--build-arg", "HTTP_PROXY=http://two"]).ok();
    assert_eq!(said.ran().len(), 1, "{}", said.stderr);
    assert!(place.config("app").to_string().contains("HTTP_PROXY=http://two"));
}

#[test]
fn images_are_pulled_through_the_proxy_of_the_environment() {
    let Some(place) = Place::new() else { return };
    let proxy = Server::start(|_: &Received| Answer::status(404));
    place.dockerfile("FROM registry.invalid/base:1\n");
    let mut command = place.command(&["build", "context"]);
    command.env("http_proxy", format!("http://{}", proxy.address()));
    command.env("IREKO_INSECURE_REGISTRIES", "registry.invalid");
    Said::of(command.output().expect("a process")).fails(2, &["registry.invalid/base:1"]);
    let asked = proxy.lines();
    assert!(
        asked.iter().any(|line| line.contains("http://registry.invalid/v2/base/manifests/1")),
        "{asked:?}"
    );
}

#[test]
fn variables_of_docker_stand_for_flags_that_are_not_given() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN true\n");
    let with = |name: &str, value: &str, args: &[&str]| {
        let mut all = vec!["build"];
        all.extend(args);
        all.push("context");
        Said::of(place.command(&all).env(name, value).output().expect("a process"))
    };
    let progress = |value: &str, args: &[&str]| with("BUILDKIT_PROGRESS", value, args);
    for (value, args, json, quiet) in [
        ("rawjson", &[] as &[&str], true, false),
        ("quiet", &[], false, true),
        ("none", &[], false, true),
        ("plain", &[], false, false),
        ("auto", &[], false, false),
        ("quiet", &["--progress=rawjson"], true, false),
        ("rawjson", &["--progress=plain"], false, false),
        ("rawjson", &["-q"], false, true),
        ("nonsense", &["--progress=plain"], false, false),
    ] {
        let said = progress(value, args).ok();
        assert_eq!(said.stderr.starts_with('{'), json, "{value} {args:?}: {}", said.stderr);
        assert_eq!(said.stderr.is_empty(), quiet, "{value} {args:?}: {}", said.stderr);
    }
    progress("nonsense", &[]).fails(2, &["`BUILDKIT_PROGRESS` is `nonsense`", "--progress"]);

    let platform = |value: &str, args: &[&str]| with("DOCKER_DEFAULT_PLATFORM", value, args);
    let config = place.config("base");
    let host = format!("linux/{}", config["architecture"].as_str().expect("an architecture"));
    platform(&host, &[]).ok();
    platform("", &[]).ok();
    platform("linux/riscv64", &["--platform", &host]).ok();
    platform("linux/riscv64", &[]).fails(2, &[&format!("has no image for linux/riscv64; it has {host}")]);
    platform("not a platform", &[]).fails(2, &["DOCKER_DEFAULT_PLATFORM=not a platform` is no platform"]);
}
