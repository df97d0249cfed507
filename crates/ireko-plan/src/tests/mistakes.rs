//! What is said about Dockerfiles that cannot be planned.

use super::*;
use ireko_dockerfile::Ast;

/// One diagnostic: its place, its text, its hint.
pub(super) fn show(fault: &Diagnostic, ast: &Ast) -> String {
    let place = fault.span().map(|span| {
        format!(
            "{}: `{}` ",
            ast.source.position(span.start).line,
            ast.source.slice(span).replace('\n', "\\n")
        )
    });
    let mut out = format!("{}{} ({})\n", place.unwrap_or_default(), fault.message, fault.code);
    out.extend(fault.notes.iter().map(|note| format!("  note: {note}\n")));
    if let Some(hint) = &fault.hint {
        out.push_str(&format!("  hint: {hint}\n"));
    }
    out
}

#[test]
fn names_that_do_not_exist() {
    check_with(
        "FROM busybox AS build\nFROM busybox AS test\n",
        |input| input.targets = vec!["biuld".to_owned(), "nothing-like-it".to_owned()],
        expect![[r#"
            target stage `biuld` could not be found (unknown-target)
              hint: did you mean `build`?
            target stage `nothing-like-it` could not be found (unknown-target)
              hint: the stages are `build`, `test`
        "#]],
    );
    check(
        "FROM busybox\nCOPY --from=7 a b\n",
        expect![[r#"
        2: `7` there is no stage number 7 (unknown-stage)
    "#]],
    );
    check(
        "FROM busybox\nRUN []\n",
        expect![[r#"
        asked docker.io/library/busybox:latest
        2: `RUN []` RUN names no program (empty-command)
    "#]],
    );
    check(
        "FROM busybox AS build\nFROM Biuld\n",
        expect![[r#"
        2: `Biuld` `Biuld` is no stage, and no image can have this name: invalid image reference `Biuld`: repository name (`library/Biuld`) must be lowercase (bad-reference)
          hint: did you mean `build`?
    "#]],
    );
    check(
        "ARG BSAE=x\nFROM $BASE\n",
        expect![[r#"
        2: `$BASE` the base name `$BASE` is empty after expansion (empty-base)
          hint: did you mean `BSAE`?
    "#]],
    );
    check(
        "ARG BASE\nFROM $BASE\n",
        expect![[r#"
        2: `$BASE` the base name `$BASE` is empty after expansion (empty-base)
          hint: give `BASE` a default, or pass it with `--build-arg BASE=…`
    "#]],
    );
    check(
        "ARG TAG\nFROM app:$TAG\n",
        expect![[r#"
        2: `app:$TAG` `app:` is no stage, and no image can have this name: invalid image reference `app:`: `` is not a tag (letters, digits, `_`, `.`, `-`; at most 128); `TAG` is not set (bad-reference)
          hint: give `TAG` a default, or pass it with `--build-arg TAG=…`
    "#]],
    );
    check(
        "FROM $BASE\n",
        expect![[r#"
        1: `$BASE` the base name `$BASE` is empty after expansion (empty-base)
          hint: declare it above the first FROM: `ARG BASE=…`
    "#]],
    );
    check(
        "ARG ARCH\nFROM --platform=$ARCH busybox\n",
        expect![[r#"
        2: `$ARCH` the platform `$ARCH` is empty after expansion (bad-platform)
          hint: give `ARCH` a default, or pass it with `--build-arg ARCH=…`
    "#]],
    );
}

#[test]
fn stages_in_a_circle_or_out_of_order() {
    check(
        "FROM busybox AS a\nCOPY --from=a x y\n",
        expect![[r#"
            2: `a` circular dependency detected on stage: `a` (stage-cycle)
              note: `a` needs `a`
        "#]],
    );
    check(
        "FROM busybox AS a\nCOPY --from=b x y\nFROM a AS b\n",
        expect![[r#"
            2: `b` circular dependency detected on stage: `a` (stage-cycle)
              note: `a` needs `b` needs `a`
        "#]],
    );
    check(
        "FROM busybox AS a\nCOPY --from=b x y\nFROM busybox AS b\nRUN --mount=from=a,target=/a x\nFROM b AS c\nCOPY --from=a x y\n",
        expect![[r#"
            2: `b` circular dependency detected on stage: `a` (stage-cycle)
              note: `a` needs `b` needs `a`
        "#]],
    );
    check_with(
        "FROM busybox AS a\nCOPY --from=b x y\nFROM bare AS b\n",
        |input| input.targets = vec!["a".to_owned()],
        expect![[r#"
            asked docker.io/library/bare:latest
            asked docker.io/library/busybox:latest
            2: `b` stage `b` must be defined above stage `a`, which reads it (stage-order)
        "#]],
    );
}

#[test]
fn variables_that_are_not_allowed_or_not_set() {
    check(
        "FROM busybox\nENV A=\"${B:?must be set}\"\n",
        expect![[r#"
        asked docker.io/library/busybox:latest
        2: `"${B:?must be set}"` cannot expand `"${B:?must be set}"`: B: must be set (bad-substitution)
    "#]],
    );
    check(
        "FROM --platform=$NOPE busybox\n",
        expect![[r#"
            1: `$NOPE` the platform `$NOPE` is empty after expansion (bad-platform)
              hint: declare it above the first FROM: `ARG NOPE=…`
        "#]],
    );
    check(
        "FROM --platform=a/b/c/d busybox\n",
        expect![[r#"
        1: `a/b/c/d` `a/b/c/d` is not a platform (bad-platform)
    "#]],
    );
}

#[test]
fn what_is_not_done_yet_is_said() {
    check(
        "# syntax=example.com/other/language\nFROM busybox\n",
        expect![[r#"
            1: `example.com/other/language` the text asks for the language of `example.com/other/language`, and ireko reads version 1 of Dockerfile's (other-language)
              hint: if it is a plain Dockerfile all the same, take the line out or give `--build-arg BUILDKIT_SYNTAX=docker/dockerfile:1`
        "#]],
    );
    check(
        "# syntax=example.com/docker/dockerfile:1\nFROM scratch\nCMD a\n",
        expect![[r#"
        0 = -
            CMD ["/bin/sh" "-c" "a"]
          {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["/bin/sh","-c","a"],"WorkingDir":"/","ArgsEscaped":true},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
    "#]],
    );
    check(
        "FROM busybox\nRUN --security=insecure x\n",
        expect![[r#"
            asked docker.io/library/busybox:latest
            2: `insecure` `RUN --security=insecure` was not allowed: it gives the step every capability (not-allowed)
              hint: if that is meant, give `--allow security.insecure`
        "#]],
    );
    check(
        "FROM busybox\nRUN --device=name= x\n",
        expect![[r#"
        asked docker.io/library/busybox:latest
        2: `name=` `RUN --device` names no device (bad-device)
          hint: devices are named like vendor.com/class=name
    "#]],
    );
}

#[test]
fn values_that_mean_nothing() {
    check(
        "FROM busybox\nCOPY https://example.com/x /x\n",
        expect![[r#"
        asked docker.io/library/busybox:latest
        2: `https://example.com/x` COPY cannot fetch `https://example.com/x`, which is a URL (remote-copy)
          hint: ADD can
    "#]],
    );
    check(
        "FROM busybox\nCOPY --chmod=9999 x /x\n",
        expect![[r#"
        asked docker.io/library/busybox:latest
        2: `9999` cannot use `--chmod=9999`: invalid chmod parameter: '9999'. it should be octal string and between 0 and 07777, or a change such as `u+x` (bad-chmod)
    "#]],
    );
    check(
        "FROM busybox\nEXPOSE a\n",
        expect![[r#"
            asked docker.io/library/busybox:latest
            2: `a` cannot expose `a`: invalid port: "a": invalid containerPort: a (bad-port)
              hint: write a port or a range, such as 80, 53/udp or 8000-8010
        "#]],
    );
    check(
        "FROM busybox\nSTOPSIGNAL BANANA\n",
        expect![[r#"
        asked docker.io/library/busybox:latest
        2: `BANANA` `BANANA` is not a signal (bad-signal)
    "#]],
    );
    check(
        "FROM busybox\nVOLUME $NOPE\n",
        expect![[r#"
        asked docker.io/library/busybox:latest
        2: `$NOPE` the path of a VOLUME is empty after expansion (empty-volume)
    "#]],
    );
    check(
        "FROM busybox\nRUN --mount=type=cache,target=/ x\n",
        expect![[r#"
        asked docker.io/library/busybox:latest
        2: `type=cache,target=/` cannot use the mount `type=cache,target=/`: its target is `/` (bad-mount)
    "#]],
    );
    check(
        "FROM busybox\nARG T=banana\nRUN --mount=type=$T,target=/x x\n",
        expect![[r#"
        asked docker.io/library/busybox:latest
        3: `type=$T,target=/x` cannot use the mount `type=$T,target=/x`: unsupported mount type "banana" (bad-mount)
    "#]],
    );
    check(
        "FROM busybox\nADD --checksum=sha256:00 x /x\n",
        expect![[r#"
        asked docker.io/library/busybox:latest
        2: `sha256:00` `--checksum` is only for a source that is a URL or a git repository (bad-checksum)
    "#]],
    );
    check_with(
        "FROM busybox\n",
        |input| input.build_args = vec![build_arg("SOURCE_DATE_EPOCH", "soon")],
        expect![[r#"
            asked docker.io/library/busybox:latest
            `SOURCE_DATE_EPOCH` is `soon`, which is no number of seconds, and no stage or context is called so (bad-epoch)
        "#]],
    );
}

#[test]
fn a_bomb_of_variables_is_refused() {
    let lines = "ENV A=$A$A\n".repeat(40);
    let (Planned::Broken(faults), _) = settle(&input(&format!("FROM scratch\nENV A=0123456789\n{lines}")))
    else {
        panic!("it is refused")
    };
    assert_eq!(faults[0].code, "bad-substitution");
}

#[test]
fn names_without_effect_are_warned_of() {
    check_with(
        "FROM scratch AS build\nENV A=1\n",
        |input| {
            input.no_cache = NoCache::Stages(vec!["built".to_owned(), "BUILD".to_owned(), "0".to_owned()]);
            input.build_args =
                vec![build_arg("B", "1"), build_arg("HTTP_PROXY", "x"), ("C".to_owned(), None)];
        },
        expect![[r#"
            build = -
                ENV A=1
              {"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=1"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}
            no ARG of the Dockerfile takes the build argument `B` (unused-build-arg)
            no stage is called `built`, so its cache is not left out (unknown-stage)
              hint: did you mean `build`?
        "#]],
    );
}

#[test]
fn checksums_are_for_one_source_from_elsewhere() {
    check(
        "FROM scratch\nADD --checksum=sha256:1 https://h/x /\n",
        expect![[r#"
        2: `sha256:1` `--checksum=sha256:1` is no digest: invalid digest `sha256:1`: wrong number of digits (bad-checksum)
          hint: write `--checksum=sha256:` and 64 hexadecimal digits
    "#]],
    );
    check(
        "FROM scratch\nADD --checksum=md5:1 https://h/x https://h/y /\n",
        expect![[r#"
        2: `md5:1` `--checksum` is for one source, and there are several (bad-checksum)
    "#]],
    );
    check(
        "FROM scratch\nADD --checksum=sha256:1 x /\n",
        expect![[r#"
        2: `sha256:1` `--checksum` is only for a source that is a URL or a git repository (bad-checksum)
    "#]],
    );
    check(
        "FROM scratch\nCOPY https://me:pass@h/x /\n",
        expect![[r#"
        2: `https://me:pass@h/x` COPY cannot fetch `https://h/x`, which is a URL (remote-copy)
          hint: ADD can
    "#]],
    );
}

#[test]
fn git_references_that_cannot_be_meant() {
    let cases = [
        (
            "ADD https://me:pass@h/r.git?brunch=x /x",
            expect![[r#"
            2: `https://me:pass@h/r.git?brunch=x` cannot use git reference `https://h/r.git?brunch=x`: unexpected query "brunch" (bad-git-ref)
        "#]],
        ),
        (
            "ADD https://h/r.git?tag=a&branch=b /x",
            expect![[r#"
            2: `https://h/r.git?tag=a&branch=b` cannot use git reference `https://h/r.git?tag=a&branch=b`: branch conflicts with tag (bad-git-ref)
        "#]],
        ),
        (
            "ADD --keep-git-dir=false https://h/r.git?keep-git-dir=true /x",
            expect![[r#"
            2: `https://h/r.git?keep-git-dir=true` cannot use git reference `https://h/r.git?keep-git-dir=true`: it says `keep-git-dir=true`, and the flag says `false` (bad-git-ref)
        "#]],
        ),
        (
            "ADD --checksum=aa https://h/r.git?checksum=bb /x",
            expect![[r#"
            2: `aa` `--checksum=aa` and `checksum=bb` of the reference differ (bad-checksum)
        "#]],
        ),
        (
            "ADD --checksum=sha256:aa https://h/r.git /x",
            expect![[r#"
            2: `sha256:aa` `--checksum=sha256:aa` is no commit of a git repository (bad-checksum)
              hint: write the commit's hexadecimal digits, as `git rev-parse` shows them
        "#]],
        ),
        (
            "ADD ssh://git:word@h:r/x /x",
            expect![[r#"
            2: `ssh://git:word@h:r/x` cannot use git reference `ssh://git@h:r/x`: `ssh://git:xxxxx@h:r/x` is no URL: `r` is no port (bad-git-ref)
        "#]],
        ),
        (
            "COPY https://me:pass@h/r.git /x",
            expect![[r#"
            2: `https://me:pass@h/r.git` COPY cannot fetch `https://h/r.git`, which is a git repository (remote-copy)
              hint: ADD can
        "#]],
        ),
    ];
    for (line, expect) in cases {
        check(&format!("FROM scratch\n{line}\n"), expect);
    }
}
