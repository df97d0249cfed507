//! Platforms: which stage runs on what, and what two of them share.

use super::*;

fn platform(text: &str) -> Platform {
    text.parse::<Platform>().unwrap().normalized()
}

/// Plans for these platforms and shows who asked for what, what runs where, and what comes out.
#[track_caller]
fn check(dockerfile: &str, platforms: &str, expect: Expect) {
    let mut input = input(dockerfile);
    input.target_platforms = platforms.split_whitespace().map(platform).collect();
    let (planned, asked) = settle(&input);
    let mut out: String = asked.iter().map(|name| format!("asked {name}\n")).collect();
    let Planned::Ready(plan) = planned else { panic!("it plans: {}", show(&input)) };
    for id in plan.graph.ids() {
        let node = plan.graph.node(id);
        let on = match &node.op {
            ireko_graph::Op::Run(run) => format!(" on {}", run.platform),
            _ => String::new(),
        };
        out.push_str(&format!("{} {}{on}\n", id.0, node.about.display(false)));
    }
    for output in &plan.outputs {
        let node = output.node.map_or("-".to_owned(), |node| node.0.to_string());
        let config = &output.config;
        out.push_str(&format!("{} = {node}, {}\n", output.platform, config.platform()));
        assert_eq!(output.platform.clone().normalized(), config.platform().normalized());
    }
    expect.assert_eq(&out);
}

