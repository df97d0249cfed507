//! What takes space, whose it is, and what goes: by hand, at the end of a build, and where the disk is full.

use crate::bad_input::in_small_world;
use crate::support::Place;
use ireko_testkit::TestRegistry;
use serde_json::Value;

fn json(place: &Place, args: &[&str]) -> Value {
    serde_json::from_str(&place.ireko(args).ok().stdout).expect("JSON")
}

/// Bytes of the store, as a limit counts them.
pub(crate) fn size(place: &Place) -> u64 {
    let told = json(place, &["cache", "du", "--format", "json"]);
    let kinds = told["kinds"].as_array().expect("kinds");
    let counted = kinds.iter().filter(|kind| kind["kind"] != "temporary");
    counted.map(|kind| kind["bytes"].as_u64().expect("bytes")).sum()
}

const STAGES: &str = "FROM base AS tools\nRUN head -c 300000 /dev/urandom >/tools\n\
    FROM base\nCOPY --from=tools /tools /tools\nRUN --mount=type=cache,target=/m,id=things echo x >/m/x; echo y >/y\n";

#[test]
fn space_is_told_by_project_stage_and_kind() {
    let Some(place) = Place::with_base() else { return };
    place.built(STAGES);
    let told = json(&place, &["cache", "du", "--format", "json"]);
    let context = place.context().display().to_string();
    let of = |list: &str, key: &str, wanted: &str| {
        let list = told[list].as_array().expect("a list").iter();
        list.filter(|row| row[key] == wanted).cloned().collect::<Vec<Value>>()
    };
    let project = &of("projects", "project", &context)[0];
    assert!(project["bytes"].as_u64() >= Some(300_000) && project["count"].as_u64() > Some(3), "{project}");
    let tools = &of("stages", "stage", "tools")[0];
    assert!(tools["project"] == context.as_str() && tools["bytes"].as_u64() >= Some(300_000), "{tools}");
    let mount = &of("items", "kind", "cache mount")[0];
    assert!(mount["name"].as_str().is_some_and(|name| name.contains("things")), "{mount}");
    // Of what tagged images need nothing can be reclaimed.
    let layer = of("items", "stage", "1").into_iter().find(|row| row["kind"] == "layer tar");
    assert!(layer.is_none_or(|row| row["tagged"] == true), "{told:#}");
    for (by, says) in
        [("project", context.as_str()), ("stage", "[tools]"), ("kind", "cache mount"), ("item", &context)]
    {
        let said = place.ireko(&["cache", "du", "--by", by]).ok().stdout;
        assert!(said.contains(says) && said.contains("total "), "{said}");
    }

    let said = place.ireko(&["system", "df"]).ok().stdout;
    let heads: Vec<&str> = said.lines().map(|line| line.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(heads, ["TYPE", "Images", "Containers", "Local Volumes", "Build Cache"]);
    assert!(place.ireko(&["system", "df", "-v"]).ok().stdout.contains(&context));
    let told = json(&place, &["system", "df", "--format", "json"]);
    let images = &told["types"][0];
    assert!(images["type"] == "Images" && images["total"] == 2 && images["active"] == 2, "{images}");
    assert!(images["size"].as_u64() > Some(300_000), "{images}");
    let cache = &told["types"][3];
    assert!(cache["reclaimable"].as_u64() <= cache["size"].as_u64() && cache["size"].as_u64() > Some(0));
}

#[test]
fn the_project_of_a_record_is_no_part_of_its_key() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nRUN echo a >/a\n");
    let other = place.path("other");
    std::fs::create_dir(&other).expect("a directory");
    std::fs::copy(place.context().join("Dockerfile"), other.join("Dockerfile")).expect("a copy");
    let said = place.ireko(&["build", "--progress=plain", "-t", "other", "other"]).ok();
    assert_eq!(said.ran(), Vec::<String>::new());
    assert_eq!(place.id("other"), place.id("app"));
}

