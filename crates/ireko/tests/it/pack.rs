//! `ireko pack`: programs with what they need, directories, helpers, and what cannot be packed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Place, Said};

/// Compiles a C program to a path below the place.
fn compile(place: &Place, path: &str, source: &str, flags: &[&str]) {
    let file = place.path("source.c");
    fs::write(&file, source).expect("a file");
    let out = place.path(path);
    fs::create_dir_all(out.parent().expect("a parent")).expect("a directory");
    let said = Command::new("cc").arg("-o").arg(&out).arg(&file).args(flags).output().expect("a compiler");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

fn config(place: &Place, name: &str) -> Value {
    let text = place.ireko(&["inspect", "--format", "{{json .Config}}", name]).ok().stdout;
    serde_json::from_str(&text).expect("JSON")
}

fn run(place: &Place, args: &[&str]) -> String {
    place.ireko(&[&["run", "--rm"], args].concat()).ok().stdout
}

/// The paths of what is packed so.
fn paths(place: &Place, args: &[&str]) -> Vec<String> {
    let out = place.path("out");
    let _ = fs::remove_dir_all(&out);
    place.ireko(&[&["pack", "-o", "type=local,dest=out"], args].concat()).ok();
    let said = Command::new("find").arg(&out).args(["-printf", "%P\n"]).output().expect("find");
    String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect()
}

const HELLO: &str = "#include <stdio.h>\nint main(int n, char **a){printf(\"hello %s\\n\", n > 1 ? a[1] : \"you\"); return 0;}";

#[test]
fn a_program_and_what_it_needs_and_nothing_else() {
    let Some(place) = Place::new() else { return };
    compile(&place, "hello", HELLO, &[]);
    let said = place.ireko(&["pack", "hello", "-t", "app", "--cmd", "'two words'"]).ok();
    assert!(
        said.stderr.contains("packed ") && said.stderr.contains("libc.so.6, wanted by /hello"),
        "{}",
        said.stderr
    );
    assert_eq!(run(&place, &["app"]), "hello two words\n");
    assert_eq!(run(&place, &["app", "x"]), "hello x\n");
    assert_eq!(config(&place, "app")["Entrypoint"], serde_json::json!(["/hello"]));
    // The shell and all else of this machine stay here.
    place.ireko(&["run", "--rm", "--entrypoint", "/bin/sh", "app"]).fails(127, &["/bin/sh"]);
    // What is equal gives the same image, whenever and under whatever name it was made.
    let id = |name: &str| place.ireko(&["inspect", "--format", "{{.Id}}", name]).ok().stdout;
    let first = id("app");
    Command::new("touch").arg(place.path("hello")).status().expect("touch");
    place.ireko(&["pack", "hello", "-t", "again", "--cmd", "'two words'"]).ok();
    assert_eq!(id("again"), first);
    // Of a changed program only its own layer is new.
    let layers = place.layers("app");
    compile(&place, "hello", &HELLO.replace("hello ", "bye "), &[]);
    place.ireko(&["pack", "hello", "-t", "app"]).ok();
    let changed = place.layers("app");
    assert_eq!(changed.len(), layers.len());
    assert_eq!(changed[..changed.len() - 1], layers[..layers.len() - 1]);
    assert_ne!(changed.last(), layers.last());
    assert_eq!(run(&place, &["app"]), "bye you\n");
    place.ireko(&["pack", "hello", "-t", "few", "--max-layers", "2"]).ok();
    assert_eq!(place.layers("few").len(), 2);
    assert_eq!(run(&place, &["few"]), "bye you\n");
    place.ireko(&["pack", "hello", "-t", "one", "--max-layers", "1"]).ok();
    assert_eq!((place.layers("one").len(), run(&place, &["one"])), (1, "bye you\n".to_owned()));
    place.sound();
}

#[test]
fn a_directory_with_its_config() {
    let Some(place) = Place::new() else { return };
    compile(&place, "dist/bin/tool", HELLO, &[]);
    place.file("../dist/data/text", "some text\n");
    place.file(
        "../dist/run",
        "#!/bin/sh\nread text </dist/data/text; echo \"$text $PLACE $PWD\"; exec /dist/bin/tool \"$@\"\n",
    );
    fs::set_permissions(place.path("dist/run"), fs::Permissions::from_mode(0o755)).expect("a mode");
    std::os::unix::fs::symlink("data/text", place.path("dist/link")).expect("a link");
    let flags =
        ["pack", "./dist", "--entrypoint", "/dist/run", "-t", "app", "--user", "65532", "--workdir", "/dist"];
    let more = [
        "-e",
        "PLACE=here",
        "--expose",
        "8080",
        "--expose",
        "90-91/udp",
        "--label",
        "a=b",
        "--stop-signal",
        "SIGINT",
        "--with",
        "nss,tmp",
    ];
    place.ireko(&[&flags[..], &more].concat()).ok();
    assert_eq!(run(&place, &["app", "me"]), "some text here /dist\nhello me\n");
    let config = config(&place, "app");
    let said = |name: &str| config[name].to_string();
    assert_eq!(said("User"), "\"65532\"");
    assert_eq!(said("ExposedPorts"), "{\"8080/tcp\":{},\"90/udp\":{},\"91/udp\":{}}");
    // Without a date there is none to tell; what programs read is the time that it has.
    let shown = |format: &str| place.ireko(&["images", "--format", format, "app"]).ok().stdout;
    assert_eq!(shown("{{.CreatedSince}} {{.CreatedAt}}"), "N/A 1970-01-01T00:00:00Z\n");
    assert!(!place.ireko(&["images", "app"]).ok().stdout.contains("years ago"));
    assert!(!place.ireko(&["history", "app"]).ok().stdout.contains("years ago"));
    assert_eq!((said("Labels"), said("StopSignal")), ("{\"a\":\"b\"}".to_owned(), "\"SIGINT\"".to_owned()));
    let paths = paths(&place, &["./dist", "--with", "nss,tmp"]);
    let has = |text: &str| paths.iter().any(|path| path == text);
    assert!(
        has("dist/link") && has("etc/passwd") && has("tmp") && has("bin") && !has("usr/bin/env"),
        "{paths:?}"
    );
    // At another place, and two at one.
    let inside = self::paths(&place, &["./dist/run:/opt/"]);
    assert!(inside.contains(&"opt/run".to_owned()), "{inside:?}");
    place.ireko(&["pack", "./dist:/opt/x", "--entrypoint", "/opt/x/bin/tool", "-t", "moved"]).ok();
    assert_eq!(run(&place, &["moved"]), "hello you\n");
    place
        .ireko(&["pack", "./dist", "./dist/run:/dist/run"])
        .fails(2, &["dist/run` are both to lie at `/dist/run`", "hint: give one of them another place"]);
}

#[test]
fn shared_objects_of_a_directory_and_of_an_image() {
    let Some(place) = Place::with_base() else { return };
    // A root whose loader knows the object by its cache alone.
    let root = place.path("root");
    compile(
        &place,
        "root/opt/things/libthing.so.1",
        "int thing(){return 7;}",
        &["-shared", "-fPIC", "-Wl,-soname,libthing.so.1"],
    );
    let library = root.join("opt/things/libthing.so.1").display().to_string();
    compile(
        &place,
        "user",
        "#include <stdio.h>\nint thing(); int main(){printf(\"%d\\n\", thing()); return 0;}",
        &[&library],
    );
    place
        .ireko(&["pack", "user", "-t", "app"])
        .fails(2, &["shared object `libthing.so.1` is not there, wanted by `/user`", "--library-path"]);
    // What the machine's own C library is, the root has too.
    let libc = Command::new("ldd").arg("/bin/sh").output().expect("ldd");
    for word in String::from_utf8_lossy(&libc.stdout).split_whitespace().filter(|word| word.starts_with('/'))
    {
        let real = fs::canonicalize(word).expect("a file");
        for at in [Path::new(word), &real] {
            let inside = root.join(at.strip_prefix("/").expect("absolute"));
            fs::create_dir_all(inside.parent().expect("a parent")).expect("a directory");
            fs::copy(&real, inside).expect("a copy");
        }
    }
    place.file("../root/etc/ld.so.conf", "/opt/things\n");
    let made = Command::new("/sbin/ldconfig").arg("-r").arg(&root).output().expect("ldconfig");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    place.ireko(&["pack", "user", "--root", "root", "-t", "app"]).ok();
    assert_eq!(run(&place, &["app"]), "7\n");
    place.ireko(&["pack", "user", "--root", "root", "--library-path", "/opt/things", "-t", "by-path"]).ok();
    assert_eq!(run(&place, &["by-path"]), "7\n");
    // The same out of an image of the store, and a program that lies in it.
    place.ireko(&["pack", "root:/", "-t", "rooted"]).ok();
    place.ireko(&["pack", "user", "--from", "rooted", "-t", "app2"]).ok();
    assert_eq!(run(&place, &["app2"]), "7\n");
    place
        .ireko(&[
            "pack",
            "--from",
            "base",
            "--include",
            "/bin/busybox,/etc",
            "--cmd",
            "/bin/busybox id -u",
            "-t",
            "box",
        ])
        .ok();
    assert_eq!(run(&place, &["box"]), "0\n");
    let paths = paths(&place, &["--from", "base", "--include", "/bin/busybox,/etc"]);
    assert!(paths.iter().any(|path| path == "etc/passwd"), "{paths:?}");
    // Into an archive for other engines, without a name of the store.
    let archive = Said::of(
        place
            .command(&["pack", "user", "--from", "rooted", "-t", "sent", "-o", "-"])
            .output()
            .expect("it runs"),
    );
    assert!(archive.code == 0 && archive.stdout.contains("manifest.json"), "{}", archive.stderr);
    place.sound();
}

#[test]
fn what_cannot_be_packed_is_told() {
    let Some(place) = Place::new() else { return };
    compile(&place, "hello", HELLO, &[]);
    place.file("../text", "no program\n");
    let mut bytes = fs::read(place.path("hello")).expect("a file");
    bytes[18] = 0xb7;
    fs::write(place.path("foreign"), &bytes).expect("a file");
    let said = |args: &[&str], code: i32, says: &[&str]| {
        place.ireko(&[&["pack"], args].concat()).fails(code, says);
    };
    said(&[], 2, &["nothing is named that could be packed"]);
    said(&["none"], 2, &["cannot read `none`"]);
    said(&["hello", "foreign"], 2, &["libc.so.6", "is for another machine"]);
    said(&["hello:place"], 2, &["cannot read `hello:place`"]);
    said(&["hello:/a/../b"], 2, &["`/a/../b` is no place in an image"]);
    said(&["hello", "--with", "everything"], 2, &["`--with everything` is unknown", "ca-certificates"]);
    said(&["hello", "--user", "me"], 2, &["`--user me`: the user `me` is no number"]);
    said(&["hello", "--cmd", "'open"], 2, &["a quote of `--cmd 'open` is not closed"]);
    said(&["hello", "--entrypoint", "/nothing"], 2, &["`/nothing` is not there"]);
    said(&["text", "--entrypoint", "/text"], 2, &["`/text` is neither an ELF program nor a script"]);
    for (flag, value, says) in [
        ("--expose", "many", "cannot expose `many`"),
        ("--expose", "80/icmp", "cannot expose `80/icmp`"),
        ("--expose", "70000", "cannot expose `70000`"),
        ("--workdir", "app", "`app` is no absolute path"),
        ("--volume", "", "the path of a VOLUME is empty"),
        ("--stop-signal", "SIGBANANA", "`SIGBANANA` is not a signal"),
        ("--user", "1:2:3", "`1:2:3` is no user"),
        ("--env", "=x", "the variable has no name"),
        ("--label", "=x", "the label has no name"),
    ] {
        said(&["hello", flag, value], 2, &[&format!("`{flag} {value}`: "), says]);
    }
    said(&["hello", "--from", "nothing"], 2, &["nothing"]);
    said(&["hello", "--root", "hello"], 2, &["`/lib64/ld-linux-x86-64.so.2`"]);
    let asks =
        "#include <netdb.h>\n#include <dlfcn.h>\nint main(){dlopen(\"x\",1); return getaddrinfo(0,0,0,0);}";
    compile(&place, "asks", asks, &[]);
    let warned = place.ireko(&["pack", "asks", "-t", "asks"]).ok().stderr;
    assert!(warned.contains("`/asks` looks up names of hosts: `--with nss`"), "{warned}");
    assert!(warned.contains("`/asks` loads shared objects by names that only it knows (dlopen)"), "{warned}");
    let warned = place.ireko(&["pack", "asks", "-t", "asks", "--with", "nss"]).ok().stderr;
    assert!(!warned.contains("--with nss"), "{warned}");
    // A directory may have programs for others: told, and packed all the same.
    fs::create_dir(place.path("mixed")).expect("a directory");
    for name in ["hello", "foreign"] {
        fs::copy(place.path(name), place.path("mixed").join(name)).expect("a copy");
    }
    let warned = place.ireko(&["pack", "mixed", "--entrypoint", "/mixed/hello", "-t", "mixed"]).ok().stderr;
    assert!(
        warned.contains("a program of a directory would not start: `/mixed/foreign` is for aarch64"),
        "{warned}"
    );
    assert_eq!(run(&place, &["mixed"]), "hello you\n");
    place.sound();
}

#[test]
fn what_does_not_start_is_told() {
    let Some(place) = Place::new() else { return };
    let file = |name: &str, text: &str, mode| {
        place.file(name, text);
        fs::rename(place.context().join(name), place.path(name)).expect("a file");
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).expect("a mode");
    };
    compile(&place, "hello", HELLO, &[]);
    fs::set_permissions(place.path("hello"), fs::Permissions::from_mode(0o644)).expect("a mode");
    file("script", "#!/hello\n", 0o644);
    file("words", "echo\n", 0o755);
    file("data", "x\n", 0o644);
    let (mode, form) = ("nobody may execute it (mode 644)", "is neither an ELF program nor a script");
    let open = "the image does not say how it starts";
    // A download or a job's artifact lost its bits: also beside what it reads.
    for (args, why) in
        [(&["hello"][..], mode), (&["hello", "data"], mode), (&["script"], mode), (&["words"], form)]
    {
        let said = place.ireko(&[&["pack", "-t", "app"], args].concat()).ok();
        assert!(said.stderr.contains(why) && said.stderr.contains(open), "{args:?}: {}", said.stderr);
        assert_eq!(config(&place, "app")["Entrypoint"], Value::Null, "{args:?}");
    }
    // Files alone are no program, and need none.
    compile(&place, "lib/libown.so", "int own(void){return 7;}", &["-shared", "-fPIC"]);
    fs::set_permissions(place.path("lib/libown.so"), fs::Permissions::from_mode(0o644)).expect("a mode");
    for args in [&["data"][..], &["data", "lib/libown.so"], &["lib/libown.so"], &["lib"]] {
        let said = place.ireko(&[&["pack", "-t", "files"], args].concat()).ok();
        assert!(!said.stderr.contains(open), "{args:?}: {}", said.stderr);
    }
    for args in [
        &["hello", "--entrypoint", "/hello"][..],
        &["hello", "--cmd", "you"],
        &["data", "hello", "--cmd", "/hello"],
        &["script", "hello", "--entrypoint", "/script"],
    ] {
        let said = place.ireko(&[&["pack", "-t", "refused"], args].concat());
        said.fails(2, &[mode, &format!("hint: `chmod +x {}", place.path("").display())]);
    }
    // One of an image is nobody's to change.
    place.ireko(&["pack", "hello", "-t", "lost"]).ok();
    let said = place.ireko(&["pack", "--from", "lost", "--include", "/hello", "--cmd", "/hello"]);
    assert!(said.code == 2 && said.stderr.contains("`/hello` cannot be started"), "{}", said.stderr);
    assert!(!said.stderr.contains("chmod"), "{}", said.stderr);
    // Beside a file that is no program, what is said is the whole command.
    fs::set_permissions(place.path("hello"), fs::Permissions::from_mode(0o755)).expect("a mode");
    place.ireko(&["pack", "hello:/usr/bin/hello", "-t", "base"]).ok();
    for file in ["data", "script"] {
        place.ireko(&["pack", "--from", "base", file, "--cmd", "hello /data", "-t", "app"]).ok();
        assert_eq!(run(&place, &["app"]), "hello /data\n", "{file}");
    }
    place.ireko(&["pack", "--from", "base", "data", "--cmd", "helo"]).fails(2, &["`helo` is not there"]);
    place.ireko(&["pack", "words", "--entrypoint", "/words"]).fails(2, &[form, "`#!/bin/sh`"]);
    place.ireko(&["inspect", "refused"]).fails(2, &["refused"]);
}