#[test]
fn a_stage_has_the_platform_that_from_says() {
    check(
        "FROM --platform=$BUILDPLATFORM busybox AS build\nRUN make\nFROM build AS more\nRUN more\n\
         FROM busybox\nCOPY --from=more /x /x\nRUN x\n",
        "linux/arm64/v8",
        expect![[r#"
            asked docker.io/library/busybox:latest
            asked docker.io/library/busybox:latest for linux/arm64
            0 [build 1/2] FROM busybox
            1 [build 2/2] RUN make on linux/amd64
            2 [more 1/1] RUN more on linux/amd64
            3 [stage-2 1/3] FROM busybox
            4 [stage-2 2/3] COPY --from=more /x /x
            5 [stage-2 3/3] RUN x on linux/arm64
            linux/arm64 = 5, linux/arm64
        "#]],
    );
    check(
        "FROM --platform=linux/arm busybox\nRUN x\n",
        "",
        expect![[r#"
        asked docker.io/library/busybox:latest for linux/arm/v7
        0 [stage-0 1/2] FROM busybox
        1 [stage-0 2/2] RUN x on linux/arm/v7
        linux/arm/v7 = 1, linux/arm/v7
    "#]],
    );
    check(
        "FROM --platform=linux/arm/v6 busybox\nRUN x\n",
        "linux/amd64/v1",
        expect![[r#"
        asked docker.io/library/busybox:latest for linux/arm/v6
        0 [stage-0 1/2] FROM busybox
        1 [stage-0 2/2] RUN x on linux/arm/v6
        linux/amd64 = 1, linux/amd64
    "#]],
    );
    check(
        "FROM --platform=linux/arm64 scratch\nCOPY a b\n",
        "",
        expect![[r#"
        0 [stage-0 1/1] COPY a b
        linux/amd64 = 0, linux/amd64
    "#]],
    );
}

#[test]
fn several_platforms_share_what_does_not_depend_on_them() {
    check(
        "FROM --platform=$BUILDPLATFORM busybox AS build\nRUN generate\nFROM build AS cross\nARG TARGETARCH\n\
         RUN cross $TARGETARCH\nFROM busybox\nCOPY --from=build /g /g\nCOPY --from=cross /x /x\nRUN check\n",
        "linux/amd64 linux/arm64 linux/arm/v7 linux/arm",
        expect![[r#"
            asked docker.io/library/busybox:latest
            asked docker.io/library/busybox:latest for linux/arm/v7
            asked docker.io/library/busybox:latest for linux/arm64
            0 [linux/amd64 build 1/2] FROM busybox
            1 [linux/amd64 build 2/2] RUN generate on linux/amd64
            2 [linux/amd64 cross 1/1] RUN cross amd64 on linux/amd64
            3 [linux/amd64 stage-2 2/4] COPY --from=build /g /g
            4 [linux/amd64 stage-2 3/4] COPY --from=cross /x /x
            5 [linux/amd64 stage-2 4/4] RUN check on linux/amd64
            6 [linux/amd64->arm64 cross 1/1] RUN cross arm64 on linux/amd64
            7 [linux/arm64 stage-2 1/4] FROM busybox
            8 [linux/arm64 stage-2 2/4] COPY --from=build /g /g
            9 [linux/arm64 stage-2 3/4] COPY --from=cross /x /x
            10 [linux/arm64 stage-2 4/4] RUN check on linux/arm64
            11 [linux/amd64->arm/v7 cross 1/1] RUN cross arm on linux/amd64
            12 [linux/arm/v7 stage-2 1/4] FROM busybox
            13 [linux/arm/v7 stage-2 2/4] COPY --from=build /g /g
            14 [linux/arm/v7 stage-2 3/4] COPY --from=cross /x /x
            15 [linux/arm/v7 stage-2 4/4] RUN check on linux/arm/v7
            linux/amd64 = 5, linux/amd64
            linux/arm64 = 10, linux/arm64
            linux/arm/v7 = 15, linux/arm/v7
        "#]],
    );
}

#[test]
fn a_command_is_never_shared_between_platforms() {
    check(
        "FROM alike\nCOPY a b\nRUN x\n",
        "linux/amd64 linux/arm64",
        expect![[r#"
        asked docker.io/library/alike:latest
        asked docker.io/library/alike:latest for linux/arm64
        0 [linux/amd64 stage-0 1/3] FROM alike
        1 [linux/amd64 stage-0 2/3] COPY a b
        2 [linux/amd64 stage-0 3/3] RUN x on linux/amd64
        3 [linux/arm64 stage-0 1/3] FROM alike
        4 [linux/arm64 stage-0 2/3] COPY a b
        5 [linux/arm64 stage-0 3/3] RUN x on linux/arm64
        linux/amd64 = 2, linux/amd64
        linux/arm64 = 5, linux/arm64
    "#]],
    );
}

#[test]
fn an_image_beside_the_stages_is_the_targets() {
    check(
        "FROM --platform=$BUILDPLATFORM busybox\nCOPY --from=tools /a /a\nRUN --mount=from=tools,target=/t x\n",
        "linux/riscv64",
        expect![[r#"
            asked docker.io/library/busybox:latest
            asked docker.io/library/tools:latest for linux/riscv64
            0 [stage-0 1/3] FROM busybox
            1 [stage-0 2/3] FROM tools
            2 [stage-0 2/3] COPY --from=tools /a /a
            3 [stage-0 3/3] RUN --mount=from=tools,target=/t x on linux/amd64
            linux/riscv64 = 3, linux/riscv64
        "#]],
    );
}

#[test]
fn the_target_may_decide_what_a_stage_stands_on() {
    check(
        "FROM scratch AS base-linux\nCOPY foo forlinux\nFROM scratch AS base-darwin\nCOPY bar fordarwin\n\
         FROM base-$TARGETOS\n",
        "linux/amd64 darwin/amd64",
        expect![[r#"
            0 [linux/amd64 base-linux 1/1] COPY foo forlinux
            1 [darwin/amd64 base-darwin 1/1] COPY bar fordarwin
            linux/amd64 = 0, linux/amd64
            darwin/amd64 = 1, darwin/amd64
        "#]],
    );
}

#[test]
fn what_the_platform_leaves_open_is_the_bases() {
    let config = |base: &str, asked: &str| {
        let mut input = input("FROM busybox\n");
        input.target_platforms = vec![platform(asked)];
        let Planned::Needs(needs) = plan(&input, &Facts::default()) else { panic!("it asks") };
        let mut facts = Facts::default();
        facts.answer(&needs[0], image_for("busybox", &platform(base)));
        let Planned::Ready(plan) = plan(&input, &facts) else { panic!("it plans") };
        plan.outputs[0].config.platform().to_string()
    };
    assert_eq!(config("windows(10.0.20348.1006)/amd64", "windows/amd64"), "windows(10.0.20348.1006)/amd64");
    assert_eq!(config("windows(10.0.1)/amd64", "windows(10.0.2)/amd64"), "windows(10.0.2)/amd64");
    assert_eq!(config("linux/amd64/v3", "linux/amd64"), "linux/amd64/v3");
    assert_eq!(config("linux/arm/v6", "linux/arm64"), "linux/arm64");
    assert_eq!(config("windows(10.0.1)/amd64", "linux/amd64"), "linux/amd64");
}

#[test]
fn images_of_windows_have_its_shell_and_paths() {
    check_with(
        "# escape=`\nFROM scratch\nENTRYPOINT foo bar\nCOPY a C:\\dir\\\nWORKDIR sub\nCOPY a ..\\b\nWORKDIR c:/other\n",
        |input| input.target_platforms = vec![platform("windows/amd64")],
        expect![[r#"
            0 <- - [] copy [Files { from: Context(""), pattern: "a" }] -> /dir dir=true link=false
            1 <- 0 [] mkdir /sub user=""
            2 <- 1 [] copy [Files { from: Context(""), pattern: "a" }] -> /b dir=false link=false
            3 <- 2 [] mkdir /other user=""
            0 = 3
                ENTRYPOINT ["cmd" "/S" "/C" "foo bar"]
              + COPY a C:\dir\ # buildkit
              + WORKDIR \sub
              + COPY a ..\b # buildkit
              + WORKDIR \other
              {"architecture":"amd64","config":{"Entrypoint":["cmd","/S","/C","foo bar"],"WorkingDir":"\\other"},"os":"windows","rootfs":{"type":"layers","diff_ids":[]}}
        "#]],
    );
    check_with(
        "FROM scratch\nWORKDIR d:/x\n",
        |input| input.target_platforms = vec![platform("windows/amd64")],
        expect![[r#"
            2: `d:/x` `d:/x` is not on the drive `C:`, which is all of an image (bad-path)
        "#]],
    );
}
