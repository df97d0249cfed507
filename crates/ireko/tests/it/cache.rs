//! What is built again, what is not, and how a miss is explained.

use crate::support::{Place, Said};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

#[test]
fn an_unchanged_build_runs_nothing() {
    let Some(place) = Place::with_base() else { return };
    place.file("a", "1");
    place.built("FROM base\nCOPY a /a\nRUN cp /a /b\nWORKDIR /w\n");
    let again = place.build(&[]).ok();
    assert_eq!(again.ran(), Vec::<String>::new(), "{}", again.stderr);
    assert_eq!(again.stderr.matches(": hit").count(), 3, "{}", again.stderr);
}

#[test]
fn every_kind_of_change_is_seen() {
    let Some(place) = Place::with_base() else { return };
    let file = place.file("a", "1");
    symlink("one", place.context().join("link")).expect("a link");
    place.built("FROM base\nARG V=1\nCOPY . /all/\nRUN cat /all/a >/seen; readlink /all/link >>/seen; stat -c %a /all/a >>/seen; echo $V >>/seen\n");
    let seen = |place: &Place| place.inside("cat /seen");
    assert_eq!(seen(&place), "1one\n644\n1\n");

    // The same size and the same time.
    let time = fs::metadata(&file).and_then(|metadata| metadata.modified()).expect("a time");
    fs::write(&file, "2").expect("a file");
    fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(time)).expect("a time");
    let said = place.build(&[]).ok();
    assert!(said.stderr.contains("`a` changed"), "{}", said.stderr);
    assert_eq!(seen(&place), "2one\n644\n1\n");

    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    place.build(&[]).ok();
    assert_eq!(seen(&place), "2one\n600\n1\n");

    fs::remove_file(place.context().join("link"))
        .and_then(|()| symlink("two", place.context().join("link")))
        .expect("a link");
    place.build(&[]).ok();
    assert_eq!(seen(&place), "2two\n600\n1\n");

    let said = place.build(&["--build-arg", "V=2"]).ok();
    assert!(said.stderr.contains("`V` changed"), "{}", said.stderr);
    assert_eq!(seen(&place), "2two\n600\n2\n");
}

/// A file that a step with a cache sees with its source's newer time keeps its own in the layer.
#[test]
fn a_mode_is_no_new_time() {
    let Some(place) = Place::with_base() else { return };
    let file = place.file("a", "1");
    let dockerfile = "FROM base\nCOPY a /a\nARG N\nRUN --mount=type=cache,target=/c stat -c %Y /a >/c/seen; chmod 700 /a\n";
    place.built(dockerfile);
    let (first, old) = (place.contents("app"), place.inside("stat -c '%Y %a' /a"));
    let newer = SystemTime::now() + Duration::from_secs(5000);
    fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(newer)).expect("a time");
    let said = place.build(&["--build-arg", "N=2"]).ok();
    assert!(said.stderr.contains("`N` changed"), "{}", said.stderr);
    assert_eq!(place.contents("app"), first);
    assert_eq!(place.inside("stat -c '%Y %a' /a"), old);
}

/// What a cache holds of another version is noticed, though lines were added below the step meanwhile.
#[test]
fn a_step_that_moved_is_known_again() {
    let Some(place) = Place::with_base() else { return };
    let dockerfile = |more: &str| {
        format!(
            "FROM base\nCOPY v /v\nRUN cp /v /made\n{more}RUN --mount=type=cache,target=/c [ /c/of -nt /made ] || cp /made /c/of; cp /c/of /got\n"
        )
    };
    for (version, more) in [("1", ""), ("2", ""), ("1", "WORKDIR /w\nRUN true\n")] {
        place.file("v", version);
        place.built(&dockerfile(more));
        assert_eq!(place.inside("cat /got"), version, "{more}");
        // The shell compares whole seconds.
        std::thread::sleep(Duration::from_millis(1100));
    }
}

