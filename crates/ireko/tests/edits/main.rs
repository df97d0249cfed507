//! Random edits of a context, its Dockerfile and its arguments: after each, the build with the cache must give what a
//! clean build gives.
//!
//! `IREKO_EDITS` is the number of edits for each Dockerfile (2,100 in all under `CI=true`), `IREKO_SEED` where to begin,
//! `IREKO` another binary. A failure names its seed and the edits since the last equal build.

#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test program is its own command line, and what goes wrong in it fails the test"
)]

mod context;
mod random;
mod world;

use std::path::PathBuf;

use crate::random::Random;
use crate::world::{Outcome, World};

/// Copies only, in every form: patterns, owners, modes, own layers, a changing directory.
const COPIES: &str = r#"
FROM scratch
ARG NAME
ENV VALUE=@ENV@ NAME=$NAME
COPY dir /d
COPY *.txt fixed /t/
COPY --chmod=0640 --chown=1:2 dir/ /owned/
WORKDIR /w/@ENV@
COPY --link fixed li* ./
# @COMMENT@
COPY . /all/
LABEL name=$NAME
"#;

/// Stages that copy from each other, so that an equal result upstream must stop there.
const STAGES: &str = r#"
FROM scratch AS one
# @COMMENT@
COPY . /src/
FROM scratch AS two
COPY --from=one /src/dir /d
COPY --from=one --chown=3 /src/fixed /x/
FROM one AS three
ARG NAME
WORKDIR /made/$NAME
COPY --from=two / /two/
FROM scratch
ENV VALUE=@ENV@
COPY --from=three /made /made/
COPY --from=two --link / /two/
COPY --from=one /src/*.txt /src/fixed /t/
"#;

/// Steps that run: over copies, over a bind mount, with an argument, and one whose output seldom changes.
const RUNS: &str = r#"
FROM base AS build
ARG NAME
COPY dir /in/
RUN find /in -type f | sort | xargs sha256sum >/sums; find /in | sort | xargs stat -c '%n %a %F' >/modes
RUN --mount=type=bind,target=/ctx cd /ctx && find . -type l -o -type f | sort | while read -r f; do echo "$f" "$(readlink "$f")"; done >/names
RUN echo "$NAME" @ENV@ >/name; rm -rf /in/sub; ln -s @ENV@ /in/made
# @COMMENT@
FROM base AS count
RUN --mount=type=bind,source=dir,target=/ctx ls /ctx | wc -l >/count
FROM base
COPY --from=count /count /
RUN echo after "$(cat /count)" >>/count
COPY --from=build /sums /modes /names /name /out/
COPY --from=build /in /in/
"#;

#[test]
fn copies_equal_clean_builds() {
    check(COPIES, 1);
}

#[test]
fn stages_equal_clean_builds() {
    check(STAGES, 2);
}

#[test]
fn runs_equal_clean_builds() {
    check(RUNS, 3);
}

fn check(dockerfile: &'static str, stream: u64) {
    let count = number("IREKO_EDITS").unwrap_or(if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        700
    } else {
        60
    });
    let seed = number("IREKO_SEED").unwrap_or(20_261_125);
    let given = std::env::var_os("IREKO").filter(|path| !path.is_empty());
    let binary = given.map_or_else(|| env!("CARGO_BIN_EXE_ireko").into(), PathBuf::from);
    let mut world = World::new(&binary, dockerfile, Random::new(seed.wrapping_mul(31).wrapping_add(stream)));
    if dockerfile.contains("FROM base")
        && let Err(reason) = world.make_base()
    {
        println!("skipped because {reason}");
        return;
    }
    let mut edits = 0;
    let (mut built, mut failed) = (0, String::new());
    while edits < count {
        let log = world.edit();
        edits += log.len() as u64;
        let (cached, clean) = (world.build_cached(), world.build_clean());
        let difference = cached.differences(&clean);
        assert!(
            difference.is_empty(),
            "seed {seed}, edit {edits}: cached | clean\n{difference}\nedits since the last equal build:\n{}\nDockerfile:\n{}",
            log.join("\n"),
            world.dockerfile()
        );
        match clean {
            Outcome::Built(_) => built += 1,
            Outcome::Failed(_, said) => failed = said,
        }
    }
    assert!(
        built * 4 > edits,
        "only {built} builds succeeded for {edits} edits, which proves little; the last failure: {failed}"
    );
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