#[test]
fn docker_s_words_for_pruning_do_the_same() {
    let Some(place) = Place::with_base() else { return };
    place.built(STAGES);
    let has = |kind: &str| {
        let told = json(&place, &["cache", "du", "--format", "json"]);
        let kinds = told["kinds"].as_array().expect("kinds").clone();
        kinds.iter().any(|row| row["kind"] == kind && row["count"].as_u64() > Some(0))
    };
    // Nothing is a week old.
    assert!(place.ireko(&["cache", "prune", "-f"]).ok().stdout.starts_with("removed 0 items"));
    assert!(
        place.ireko(&["cache", "prune", "-f", "--keep", "7d"]).ok().stdout.starts_with("removed 0 items")
    );
    assert!(
        place
            .ireko(&["buildx", "prune", "-f", "--filter", "until=24h"])
            .ok()
            .stdout
            .starts_with("removed 0 items")
    );
    assert!(
        place
            .ireko(&["builder", "prune", "-f", "--filter", "inuse"])
            .ok()
            .stdout
            .starts_with("removed 0 items")
    );
    let told = place.ireko(&["builder", "prune", "--dry-run"]).ok().stdout;
    assert!(told.starts_with("would remove ") && has("cache mount"), "{told}");
    place.ireko(&["builder", "prune", "-f", "--filter", "type=exec.cachemount"]).ok();
    assert!(!has("cache mount") && has("record"));
    // A rebuild with another tag leaves an image without a name.
    place.ireko(&["build", "-q", "--label", "old=1", "-t", "app", "context"]).ok();
    place.ireko(&["build", "-q", "--label", "new=1", "-t", "app", "context"]).ok();
    let dangling = |place: &Place| {
        place.ireko(&["images", "-q", "--filter", "dangling=true"]).ok().stdout.lines().count()
    };
    assert_eq!(dangling(&place), 2);
    place.ireko(&["image", "prune"]).fails(2, &["-f"]);
    let pruned = place.ireko(&["image", "prune", "-f", "--filter", "label=old"]).ok().stdout;
    assert!(pruned.starts_with("Deleted: sha256:") && dangling(&place) == 1, "{pruned}");
    let said = place.ireko(&["image", "prune", "-af"]).ok();
    assert!(dangling(&place) == 0 && said.stderr.contains("2 tagged images stay"), "{}", said.stderr);
    place.ireko(&["system", "prune", "-f", "--volumes"]).ok();
    assert!(!has("record"));
    assert_eq!(place.inside("cat /y"), "y\n");
    place.ireko(&["builder", "prune", "-af"]).ok();
    assert!(!has("unpacked layer"));
    assert_eq!(place.inside("cat /y"), "y\n");
    place.sound();
    place.ireko(&["cache", "check"]).ok();
}

#[test]
fn a_build_keeps_the_limit_and_what_it_made() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base AS one\nRUN head -c 4000000 /dev/urandom >/big\nFROM base\nCOPY --from=one /etc/passwd /x\n");
    let before = size(&place);
    assert!(before > 4_000_000);
    let limit = before - 2_000_000;
    let text = limit.to_string();
    // A build that makes nothing new has nothing to bring down: only what is told of it is new.
    place.build(&["--cache-max-size", &text]).ok();
    assert!(size(&place) - before <= 8192, "{} after {before}", size(&place));
    place.dockerfile("FROM base\nRUN echo new >/new\n");
    let said = place.build(&["--cache-max-size", &text]).ok();
    assert!(said.stderr.contains("cache: ") && said.stderr.contains("may be kept"), "{}", said.stderr);
    assert!(size(&place) <= limit, "{} of {limit}", size(&place));
    assert_eq!(place.inside("cat /new"), "new\n");
    // By the environment, and less than tagged images need: what was just built is there all the same.
    place.dockerfile("FROM base AS one\nRUN echo heard; echo 1 >/one\nFROM base\nCOPY --from=one /one /one\nRUN echo newer >/new\n");
    let mut command = place.command(&["build", "-q", "context"]);
    let said =
        crate::support::Said::of(command.env("IREKO_CACHE_MAX_SIZE", "1").output().expect("it runs")).ok();
    let id = said.stdout.trim().to_owned();
    assert_eq!(place.ireko(&["run", "--rm", &id, "cat", "/new"]).ok().stdout, "newer\n");
    // So is what tells of it, also of the stage whose layers went.
    let told = place.ireko(&["history"]).ok().stdout;
    let last: Vec<&str> =
        told.lines().nth(1).into_iter().flat_map(|line| line.split("  ")).map(str::trim).collect();
    assert!(last.contains(&"done") && last.contains(&"3"), "{told}");
    assert!(place.ireko(&["logs"]).ok().stdout.contains("heard"));
    assert_eq!(place.build(&[]).ok().ran(), Vec::<String>::new());
    let mut command = place.command(&["build", "-q", "context"]);
    let said =
        crate::support::Said::of(command.env("IREKO_CACHE_MAX_SIZE", "much").output().expect("it runs"));
    said.fails(2, &["`IREKO_CACHE_MAX_SIZE=much` is no size"]);
    place.sound();
}

