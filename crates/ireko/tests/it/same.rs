//! The same build gives the same image: at any level, with any number of jobs, in any folder, at any time.

use crate::support::Place;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

/// Dockerfiles whose steps are deterministic: what they write depends on nothing but what they declare.
const LISTED: &[(&str, &str)] = &[
    (
        "copies",
        "FROM base\nCOPY a /a\nCOPY --chown=app:extra --chmod=640 d /d/\nCOPY --link l* /links/\nCOPY . /all/\n",
    ),
    (
        "directories",
        "FROM base\nWORKDIR /one/two\nUSER app\nWORKDIR three\nCOPY --chown=app a ./\nRUN cat a >b\n",
    ),
    ("archive", "FROM base\nADD t.tar /t/\nADD --chown=7:8 a /a\n"),
    (
        "here-documents",
        "FROM base\nARG V=v\nCOPY <<A <<\"B\" /h/\n$V\nA\n$V\nB\nRUN <<S\nset -e\necho $V >/v\nS\n",
    ),
    (
        "files of every kind",
        "FROM base\nRUN mkdir -p /k/d && cd /k && echo x >f && ln f hard && ln -s f soft && mkfifo p && mkdir -m 1777 s && touch -d '2001-02-03 04:05:06' old && chown -h 3:4 soft && chmod 6755 f\n\
         RUN rm /k/soft && mv /k/hard /k/moved && rm -r /k/d && mkdir /k/d && echo y >/k/d/new\n\
         RUN cd /k && rm f && mkdir f && rm -r s && touch s\n",
    ),
    (
        "stages",
        "FROM base AS one\nCOPY a /a\nRUN sha256sum /a >/s\nFROM base AS two\nRUN seq 9999 | sha256sum >/s\nFROM base\n\
         COPY --from=one /s /1\nCOPY --from=two /s /2\nRUN cat /1 /2 >/3\nENV A=$B\nCMD [\"cat\", \"/3\"]\n",
    ),
    (
        "mounts",
        "FROM base\nRUN --mount=type=bind,target=/c --mount=type=cache,target=/m --mount=type=tmpfs,target=/t cp /c/a /m/a && cp /m/a /t/a && cp /t/a /a\n\
         RUN --mount=type=bind,from=base,source=/etc,target=/e --network=none cat /e/passwd >/p\n",
    ),
    (
        "config",
        "FROM base\nENV A=1 B=\"x y\"\nLABEL z=1 a=2\nEXPOSE 80 53/udp\nVOLUME /v\nUSER 5\nHEALTHCHECK --interval=3s CMD true\nENTRYPOINT [\"sh\"]\n",
    ),
];

