//! Plans of small Dockerfiles, as pictures.

use super::*;
use expect_test::{Expect, expect};
use ireko_graph::{About, Reuse};
use ireko_oci::{Digest, History, ImageConfig, Platform};

mod laws;
mod mistakes;
mod platforms;

/// A base image by its name: `busybox` sets PATH and a command, `trigger` has ONBUILD triggers, `bare` says nothing.
fn image_for(name: &str, platform: &Platform) -> ImageFact {
    let mut config = ImageConfig::for_platform(platform);
    // `alike` has the same files on every platform.
    let layer = if name == "alike" { name.to_owned() } else { format!("{name} {platform}") };
    let layer = Digest::of(layer.as_bytes());
    if name != "hollow" {
        config.rootfs.diff_ids = vec![layer];
        config.history = vec![History { created_by: format!("ADD {name}.tar /"), ..History::default() }];
    }
    let inner = &mut config.config;
    match name {
        "busybox" => {
            inner.env = vec!["PATH=/bin".to_owned(), "BASE=1".to_owned()];
            inner.cmd = vec!["sh".to_owned()];
        }
        "trigger" => {
            inner.on_build = vec!["COPY . /src".to_owned(), "RUN make $FLAGS".to_owned()];
            inner.working_dir = "/srv".to_owned();
            inner.user = "app".to_owned();
        }
        "trigger-from" => inner.on_build = vec!["COPY --from=tools /bin/tool /bin/".to_owned()],
        _ => {}
    }
    let config_digest = Digest::of(&config.to_json());
    ImageFact { config, config_digest, resolved: None }
}

fn input(dockerfile: &str) -> PlanInput {
    let (ast, problems) = ireko_dockerfile::parse("Dockerfile", dockerfile.as_bytes());
    let wrong = problems.iter().find(|problem| problem.is_error());
    assert!(wrong.is_none(), "{}", wrong.map(|problem| problem.message.clone()).unwrap_or_default());
    PlanInput { platform: Platform::new("linux", "amd64", ""), ..PlanInput::new(ast) }
}

/// Plans, answering needs; gives also what was asked for.
fn settle(input: &PlanInput) -> (Planned, Vec<String>) {
    let (mut facts, mut asked) = (Facts::default(), Vec::new());
    loop {
        let Planned::Needs(needs) = plan(input, &facts) else { return (plan(input, &facts), asked) };
        for need in &needs {
            let platform = &need.platform;
            let of = if *platform == input.platform { String::new() } else { format!(" for {platform}") };
            asked.push(format!("{}{of}", need.image));
            facts.answer(need, image_for(&need.display, platform));
        }
    }
}

fn show(input: &PlanInput) -> String {
    let (planned, asked) = settle(input);
    let mut out: String = asked.iter().map(|name| format!("asked {name}\n")).collect();
    match planned {
        Planned::Needs(_) => unreachable!("settled"),
        Planned::Broken(faults) => out.extend(faults.iter().map(|fault| mistakes::show(fault, &input.ast))),
        Planned::Ready(plan) => {
            out.push_str(&plan.graph.picture());
            for output in &plan.outputs {
                let node = output.node.map_or("-".to_owned(), |node| node.0.to_string());
                out.push_str(&format!("{} = {node}\n", output.stage));
                let mut config = output.config.clone();
                for entry in std::mem::take(&mut config.history) {
                    let mark = if entry.empty_layer { ' ' } else { '+' };
                    out.push_str(&format!("  {mark} {}\n", entry.created_by));
                }
                config.rootfs = Default::default();
                let json = String::from_utf8(config.to_json()).unwrap();
                out.push_str(&format!("  {json}\n"));
            }
            for warning in &plan.warnings {
                out.push_str(&mistakes::show(warning, &input.ast));
            }
        }
    }
    out
}

#[track_caller]
fn check(dockerfile: &str, expect: Expect) {
    expect.assert_eq(&show(&input(dockerfile)));
}

#[track_caller]
fn check_with(dockerfile: &str, change: impl FnOnce(&mut PlanInput), expect: Expect) {
    let mut input = input(dockerfile);
    change(&mut input);
    expect.assert_eq(&show(&input));
}

fn build_arg(name: &str, value: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(value.to_owned()))
}