#[test]
fn a_build_on_a_full_disk_prunes_and_tries_once_more() {
    let Some(place) = Place::with_base() else { return };
    place.ireko(&["save", "-o", "base.tar", "base"]).ok();
    place.file("Dockerfile.old", "FROM base\nRUN head -c 8000000 /dev/urandom >/old\n");
    place.file("Dockerfile.run", "FROM base\nRUN echo first >/first\nRUN head -c 7000000 /dev/zero | tr '\\0' x >/big && cat /big /big >/bigger && rm /big\n");
    place.file("big", &"0123456789abcde\n".repeat(850_000));
    place.file("Dockerfile.copy", "FROM base\nCOPY big /big\n");
    place.file("Dockerfile.much", "FROM base\nRUN head -c 90000000 /dev/zero >/much\n");
    // Copies of trees would take other sizes.
    let script = "
        export IREKO_SNAPSHOTTER=overlay
        $IREKO load -i base.tar || exit 91
        build() { $IREKO build --progress=plain -t $1 -f context/Dockerfile.$1 context; }
        build old || exit 92; $IREKO rmi old
        build run || exit 93; $IREKO run --rm run cat /first || exit 94; $IREKO rmi run; echo copy >&2
        build copy || exit 95; $IREKO inspect copy >/dev/null || exit 96
        $IREKO cache fsck || exit 97
        build much; echo much: $?
        $IREKO cache fsck || exit 98
        $IREKO save copy >/dev/null || exit 99";
    let Some(said) = in_small_world(&place, "-t tmpfs -o size=30m,mode=755", script) else { return };
    let said = said.ok();
    let pruned = said.stderr.matches("the disk is full: removed ").count();
    // What was done before the disk was full is not done again.
    let (before, _) = said.stderr.split_once("\ncopy\n").expect("the second part");
    assert!(
        before.contains("the disk is full") && before.contains("RUN echo first >/first: hit"),
        "{before}"
    );
    assert!(pruned >= 2 && said.stderr.contains("trying once more"), "{}", said.stderr);
    assert!(said.stdout.contains("first\n"), "{}", said.stdout);
    assert!(said.stdout.contains("much: 3\n"), "{} {}", said.stdout, said.stderr);
    let full = said.stderr.contains("No space left on device") || said.stderr.contains("no space is left");
    assert!(full && said.stderr.contains("hint: free space on that disk"), "{}", said.stderr);
}

/// Scripts for a small disk: `full` leaves about 4 MB of it, and 8 MB more that nothing needs.
const FULL: &str = "
    export IREKO_SNAPSHOTTER=overlay
    unneeded() { $IREKO build -q --no-cache -t old -f context/Dockerfile.old context && $IREKO rmi old; }
    full() {
        rm -f small/filler; unneeded || exit 92
        free=$(df --output=avail -B1 small | tail -1); head -c $((free - 4000000)) /dev/zero >small/filler
    }
    sound() { rm -f small/filler; $IREKO cache fsck || exit 93; }
    $IREKO load -i base.tar || exit 91