/// The context of them all, with times of its own.
fn context(place: &Place, age: u64) {
    place.file("a", "A\n");
    place.file("d/x/y", "y\n");
    place.file("d/z", "z\n");
    symlink("a", place.context().join("link")).expect("a link");
    fs::set_permissions(place.context().join("d/z"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let tar = ireko_testkit::TarStream::new().dir("i").file("i/j", "J\n").symlink("i/k", "j").bytes();
    fs::write(place.context().join("t.tar"), tar).expect("a file");
    for name in ["a", "d/x/y", "d/z", "d/x", "d"] {
        let file = fs::File::open(place.context().join(name)).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("a time");
    }
    // Modes of directories are content; the umask is this machine's.
    for name in ["d", "d/x", ""] {
        fs::set_permissions(place.context().join(name), fs::Permissions::from_mode(0o755)).expect("a mode");
    }
}

/// A config without the times and without what follows from them.
fn timeless(mut config: Value) -> Value {
    config["created"] = json!(null);
    config["rootfs"]["diff_ids"] = json!(null);
    for entry in config["history"].as_array_mut().into_iter().flatten() {
        entry["created"] = json!(null);
    }
    config
}

/// What must be the same of each listed Dockerfile: its name, its layers' contents, its config.
fn pictures(place: &Place, jobs: &str) -> Vec<(String, Vec<String>, Value)> {
    let picture = |(name, text): &(&str, &str)| {
        place.file("Dockerfile", text);
        place.build(&["-j", jobs, "--no-cache"]).ok();
        ((*name).to_owned(), place.contents("app"), timeless(place.config("app")))
    };
    let pictures = LISTED.iter().map(picture).collect();
    place.sound();
    pictures
}

#[test]
fn layers_and_configs_are_the_same_everywhere() {
    let Some(one) = Place::with_base() else { return };
    context(&one, 10_000);
    let first = pictures(&one, "1");

    // Another folder, another store, another time, other times in the context, more jobs.
    let Some(two) = Place::with_base() else { return };
    context(&two, 77);
    assert_same(&first, &pictures(&two, "8"));

    // Without root, where root runs the tests.
    let Some(user) = Place::ordinary_with_base() else { return };
    context(&user, 5);
    assert_same(&first, &pictures(&user, "3"));
}

#[track_caller]
fn assert_same(one: &[(String, Vec<String>, Value)], two: &[(String, Vec<String>, Value)]) {
    for (one, two) in one.iter().zip(two) {
        assert_eq!(one.1, two.1, "contents of `{}`", one.0);
        assert_eq!(one.2, two.2, "config of `{}`", one.0);
    }
}

/// The digest of the manifest that a build into a layout wrote.
fn manifest(place: &Place, starter: &[&str]) -> String {
    let args =
        ["build", "-t", "app", "-q", "--metadata-file", "meta", "-o", "type=oci,dest=out.tar", "context"];
    let output = place.command_by(starter, &args).output().expect("a process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let meta: Value = serde_json::from_slice(&fs::read(place.path("meta")).expect("a file")).expect("JSON");
    meta["containerimage.digest"].as_str().unwrap_or_else(|| panic!("no digest in {meta}")).to_owned()
}

#[test]
fn ids_and_digests_are_equal_where_no_step_ran_again() {
    let Some(place) = Place::with_base() else { return };
    context(&place, 5);
    let text = "FROM base\nCOPY . /all/\nRUN seq 200000 >/big; cat /proc/sys/kernel/random/uuid >/random\nWORKDIR /w\n";
    place.built(text);
    let id = place.id("app");
    place.build(&[]).ok();
    assert_eq!(place.id("app"), id);
    place.build(&["-j1"]).ok();
    assert_eq!(place.id("app"), id);

    let digest = manifest(&place, &[]);
    let bytes = fs::read(place.path("out.tar")).expect("an archive");
    assert_eq!(manifest(&place, &[]), digest);
    assert_eq!(fs::read(place.path("out.tar")).expect("an archive"), bytes);

    // Compressed again, on one core and on all.
    for starter in [&["taskset", "-c", "0"][..], &[]] {
        assert!(drop_blobs(&place) > 0);
        assert_eq!(manifest(&place, starter), digest);
        assert_eq!(place.id("app"), id);
    }
    place.sound();
}

/// Removes the compressed forms of all layers that have others.
fn drop_blobs(place: &Place) -> usize {
    let mut dropped = 0;
    for layer in fs::read_dir(place.store().join("layers")).expect("layers").flatten() {
        for form in fs::read_dir(layer.path()).expect("forms").flatten() {
            let name = form.file_name().into_string().expect("a name");
            if let Some(hex) = name.strip_prefix("blob-")
                && layer.path().join("tar").exists()
            {
                fs::remove_file(form.path()).expect("a form");
                fs::remove_file(place.store().join("blobs/sha256").join(&hex[..2]).join(hex))
                    .expect("a blob");
                dropped += 1;
            }
        }
    }
    dropped
}

#[test]
fn a_pruned_store_still_exports_the_same_image() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nRUN cat /proc/sys/kernel/random/uuid >/random\n");
    let id = place.id("app");
    let random = place.inside("cat /random");
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    assert_eq!(place.id("app"), id);
    assert_eq!(place.inside("cat /random"), random);
    place.ireko(&["save", "-o", "app.tar", "app"]).ok();
    place.ireko(&["rmi", "app"]).ok();
    place.ireko(&["load", "-i", "app.tar"]).ok();
    assert_eq!(place.id("app"), id);
    assert_eq!(place.inside("cat /random"), random);
    place.sound();
}

#[test]
fn with_cutoff_and_without_the_trees_are_the_same() {
    let Some(on) = Place::with_base() else { return };
    let Some(off) = Place::with_base() else { return };
    let text = "FROM base AS build\nRUN --mount=type=bind,source=main.c,target=/main.c sed 's,//.*,,' /main.c >/main.o\nRUN wc -c </main.o >/size\n\
        FROM base\nCOPY --from=build /main.o /size /out/\nRUN cat /out/* >/all\n";
    let mut fewer = 0;
    for source in ["x // 1", "x // 2", "y // 2", "x // 2", "x // 1", "x  // 1"] {
        on.file("main.c", source);
        off.file("main.c", source);
        on.dockerfile(text);
        off.dockerfile(text);
        let short = on.build(&[]).ok().ran().len();
        let long = off.build(&["--cache-cutoff=off"]).ok().ran().len();
        assert!(short <= long, "{source}: {short} steps ran with cut-off, {long} without");
        fewer += long - short;
        assert_eq!(on.contents("app"), off.contents("app"), "{source}");
    }
    assert!(fewer > 0, "nothing was ever cut off");
    on.sound();
    off.sound();
}

/// Builds, and says whether the step that reads the others' output ran, with the layers of the image.
fn rebuilt(place: &Place, args: &[&str]) -> (bool, Vec<String>) {
    let said = place.build(args).ok();
    (said.ran().iter().any(|line| line.contains("RUN cat")), place.layers("app"))
}

#[test]
fn equal_output_keeps_the_first_layers_and_their_times() {
    let Some(place) = Place::with_base() else { return };
    place.file("main.c", "int x; // one\n");
    place.dockerfile("FROM base\nCOPY main.c /m/main.c\nRUN sed 's,//.*,,' /m/main.c >/main.o; rm -r /m\nRUN cat /main.o >/last; date +%N >/when\n");
    assert!(rebuilt(&place, &[]).0);

    let two_stages = "FROM base AS build\nCOPY main.c /main.c\nRUN sed 's,//.*,,' /main.c >/main.o\nFROM base\nCOPY --from=build /main.o /main.o\nRUN cat /main.o >/last; date +%N >/when\n";
    place.dockerfile(two_stages);
    let (ran, layers) = rebuilt(&place, &[]);
    assert!(ran);
    let dates = place.inside("stat -c %y /main.o /last; cat /when");
    place.file("main.c", "int x; // two\n");
    assert_eq!(rebuilt(&place, &[]), (false, layers.clone()), "a comment is no output");
    assert_eq!(place.inside("stat -c %y /main.o /last; cat /when"), dates);

    place.file("main.c", "int y; // two\n");
    let (ran, changed) = rebuilt(&place, &[]);
    assert!(ran, "one byte of output changed");
    assert_ne!(changed, layers);
    place.file("main.c", "int x; // three\n");
    assert_eq!(rebuilt(&place, &[]), (false, layers), "back to what was built first");
    place.sound();
}

#[test]
fn a_touch_is_output() {
    let Some(place) = Place::with_base() else { return };
    let text = |step: &str| {
        format!("FROM base\nRUN echo x >/f\nRUN {step}\nRUN cat /f; stat -c %Y /f >/seen; date +%N >/when\n")
    };
    place.dockerfile(&text("true"));
    rebuilt(&place, &[]);
    // A step that did nothing and one that touched are told apart, and so are two dates.
    let mut seen = Vec::new();
    for step in
        ["true # again", "touch /f", "touch -d '2001-01-01 00:00:00' /f", "touch -d '2001-01-01 00:00:01' /f"]
    {
        place.dockerfile(&text(step));
        seen.push(rebuilt(&place, &[]).0);
    }
    assert_eq!(seen, [false, true, true, true]);
    assert_eq!(place.inside("date -u -d @$(cat /seen) +%FT%T"), "2001-01-01T00:00:01\n");
}

/// A change to the context that a build must see.
struct Edit {
    name: &'static str,
    edit: fn(&std::path::Path) -> std::io::Result<()>,
}

const EDITS: &[Edit] = &[
    Edit { name: "same size, same time", edit: |at| rewrite(&at.join("f"), "2") },
    Edit { name: "a mode", edit: |at| fs::set_permissions(at.join("f"), fs::Permissions::from_mode(0o600)) },
    Edit {
        name: "set-user-id",
        edit: |at| fs::set_permissions(at.join("f"), fs::Permissions::from_mode(0o4755)),
    },
    Edit {
        name: "a mode of a directory",
        edit: |at| fs::set_permissions(at.join("d"), fs::Permissions::from_mode(0o700)),
    },
    Edit {
        name: "a link swapped",
        edit: |at| fs::remove_file(at.join("l")).and_then(|()| symlink("g", at.join("l"))),
    },
    Edit {
        name: "a link for a file",
        edit: |at| fs::remove_file(at.join("l")).and_then(|()| fs::write(at.join("l"), "g")),
    },
    Edit {
        name: "a directory for a file",
        edit: |at| fs::remove_file(at.join("l")).and_then(|()| fs::create_dir(at.join("l"))),
    },
    Edit {
        name: "a file for a directory",
        edit: |at| fs::remove_dir(at.join("l")).and_then(|()| fs::write(at.join("l"), "")),
    },
    Edit { name: "renamed", edit: |at| fs::rename(at.join("f"), at.join("h")) },
    Edit { name: "renamed over", edit: |at| fs::rename(at.join("h"), at.join("g")) },
    Edit { name: "two files swapped", edit: |at| swap(&at.join("d/1"), &at.join("d/2")) },
    Edit { name: "an empty directory", edit: |at| fs::create_dir(at.join("d/e")) },
    Edit { name: "removed", edit: |at| fs::remove_dir(at.join("d/e")) },
];

/// Writes a file again with its old time.
fn rewrite(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let time = fs::metadata(path)?.modified()?;
    fs::write(path, text)?;
    fs::File::options().write(true).open(path)?.set_modified(time)
}

fn swap(one: &std::path::Path, two: &std::path::Path) -> std::io::Result<()> {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside)?;
    fs::rename(two, one)?;
    fs::rename(&aside, two)
}

#[test]
fn every_edit_gives_what_a_clean_build_gives() {
    let Some(cached) = Place::with_base() else { return };
    for (name, text) in [("f", "1"), ("g", "1"), ("d/1", "a"), ("d/2", "b")] {
        cached.file(name, text);
    }
    // The two have the same size and the same time.
    rewrite(&cached.context().join("d/2"), "b").expect("a file");
    symlink("f", cached.context().join("l")).expect("a link");
    let text = "FROM base\nCOPY . /c/\nRUN --mount=type=bind,target=/b cp -r /b /d; find /b | sort | xargs stat -c '%n %a %F %s' >/s\n";
    cached.dockerfile(text);
    let build = |name: &str, args: &[&str]| {
        let mut all = vec!["build", "-q", "-t", name];
        all.extend(args);
        all.push("context");
        cached.ireko(&all).ok();
        cached.contents(name)
    };
    let mut before = build("app", &[]);
    for Edit { name, edit } in EDITS {
        edit(&cached.context()).expect(name);
        let now = build("app", &[]);
        assert_ne!(now, before, "{name}: not seen");
        assert_eq!(now, build("clean", &["--no-cache"]), "{name}: not what a clean build gives");
        before = now;
    }
    cached.sound();
}

/// Hard links are content: a step that links and one that copies differ.
#[test]
fn hard_links_are_told_from_copies() {
    let Some(place) = Place::with_base() else { return };
    let text = |how: &str| format!("FROM base\nRUN echo x >/f && {how} /f /g\nRUN stat -c %h /f /g >/seen\n");
    place.built(&text("cp"));
    assert_eq!(place.inside("cat /seen"), "1\n1\n");
    place.built(&text("ln"));
    assert_eq!(place.inside("cat /seen"), "2\n2\n");
    assert_eq!(place.inside("[ /f -ef /g ] && echo one"), "one\n");
}