#[test]
fn equal_output_stops_the_rebuild() {
    let Some(place) = Place::with_base() else { return };
    place.file("main.c", "int x; // one\n");
    let dockerfile = "FROM base AS build\nCOPY main.c /main.c\nRUN sed 's,//.*,,' /main.c >/main.o\nFROM base\nCOPY --from=build /main.o /main.o\nRUN cat /proc/sys/kernel/random/uuid >/stamp\n";
    place.built(dockerfile);
    let stamp = place.inside("cat /stamp");
    place.file("main.c", "int x; // two\n");
    let said = place.build(&[]).ok();
    assert!(
        said.stderr.contains("RUN sed") && said.stderr.contains("the steps below gave the same result")
            || said.stderr.contains(": hit"),
        "{}",
        said.stderr
    );
    assert_eq!(place.inside("cat /stamp"), stamp);
    place.file("main.c", "int y; // two\n");
    place.build(&[]).ok();
    assert_ne!(place.inside("cat /stamp"), stamp);
}

#[test]
fn a_touch_is_a_change_and_a_date_is_content() {
    let Some(place) = Place::with_base() else { return };
    place.built(
        "FROM base\nRUN touch -d '2001-02-03 04:05:06' /f\nRUN touch /etc/passwd\nRUN stat -c %Y /f >/seen\n",
    );
    let first = place.inside("cat /seen");
    place.built(
        "FROM base\nRUN touch -d '2002-02-03 04:05:06' /f\nRUN touch /etc/passwd\nRUN stat -c %Y /f >/seen\n",
    );
    assert_ne!(place.inside("cat /seen"), first);
}

#[test]
fn lost_results_are_made_again() {
    let Some(place) = Place::with_base() else { return };
    place.file("a", "1");
    place.built("FROM base\nCOPY a /a\nRUN cp /a /b\nRUN cat /b\n");
    place.ireko(&["rmi", "app"]).ok();
    place.ireko(&["cache", "prune", "-f", "--unused-for", "0s"]).ok();
    place.file("a", "1");
    place.built("FROM base\nCOPY a /a\nRUN cp /a /b\nRUN cat /b /b\n");
    assert_eq!(place.inside("cat /a /b"), "11");
    place.sound();
}

#[test]
fn no_cache_runs_everything_or_a_stage() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base AS one\nRUN cat /proc/sys/kernel/random/uuid >/one\nFROM base\nCOPY --from=one /one /one\nRUN cat /proc/sys/kernel/random/uuid >/two\n");
    let times = |place: &Place| place.inside("cat /one /two").lines().map(str::to_owned).collect::<Vec<_>>();
    let first = times(&place);
    place.build(&["--no-cache-filter", "one"]).ok();
    let second = times(&place);
    assert_ne!(first[0], second[0]);
    place.build(&["--no-cache"]).ok();
    assert_ne!(second[1], times(&place)[1]);
}

/// A cache mount remembers v2's object when the source is v1 again.
#[test]
fn a_reverted_source_is_compiled_again() {
    let Some(place) = Place::with_base() else { return };
    // The compiler: the object is made again only where the source is newer, as make decides.
    let step = "sh -c '[ /cache/o -nt /src/main ] || cp /src/main /cache/o; cp /cache/o /program'";
    for (copy, mount) in
        [("COPY main /src/main\n", ""), ("", "--mount=type=bind,source=main,target=/src/main ")]
    {
        let dockerfile =
            format!("FROM base\n{copy}RUN --mount=type=cache,id=objects,target=/cache {mount}{step}\n");
        for (version, age) in [("v1", 300), ("v2", 200), ("v1", 100), ("v2", 50)] {
            let file = place.file("main", version);
            let time = SystemTime::now() + Duration::from_secs(1000 - age);
            fs::File::options()
                .write(true)
                .open(&file)
                .and_then(|file| file.set_modified(time))
                .expect("a time");
            place.built(&dockerfile);
            assert_eq!(place.inside("cat /program"), version, "{dockerfile}");
        }
        place.ireko(&["cache", "prune", "--all", "-f"]).ok();
        let Some(base) = Place::with_base() else { return };
        drop(base);
    }
}

#[test]
fn builds_at_the_same_time_share_a_store() {
    let Some(place) = Place::with_base() else { return };
    place.file("a", "1");
    place.dockerfile("FROM base\nCOPY a /a\nRUN sleep 0.2; cat /proc/sys/kernel/random/uuid >/b\n");
    let children: Vec<_> = (0..4)
        .map(|at| {
            let tag = format!("app{at}");
            place
                .command(&["build", "-q", "-t", &tag, "context"])
                .stdout(std::process::Stdio::null())
                .spawn()
                .expect("a process")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("an end").success());
    }
    place.sound();
}