";

#[test]
fn a_disk_without_a_byte_is_room_enough_once_it_is_pruned() {
    let Some(place) = Place::with_base() else { return };
    place.ireko(&["save", "-o", "base.tar", "base"]).ok();
    place.file("Dockerfile.old", "FROM base\nRUN head -c 8000000 /dev/urandom >/old\n");
    place.file("Dockerfile.small", "FROM base\nARG N\nRUN echo $N >/small\n");
    place.file("Dockerfile.loud", "FROM base\nRUN yes | head -c 40000000 | tee /much\n");
    let script = format!(
        "{FULL}
        filled() {{ full; head -c 9000000 /dev/zero >>small/filler 2>/dev/null; }}
        build() {{ $IREKO build -q -t app -f context/Dockerfile.small --build-arg N=$1 context; }}
        filled; $IREKO tag base other || exit 81; sound
        filled; build 1 || exit 82; sound
        filled; $IREKO save -o small/app.tar app || exit 83; rm small/app.tar; sound
        filled; $IREKO run --rm app cat /small || exit 84; sound
        $IREKO build --progress=quiet -f context/Dockerfile.loud context; echo loud: $?; sound"
    );
    let Some(said) = in_small_world(&place, "-t tmpfs -o size=40m,mode=755", &script) else { return };
    let said = said.ok();
    let told = format!("{}\n{}", said.stdout, said.stderr);
    // What a step writes to its log is no reason for it to fail.
    assert!(said.stdout.contains("loud: 3\n") && !told.contains("cannot write the step's log"), "{told}");
    assert!(said.stderr.contains("caused by: no space is left where the store lies"), "{told}");
    assert!(said.stderr.contains("hint: free space on that disk"), "{told}");
}

#[test]
fn load_run_and_pull_prune_on_a_full_disk_too() {
    let Some(place) = Place::with_base() else { return };
    place.ireko(&["save", "-o", "base.tar", "base"]).ok();
    place.file("Dockerfile.old", "FROM base\nRUN head -c 8000000 /dev/urandom >/old\n");
    place.dockerfile("FROM base\nRUN head -c 7000000 /dev/urandom >/big\n");
    place.build(&["-t", "big"]).ok();
    place.ireko(&["save", "-o", "big.tar", "big"]).ok();
    let registry = TestRegistry::start();
    let name = format!("{}/big:1", registry.address());
    place.ireko(&["tag", "big", &name]).ok();
    place.ireko(&["push", &name]).ok();
    let script = format!(
        "{FULL}
        full; $IREKO load -i big.tar || exit 81; sound
        full; $IREKO run --rm big sh -c 'wc -c </big' || exit 82; sound
        $IREKO rmi big; $IREKO cache prune -f --all
        full; $IREKO load <big.tar; echo piped: $?; $IREKO load <big.tar || exit 83; sound
        $IREKO rmi big; $IREKO cache prune -f --all
        full; $IREKO pull {name} || exit 84; sound; full; $IREKO run --rm {name} sh -c 'wc -c </big' || exit 85; sound
        $IREKO rmi {name}; $IREKO cache prune -f --all
        head -c 40000000 /dev/zero >small/more 2>/dev/null; $IREKO load -i big.tar; echo hopeless: $?"
    );
    let Some(said) = in_small_world(&place, "-t tmpfs -o size=40m,mode=755", &script) else { return };
    let said = said.ok();
    let told = format!("{}\n{}", said.stdout, said.stderr);
    assert!(said.stderr.matches("; trying once more").count() >= 2, "{told}");
    assert_eq!(said.stdout.matches("7000000\n").count(), 2, "{told}");
    assert!(said.stdout.contains("piped: 3\n") && said.stdout.contains("hopeless: 3\n"), "{told}");
    assert!(said.stderr.contains("hint: there is more room now: do the same once more"), "{told}");
    assert!(said.stderr.contains("hint: free space on that disk"), "{told}");
}