#[test]
fn metadata_makes_no_node() {
    check(
        "FROM scratch\nENV A=1 B=\"two words\"\nENV C $A\nLABEL x=$A\nUSER 1:2\nEXPOSE 80 90-91/udp\nVOLUME /a /b\n\
         STOPSIGNAL SIGTERM\nSHELL [\"/bin/bash\", \"-c\"]\nENTRYPOINT run it\nCMD [\"a\", \"b c\"]\n\
         HEALTHCHECK --interval=90s --retries=3 CMD curl x\nMAINTAINER me\nONBUILD RUN x\n",
        expect![[r#"
            0 = -
                ENV A=1 B=two words
                ENV C=1
                LABEL x=1
                USER 1:2
                EXPOSE [80/tcp 90/udp 91/udp]
                VOLUME [/a /b]
                STOPSIGNAL SIGTERM
                SHELL [/bin/bash -c]
                ENTRYPOINT ["/bin/bash" "-c" "run it"]
                CMD ["a" "b c"]
                HEALTHCHECK {Test:[CMD-SHELL curl x] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}
                MAINTAINER me
              {"architecture":"amd64","author":"me","config":{"User":"1:2","ExposedPorts":{"80/tcp":{},"90/udp":{},"91/udp":{}},"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=1","B=two words","C=1"],"Entrypoint":["/bin/bash","-c","run it"],"Cmd":["a","b c"],"Volumes":{"/a":{},"/b":{}},"WorkingDir":"/","Labels":{"x":"1"},"StopSignal":"SIGTERM","ArgsEscaped":true,"Healthcheck":{"Test":["CMD-SHELL","curl x"],"Interval":90000000000,"Retries":3},"OnBuild":["RUN x"],"Shell":["/bin/bash","-c"]},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn healthcheck_none_and_exec() {
    check(
        "FROM scratch\nHEALTHCHECK NONE\nHEALTHCHECK CMD [\"a\", \"b\"]\n",
        expect![[r#"
        0 = -
            HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}
            HEALTHCHECK {Test:[CMD a b] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}
          {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/","Healthcheck":{"Test":["CMD","a","b"]}},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
    "#]],
    );
}

#[test]
fn entrypoint_forgets_the_command_of_the_base() {
    check(
        "FROM busybox\nENTRYPOINT [\"x\"]\n",
        expect![[r#"
            asked docker.io/library/busybox:latest
            0 <- - [] image busybox
            0 = 0
              + ADD busybox.tar /
                ENTRYPOINT ["x"]
              {"architecture":"amd64","config":{"Env":["PATH=/bin","BASE=1"],"Entrypoint":["x"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
    check(
        "FROM busybox\nCMD [\"a\"]\nENTRYPOINT [\"x\"]\n",
        expect![[r#"
            asked docker.io/library/busybox:latest
            0 <- - [] image busybox
            0 = 0
              + ADD busybox.tar /
                CMD ["a"]
                ENTRYPOINT ["x"]
              {"architecture":"amd64","config":{"Env":["PATH=/bin","BASE=1"],"Entrypoint":["x"],"Cmd":["a"],"WorkingDir":"/","ArgsEscaped":true},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
    check(
        "FROM busybox AS a\nCMD [\"a\"]\nFROM a\nENTRYPOINT [\"x\"]\n",
        expect![[r#"
            asked docker.io/library/busybox:latest
            0 <- - [] image busybox
            1 = 0
              + ADD busybox.tar /
                CMD ["a"]
                ENTRYPOINT ["x"]
              {"architecture":"amd64","config":{"Env":["PATH=/bin","BASE=1"],"Entrypoint":["x"],"WorkingDir":"/","ArgsEscaped":true},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn arguments_have_scopes() {
    check_with(
        "ARG V=1\nARG W\nFROM busybox AS a\nARG V\nARG W=w\nARG X\nRUN echo $V\nENV V=env\nRUN echo\nFROM a\nRUN echo $W\n",
        |input| input.build_args = vec![build_arg("X", "given"), build_arg("NOBODY", "1")],
        expect![[r#"
            asked docker.io/library/busybox:latest
            0 <- - [] image busybox
            1 <- 0 [] run ["/bin/sh", "-c", "echo $V"] env=[("PATH", "/bin"), ("BASE", "1"), ("V", "1"), ("W", "w"), ("X", "given")] cwd=/ user="" mounts=[]
            2 <- 1 [] run ["/bin/sh", "-c", "echo"] env=[("PATH", "/bin"), ("BASE", "1"), ("W", "w"), ("X", "given"), ("V", "env")] cwd=/ user="" mounts=[]
            3 <- 2 [] run ["/bin/sh", "-c", "echo $W"] env=[("W", "w"), ("X", "given"), ("PATH", "/bin"), ("BASE", "1"), ("V", "env")] cwd=/ user="" mounts=[]
            1 = 3
              + ADD busybox.tar /
                ARG V=1
                ARG W=w
                ARG X=given
              + RUN |3 V=1 W=w X=given /bin/sh -c echo $V # buildkit
                ENV V=env
              + RUN |3 V=env W=w X=given /bin/sh -c echo # buildkit
              + RUN |3 V=env W=w X=given /bin/sh -c echo $W # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/bin","BASE=1","V=env"],"Cmd":["sh"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
            no ARG of the Dockerfile takes the build argument `NOBODY` (unused-build-arg)
        "#]],
    );
    check(
        "FROM busybox\nARG A=1 B=$A\nENV A=env\nARG A=2\nRUN x\n",
        expect![[r#"
            asked docker.io/library/busybox:latest
            0 <- - [] image busybox
            1 <- 0 [] run ["/bin/sh", "-c", "x"] env=[("PATH", "/bin"), ("BASE", "1"), ("B", "1"), ("A", "2")] cwd=/ user="" mounts=[]
            0 = 1
              + ADD busybox.tar /
                ARG A=1 B=1
                ENV A=env
                ARG A=2
              + RUN |2 A=2 B=1 /bin/sh -c x # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/bin","BASE=1","A=env"],"Cmd":["sh"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn from_is_expanded_by_global_arguments() {
    check_with(
        "ARG TAG=old\nARG IMAGE=repo/img:$TAG\nFROM --platform=$BUILDPLATFORM $IMAGE\nARG TARGETARCH\nARG TARGETSTAGE\n\
         ENV ARCH=$TARGETARCH$TARGETSTAGE\n",
        |input| input.build_args = vec![build_arg("TAG", "new")],
        expect![[r#"
            asked docker.io/repo/img:new
            0 <- - [] image repo/img:new
            0 = 0
              + ADD repo/img:new.tar /
                ARG TARGETARCH=amd64
                ARG TARGETSTAGE=default
                ENV ARCH=amd64default
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","ARCH=amd64default"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn proxies_stay_out_of_the_key_and_the_history() {
    let dockerfile = "FROM bare\nRUN a\nARG http_proxy\nRUN b\n";
    let mut input = input(dockerfile);
    input.build_args = vec![build_arg("http_proxy", "http://p"), build_arg("NO_PROXY", "x")];
    let (Planned::Ready(plan), _) = settle(&input) else { panic!("it plans") };
    let mut out = String::new();
    for node in &plan.graph.nodes {
        if let ireko_graph::Op::Run(run) = &node.op {
            out.push_str(&format!("{:?} {:?}\n", run.env, run.hidden_env));
        }
    }
    for entry in &plan.outputs[0].config.history {
        out.push_str(&format!("{}\n", entry.created_by));
    }
    expect![[r#"
        [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")] [("HTTP_PROXY", "http://p"), ("http_proxy", "http://p"), ("NO_PROXY", "x"), ("no_proxy", "x")]
        [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("http_proxy", "http://p")] [("HTTP_PROXY", "http://p"), ("NO_PROXY", "x"), ("no_proxy", "x")]
        ADD bare.tar /
        RUN /bin/sh -c a # buildkit
        ARG http_proxy=http://p
        RUN |1 http_proxy=http://p /bin/sh -c b # buildkit
    "#]].assert_eq(&out);
}

#[test]
fn copies() {
    check(
        "FROM scratch\nARG D=/dst\nWORKDIR /w\nCOPY a b* $D/\nCOPY --chown=1:2 --chmod=755 x .\nCOPY --link --exclude=*.md . sub\n\
         ADD --unpack=false a.tar /\nADD a.tar /\nCOPY --parents a/./b c/\nCOPY <<A <<\"B\" /docs/\n$D \"q\"\nA\n$D\nB\n",
        expect![[r#"
            0 <- - [] mkdir /w user=""
            1 <- 0 [] copy [Files { from: Context(""), pattern: "a" }, Files { from: Context(""), pattern: "b*" }] -> /dst dir=true link=false
            2 <- 1 [] copy [Files { from: Context(""), pattern: "x" }] -> /w dir=true link=false
            3 <- 2 [] copy [Files { from: Context(""), pattern: "." }] -> /w/sub dir=false link=true
            4 <- 3 [] copy [Files { from: Context(""), pattern: "a.tar" }] -> / dir=true link=false
            5 <- 4 [] copy [Files { from: Context(""), pattern: "a.tar" }] -> / dir=true link=false
            6 <- 5 [] copy [Files { from: Context(""), pattern: "a/./b" }] -> /w/c dir=true link=false
            7 <- 6 [] copy [Inline { name: "A", bytes: [47, 100, 115, 116, 32, 34, 113, 34, 10] }, Inline { name: "B", bytes: [36, 68, 10] }] -> /docs dir=true link=false
            0 = 7
                ARG D=/dst
              + WORKDIR /w
              + COPY a b* /dst/ # buildkit
              + COPY --chown=1:2 --chmod=755 x . # buildkit
              + COPY . sub # buildkit
              + ADD a.tar / # buildkit
              + ADD a.tar / # buildkit
              + COPY --parents a/./b c/ # buildkit
              + COPY <<A <<B /docs/ # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/w"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn an_empty_from_is_the_main_context() {
    check(
        "FROM scratch\nCOPY --from= a /b\n",
        expect![[r#"
        0 <- - [] copy [Files { from: Context(""), pattern: "a" }] -> /b dir=false link=false
        0 = 0
          + COPY a /b # buildkit
          {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
    "#]],
    );
}

#[test]
fn copies_from_stages_images_and_contexts() {
    check_with(
        "FROM scratch AS Empty\nFROM busybox AS tools\nRUN make\nFROM bare\nCOPY --from=TOOLS /a /a\nCOPY --from=1 /b /b\n\
         COPY --from=empty /c /c\nCOPY --from=some/image /d /d\nCOPY --from=dir /e /e\nCOPY --from=over /f /f\n\
         COPY --from=nothing /g /g\n",
        |input| {
            input.contexts.insert("dir".to_owned(), ContextSpec::Dir);
            input.contexts.insert("nothing".to_owned(), ContextSpec::Image("scratch".parse().unwrap()));
            input.contexts.insert("over".to_owned(), ContextSpec::Image("other:1".parse().unwrap()));
        },
        expect![[r#"
            asked docker.io/library/bare:latest
            asked docker.io/library/busybox:latest
            asked docker.io/library/other:1
            asked docker.io/some/image:latest
            0 <- - [] image busybox
            1 <- 0 [] run ["/bin/sh", "-c", "make"] env=[("PATH", "/bin"), ("BASE", "1")] cwd=/ user="" mounts=[]
            2 <- - [] image bare
            3 <- 2 [1] copy [Files { from: Input(0), pattern: "/a" }] -> /a dir=false link=false
            4 <- 3 [1] copy [Files { from: Input(0), pattern: "/b" }] -> /b dir=false link=false
            5 <- 4 [] copy [Files { from: Empty, pattern: "/c" }] -> /c dir=false link=false
            6 <- - [] image some/image
            7 <- 5 [6] copy [Files { from: Input(0), pattern: "/d" }] -> /d dir=false link=false
            8 <- 7 [] copy [Files { from: Context("dir"), pattern: "/e" }] -> /e dir=false link=false
            9 <- - [] image over
            10 <- 8 [9] copy [Files { from: Input(0), pattern: "/f" }] -> /f dir=false link=false
            11 <- 10 [] copy [Files { from: Empty, pattern: "/g" }] -> /g dir=false link=false
            2 = 11
              + ADD bare.tar /
              + COPY /a /a # buildkit
              + COPY /b /b # buildkit
              + COPY /c /c # buildkit
              + COPY /d /d # buildkit
              + COPY /e /e # buildkit
              + COPY /f /f # buildkit
              + COPY /g /g # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn contexts_hide_stages_and_images() {
    check_with(
        "FROM busybox AS tools\nRUN make\nFROM debian:12 AS base\nFROM tree\nCOPY --from=tools /a /a\nCOPY --from=base /b /b\n",
        |input| {
            let layout = ContextSpec::Layout { dir: "/l".to_owned(), image: None };
            input.contexts.insert("tools".to_owned(), ContextSpec::Dir);
            input.contexts.insert("docker.io/library/debian:12".to_owned(), layout);
            input.contexts.insert("tree".to_owned(), ContextSpec::Dir);
        },
        expect![[r#"
            asked oci-layout:///l
            0 <- - [] copy [Files { from: Context("tools"), pattern: "/" }] -> / dir=true link=true
            1 <- - [] image docker.io/library/debian:12
            2 <- - [] copy [Files { from: Context("tree"), pattern: "/" }] -> / dir=true link=true
            3 <- 2 [0] copy [Files { from: Input(0), pattern: "/a" }] -> /a dir=false link=false
            4 <- 3 [1] copy [Files { from: Input(0), pattern: "/b" }] -> /b dir=false link=false
            2 = 4
              + 
              + COPY /a /a # buildkit
              + COPY /b /b # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn runs() {
    check(
        "FROM scratch\nUSER me\nWORKDIR /w\nRUN [\"a\", \"b\"]\nRUN --network=none echo \"$X\"\nSHELL [\"/sh\", \"-e\"]\n\
         RUN <<EOF\nset -x\necho hi\nEOF\nRUN <<EOF\n#!/usr/bin/python3\nprint(1)\nEOF\nRUN cat <<A - <<B\na\nA\nb\nB\n",
        expect![[r#"
            0 <- - [] mkdir /w user="me"
            1 <- 0 [] run ["a", "b"] env=[("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")] cwd=/w user="me" mounts=[]
            2 <- 1 [] run ["/bin/sh", "-c", "echo \"$X\""] env=[("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")] cwd=/w user="me" mounts=[]
            3 <- 2 [] run ["/sh", "-e", "set -x\necho hi\n"] env=[("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")] cwd=/w user="me" mounts=[]
            4 <- 3 [] run ["/sh", "-e", "/dev/pipes/EOF"] env=[("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")] cwd=/w user="me" mounts=["/dev/pipes/EOF"]
            5 <- 4 [] run ["/sh", "-e", "cat <<A - <<B\na\nA\nb\nB"] env=[("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")] cwd=/w user="me" mounts=[]
            0 = 5
                USER me
              + WORKDIR /w
              + RUN a b # buildkit
              + RUN /bin/sh -c echo "$X" # buildkit
                SHELL [/sh -e]
              + RUN /sh -e set -x
            echo hi
             # buildkit
              + RUN /sh -e /dev/pipes/EOF # buildkit
              + RUN /sh -e cat <<A - <<B
            a
            A
            b
            B # buildkit
              {"architecture":"amd64","config":{"User":"me","Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/w","Shell":["/sh","-e"]},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn mounts() {
    let dockerfile = "FROM bare AS tools\nRUN make\nFROM busybox\nARG CACHE=/root/.cache\nWORKDIR /w\n\
        RUN --mount=type=cache,target=$CACHE --mount=type=cache,id=x,target=rel,sharing=locked,uid=5,mode=0700 \
        --mount=target=. --mount=type=bind,source=go.mod,target=/go.mod,rw --mount=from=tools,src=/bin,dst=/t \
        --mount=type=tmpfs,target=/tmp,size=1m --mount=type=secret,id=key --mount=type=secret,id=tok,env=TOKEN \
        --mount=type=secret,id=f,target=/f,required=true,mode=0440 go build\n";
    let (Planned::Ready(plan), _) = settle(&input(dockerfile)) else { panic!("it plans") };
    let mut out = String::new();
    for node in &plan.graph.nodes {
        if let ireko_graph::Op::Run(run) = &node.op {
            out.extend(run.mounts.iter().map(|mount| format!("{} {:?}\n", mount.target, mount.kind)));
        }
    }
    out.extend(
        plan.reads.iter().map(|read| format!("{} {:?} {:?}\n", read.line, read.context, read.patterns)),
    );
    expect![[r#"
        /root/.cache Cache { id: "/root/.cache", sharing: Shared, from: Empty, source: "/", mode: 493, uid: 0, gid: 0, read_only: false }
        /w/rel Cache { id: "x", sharing: Locked, from: Empty, source: "/", mode: 448, uid: 5, gid: 0, read_only: false }
        /w Bind { from: Context(""), source: "/", writable: false }
        /go.mod Bind { from: Context(""), source: "/go.mod", writable: true }
        /t Bind { from: Input(0), source: "/bin", writable: false }
        /tmp Tmpfs { size: Some(1048576) }
        /run/secrets/key Secret { id: "key", required: false, mode: 256, uid: 0, gid: 0, env: None, file: true }
        /run/secrets Secret { id: "tok", required: false, mode: 256, uid: 0, gid: 0, env: Some("TOKEN"), file: false }
        /f Secret { id: "f", required: true, mode: 288, uid: 0, gid: 0, env: None, file: true }
        6 "" ["."]
        6 "" ["go.mod"]
    "#]].assert_eq(&out);
}

#[test]
fn triggers_of_a_base_run_first() {
    check(
        "FROM trigger\nENV A=1\n",
        expect![[r#"
        asked docker.io/library/trigger:latest
        0 <- - [] image trigger
        1 <- 0 [] copy [Files { from: Context(""), pattern: "." }] -> /src dir=false link=false
        2 <- 1 [] run ["/bin/sh", "-c", "make $FLAGS"] env=[("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")] cwd=/srv user="app" mounts=[]
        0 = 2
          + ADD trigger.tar /
          + COPY . /src # buildkit
          + RUN /bin/sh -c make $FLAGS # buildkit
            ENV A=1
          {"architecture":"amd64","config":{"User":"app","Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=1"],"WorkingDir":"/srv"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
    "#]],
    );
    check(
        "FROM busybox AS a\nONBUILD RUN touch /x\nONBUILD ENV Y=1\nFROM a\nRUN last\n",
        expect![[r#"
            asked docker.io/library/busybox:latest
            0 <- - [] image busybox
            1 <- 0 [] run ["/bin/sh", "-c", "touch /x"] env=[("PATH", "/bin"), ("BASE", "1")] cwd=/ user="" mounts=[]
            2 <- 1 [] run ["/bin/sh", "-c", "last"] env=[("PATH", "/bin"), ("BASE", "1"), ("Y", "1")] cwd=/ user="" mounts=[]
            1 = 2
              + ADD busybox.tar /
              + RUN /bin/sh -c touch /x # buildkit
                ENV Y=1
              + RUN /bin/sh -c last # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/bin","BASE=1","Y=1"],"Cmd":["sh"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
    check(
        "FROM bare AS tools\nRUN make\nFROM trigger-from\n",
        expect![[r#"
            asked docker.io/library/trigger-from:latest
            asked docker.io/library/bare:latest
            0 <- - [] image bare
            1 <- 0 [] run ["/bin/sh", "-c", "make"] env=[("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")] cwd=/ user="" mounts=[]
            2 <- - [] image trigger-from
            3 <- 2 [1] copy [Files { from: Input(0), pattern: "/bin/tool" }] -> /bin dir=true link=false
            1 = 3
              + ADD trigger-from.tar /
              + COPY /bin/tool /bin/ # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn only_what_is_reached_is_planned_and_asked_for() {
    check(
        "FROM busybox AS unused\nRUN no\nFROM --platform=linux/s390x other AS foreign\nFROM scratch\nENV A=1\n",
        expect![[r#"
            2 = -
                ENV A=1
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=1"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn targets_share_a_graph() {
    check_with(
        "FROM busybox AS base\nRUN base\nFROM base AS one\nRUN one\nFROM base AS two\nRUN two\n",
        |input| {
            input.targets = vec!["one".to_owned(), "2".to_owned()];
            input.labels = vec![("made".to_owned(), "here".to_owned())];
        },
        expect![[r#"
            asked docker.io/library/busybox:latest
            0 <- - [] image busybox
            1 <- 0 [] run ["/bin/sh", "-c", "base"] env=[("PATH", "/bin"), ("BASE", "1")] cwd=/ user="" mounts=[]
            2 <- 1 [] run ["/bin/sh", "-c", "one"] env=[("PATH", "/bin"), ("BASE", "1")] cwd=/ user="" mounts=[]
            3 <- 1 [] run ["/bin/sh", "-c", "two"] env=[("PATH", "/bin"), ("BASE", "1")] cwd=/ user="" mounts=[]
            one = 2
              + ADD busybox.tar /
              + RUN /bin/sh -c base # buildkit
              + RUN /bin/sh -c one # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/bin","BASE=1"],"Cmd":["sh"],"WorkingDir":"/","Labels":{"made":"here"}},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
            two = 3
              + ADD busybox.tar /
              + RUN /bin/sh -c base # buildkit
              + RUN /bin/sh -c two # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/bin","BASE=1"],"Cmd":["sh"],"WorkingDir":"/","Labels":{"made":"here"}},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn no_cache_is_for_runs_and_copies_of_the_stages_named() {
    let mut input = input("FROM busybox AS a\nRUN a\nFROM a AS b\nWORKDIR /w\nCOPY x .\nRUN b\n");
    input.no_cache = NoCache::Stages(vec!["B".to_owned()]);
    let (Planned::Ready(plan), _) = settle(&input) else { panic!("it plans") };
    let marks: Vec<bool> = plan.graph.nodes.iter().map(|node| node.reuse == Reuse::Never).collect();
    assert_eq!(marks, [false, false, false, true, true]);
}

#[test]
fn steps_say_where_they_stand() {
    let mut input = input(
        "FROM busybox AS a\nARG V=1\nRUN echo $V \\\n  $UNKNOWN\nFROM a\nWORKDIR /$V\nRUN <<EOF\none\ntwo\nEOF\n",
    );
    input.build_args = vec![build_arg("V", "2")];
    let (Planned::Ready(plan), _) = settle(&input) else { panic!("it plans") };
    let mut out = String::new();
    for node in &plan.graph.nodes {
        let About { stage, platform, step, steps, text, line, end_line, args } = &node.about;
        assert_eq!(platform, "", "there is only one");
        out.push_str(&format!("[{stage} {step}/{steps}] {text} ({line}-{end_line}) {args:?}\n"));
    }
    expect![[r#"
        [a 1/2] FROM busybox (1-1) []
        [a 2/2] RUN echo 2   $UNKNOWN (3-4) [("V", "2")]
        [1 1/2] WORKDIR /2 (6-6) [("V", "2")]
        [1 2/2] RUN <<EOF (one...) (7-10) [("V", "2")]
    "#]]
    .assert_eq(&out);
}

#[test]
fn an_epoch_dates_the_history() {
    let mut input = input("FROM busybox\nENV A=1\n");
    input.build_args = vec![build_arg("SOURCE_DATE_EPOCH", "1700000000")];
    let (Planned::Ready(plan), _) = settle(&input) else { panic!("it plans") };
    let dates: Vec<_> =
        plan.outputs[0].config.history.iter().map(|entry| entry.created.map(|at| at.to_string())).collect();
    assert_eq!(dates, [None, Some("2023-11-14T22:13:20Z".to_owned())]);
}

#[test]
fn an_image_without_layers_is_an_empty_tree() {
    check(
        "FROM hollow\nCOPY --from=hollow /a /a\n",
        expect![[r#"
            asked docker.io/library/hollow:latest
            0 <- - [] copy [Files { from: Empty, pattern: "/a" }] -> /a dir=false link=false
            0 = 0
              + COPY /a /a # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn a_platform_with_a_variant_is_passed_on() {
    check_with(
        "FROM scratch\nARG TARGETPLATFORM\nARG BUILDPLATFORM\n",
        |input| input.target_platforms = vec![Platform::new("linux", "amd64", "v2")],
        expect![[r#"
            0 = -
                ARG TARGETPLATFORM=linux/amd64/v2
                ARG BUILDPLATFORM=linux/amd64
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]},"variant":"v2"}
        "#]],
    );
}

#[test]
fn a_repository_is_a_node_of_its_own() {
    check(
        "FROM scratch\nADD https://me:pass@h/r.git#main:dir git@h:r /d/\n\
         ADD --keep-git-dir --checksum=aa --link https://h/r.git?submodules=0&mtime=commit /e\n\
         ADD https://h/r.git?fetch-by-commit&checksum=bb&ref=x github.com/a/b /f\n",
        expect![[r#"
            0 <- - [] git https://h/r.git "main", dir dir
            1 <- - [] git git@h:r ""
            2 <- - [0,1] copy [Fetched { input: 0, name: "", unpack: false }, Fetched { input: 1, name: "", unpack: false }] -> /d dir=true link=false
            3 <- - [] git https://h/r.git "", is aa, with .git, without submodules, dated
            4 <- 2 [3] copy [Fetched { input: 0, name: "", unpack: false }] -> /e dir=false link=true
            5 <- - [] git https://h/r.git "x", is bb, by commit
            6 <- 4 [5] copy [Fetched { input: 0, name: "", unpack: false }, Files { from: Context(""), pattern: "github.com/a/b" }] -> /f dir=false link=false
            0 = 6
              + ADD https://h/r.git#main:dir git@h:r /d/ # buildkit
              + ADD https://h/r.git?submodules=0&mtime=commit /e # buildkit
              + ADD https://h/r.git?fetch-by-commit&checksum=bb&ref=x github.com/a/b /f # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn what_is_fetched_is_a_node_of_its_own() {
    check(
        "FROM scratch\nADD https://me:pass@h/a%20b?x=/y#z https://h/ /d/\nADD --unpack https://h/a/t.tgz /d/\n",
        expect![[r#"
            0 <- - [] http https://h/a%20b?x=/y#z as a b
            1 <- - [] http https://h/ as __unnamed__
            2 <- - [0,1] copy [Fetched { input: 0, name: "a b", unpack: false }, Fetched { input: 1, name: "__unnamed__", unpack: false }] -> /d dir=true link=false
            3 <- - [] http https://h/a/t.tgz as t.tgz
            4 <- 2 [3] copy [Fetched { input: 0, name: "t.tgz", unpack: true }] -> /d dir=true link=false
            0 = 4
              + ADD https://h/a%20b?x=/y#z https://h/ /d/ # buildkit
              + ADD https://h/a/t.tgz /d/ # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
}

#[test]
fn a_copy_may_name_its_stage_by_variables_of_the_dockerfile() {
    check(
        "ARG SRC=a\nARG OTHER=b\nFROM scratch AS a\nFROM scratch AS b\nWORKDIR /w\nFROM scratch AS one\nARG OTHER\nENV E=$OTHER\n\
         FROM one\nARG SRC\nCOPY --from=$SRC /x /\nCOPY --from=\"${E}\" /y /\nARG SRC=b\nCOPY --from=${SRC} /z /\n",
        expect![[r#"
            0 <- - [] mkdir /w user=""
            1 <- - [] copy [Files { from: Empty, pattern: "/x" }] -> / dir=true link=false
            2 <- 1 [0] copy [Files { from: Input(0), pattern: "/y" }] -> / dir=true link=false
            3 <- 2 [0] copy [Files { from: Input(0), pattern: "/z" }] -> / dir=true link=false
            3 = 3
                ARG OTHER=b
                ENV E=b
                ARG SRC=a
              + COPY /x / # buildkit
              + COPY /y / # buildkit
                ARG SRC=b
              + COPY /z / # buildkit
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","E=b"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
    check(
        "FROM scratch AS a\nFROM scratch\nCOPY --from=$A /x /\n",
        expect![[r#"
            3: `$A` `--from=$A` needs the variable `A`, which is not set here (copy-from)
              hint: what it names must be known before any image is: ARG and ENV of the Dockerfile count, those of a base image do not
        "#]],
    );
    check(
        "ARG A\nFROM scratch AS a\nFROM scratch\nARG A\nARG AB=\nCOPY --from=$AB /x /\n",
        expect![[r#"
            6: `$AB` `--from=$AB` is empty after expansion (copy-from)
              hint: what it names must be known before any image is: ARG and ENV of the Dockerfile count, those of a base image do not
        "#]],
    );
}

#[test]
fn a_stage_may_wait_for_others() {
    check(
        "FROM scratch AS test\nWORKDIR /t\nFROM scratch AS base\nWORKDIR /b\nFROM --after=test base AS app\nWORKDIR /a\nFROM app\nCMD [\"x\"]\n",
        expect![[r#"
            0 <- - [] mkdir /t user=""
            1 <- - [] mkdir /b user=""
            2 <- 1 [] mkdir /a user="" after 0
            3 = 2
              + WORKDIR /b
              + WORKDIR /a
                CMD ["x"]
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["x"],"WorkingDir":"/a","ArgsEscaped":true},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
    check(
        "ARG A=one,0\nFROM scratch AS one\nFROM scratch AS two\nWORKDIR /t\nFROM --after=$A --after=two scratch\n",
        expect![[r#"
        0 <- - [] mkdir /t user=""
        2 = -
          {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
    "#]],
    );
    check(
        "FROM --after=late scratch\nFROM scratch AS late\n",
        expect![[r#"
        1: `late` `--after=late` names no stage above this one (unknown-stage)
    "#]],
    );
    check(
        "FROM scratch AS test\nFROM --after=tset scratch\n",
        expect![[r#"
        2: `tset` `--after=tset` names no stage above this one (unknown-stage)
          hint: did you mean `test`?
    "#]],
    );
}

/// What grew with the square of the lines took far longer than this; now it is a second or two on a slow machine.
#[test]
fn long_texts_are_planned_in_time() {
    let lines = |line: &dyn Fn(usize) -> String| (0..8000).map(line).collect::<String>();
    let copies = lines(&|at| format!("COPY a /f{at}\n"));
    let variables = lines(&|at| format!("ENV V{at}=1\n"));
    for text in [copies, variables] {
        let begin = std::time::Instant::now();
        assert!(matches!(settle(&input(&format!("FROM scratch\n{text}"))).0, Planned::Ready(_)));
        assert!(begin.elapsed().as_secs() < 10, "it took {:?}", begin.elapsed());
    }
}