#[test]
fn what_a_cache_mount_begins_with_is_declared() {
    let Some(place) = Place::with_base() else { return };
    let dockerfile = "FROM base AS seed\nCOPY f /seed/f\nFROM base\n\
        RUN --mount=type=cache,id=seeded,from=seed,source=/seed,target=/c cat /c/f >/out\n";
    for text in ["one\n", "two\n", "one\n"] {
        place.file("f", text);
        place.built(dockerfile);
        assert_eq!(place.inside("cat /out"), text);
    }
}

#[test]
fn locked_caches_never_wait_for_each_other_or_for_themselves() {
    let Some(place) = Place::with_base() else { return };
    let mount = |id: &str, target: &str| format!("--mount=type=cache,id={id},sharing=locked,target={target}");
    let (twice, a, b) = (mount("x", "/twice"), mount("x", "/one"), mount("y", "/two"));
    place.built(&format!(
        "FROM base AS a\nRUN {a} {b} {twice} echo a >/one/a && sleep 0.3 && cat /twice/a >/out\n\
         FROM base AS b\nRUN {b} {a} sleep 0.3; true >/out\n\
         FROM base\nCOPY --from=a /out /a\nCOPY --from=b /out /b\n"
    ));
    assert_eq!(place.inside("cat /a"), "a\n");
}

/// A mount point inside a cache is made in the cache, by whichever step comes first.
#[test]
fn steps_that_share_a_cache_may_mount_into_it() {
    let Some(place) = Place::with_base() else { return };
    let mounts = "--mount=type=cache,target=/c --mount=type=cache,target=/c/in";
    let stages = (0..4).map(|at| format!("FROM base AS s{at}\nRUN {mounts} echo {at} >/out\n"));
    let copies = (0..4).map(|at| format!("COPY --from=s{at} /out /out{at}\n"));
    let text: String = stages.chain(["FROM base\n".to_owned()]).chain(copies).collect();
    place.dockerfile(&text);
    for _ in 0..10 {
        place.build(&["--no-cache", "-j", "4"]).ok();
        place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    }
    assert_eq!(place.inside("cat /out*"), "0\n1\n2\n3\n");
}

/// What ran, by the last word of each step.
fn ran(said: &Said) -> Vec<String> {
    let words =
        |line: &String| line.split(':').next().unwrap_or("").split(' ').next_back().unwrap_or("").to_owned();
    said.ran().iter().map(words).collect()
}

#[test]
fn a_result_counts_for_as_long_as_was_said() {
    let Some(place) = Place::with_base() else { return };
    place.file("f", "f");
    place.dockerfile(
        "FROM base\nCOPY f f\nRUN cat /proc/sys/kernel/random/uuid > /one\n# why it is fetched again\n# ireko:cache-ttl=0\nRUN cat /proc/sys/kernel/random/uuid > /two\n\
         # ireko:cache-ttl=2w\nRUN cat /one > /three\n# ireko:cache-ttl=1h\nRUN true four\n",
    );
    place.build(&[]).ok();
    assert_eq!(
        ran(&place.build(&[]).ok()),
        ["/two", "/three", "four"],
        "`/two` is never taken from the cache"
    );
    place.dockerfile(
        "FROM base\nCOPY f f\nRUN cat /proc/sys/kernel/random/uuid > /one\n# ireko:cache-ttl=0\nRUN true two\nRUN true three\n",
    );
    place.build(&[]).ok();
    let again = place.build(&[]).ok();
    assert_eq!(
        ran(&again),
        ["two"],
        "what gives the same result again leaves the rest a hit: {}",
        again.stderr
    );
    assert!(again.stderr.contains(" s old, and counts for 0 s)"), "{}", again.stderr);
    // The build's own limit is for commands: a copy is as old as its files.
    assert_eq!(ran(&place.build(&["--cache-ttl", "0"]).ok()), ["/one", "two", "three"]);
    assert_eq!(ran(&place.build(&["--cache-ttl", "1d12h"]).ok()), ["two"]);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(ran(&place.build(&["--cache-ttl", "1s"]).ok()), ["/one", "two", "three"]);
    place.build(&["--cache-ttl", "soon"]).fails(2, &["--cache-ttl soon", "24h"]);
    place.dockerfile("FROM base\n# ireko:cache-ttl=soon\nRUN true\n");
    place.build(&[]).fails(2, &["ireko:cache-ttl=soon", "Dockerfile:3"]);
}
