//! Programs of this machine against what its own loader says, and small ones for each rule.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;

/// What the machine's loader loads for a program, without links; nothing where it is no dynamic program.
fn loaded(program: &Path) -> Option<BTreeSet<String>> {
    let said = Command::new("ldd").arg(program).env("LC_ALL", "C").output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    if said.contains("not found") || said.contains("not a dynamic") || said.contains("statically linked") {
        return None;
    }
    let path = |line: &str| {
        let path = line.rsplit("=> ").next()?.trim().split(" (").next()?.to_owned();
        path.starts_with('/').then(|| fs::canonicalize(path).expect("a file").display().to_string())
    };
    Some(said.lines().filter_map(path).collect())
}

#[test]
fn this_machine_s_programs_load_what_their_loader_loads() {
    let mut compared = 0;
    for entry in fs::read_dir("/usr/bin").expect("programs").filter_map(Result::ok) {
        let path = entry.path();
        let is_elf = fs::File::open(&path).is_ok_and(|file| elf::is_elf(&file).unwrap_or(false));
        if !is_elf || compared == 60 {
            continue;
        }
        let Some(expected) = loaded(&path) else { continue };
        let name = path.display().to_string();
        let needs = closure(&Dir::new("/"), &[&name], &Options::default()).expect("it runs here");
        let own = fs::canonicalize(&path).expect("a file").display().to_string();
        let files: BTreeSet<String> = needs.files.into_keys().filter(|file| *file != own).collect();
        assert_eq!(files, expected, "{name}");
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}

/// Objects to compile: paths, sources, flags, where `@` is the root.
type Objects<'a> = [(&'a str, &'a str, &'a [&'a str])];

/// A root with objects, and the machine's loader and C library beside them.
fn root(objects: &Objects<'_>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |path: &str| dir.path().join(path.trim_start_matches('/'));
    let libc = closure(&Dir::new("/"), &["/bin/sh"], &Options::default()).expect("a shell");
    for (path, _) in libc.files {
        fs::create_dir_all(at(&path).parent().expect("a parent")).expect("a directory");
        fs::copy(&path, at(&path)).expect("a copy");
    }
    for (link, target) in libc.links {
        fs::create_dir_all(at(&link).parent().expect("a parent")).expect("a directory");
        let _ = std::os::unix::fs::symlink(target, at(&link));
    }
    for (path, source, flags) in objects {
        fs::create_dir_all(at(path).parent().expect("a parent")).expect("a directory");
        let file = dir.path().join("source.c");
        fs::write(&file, source).expect("a file");
        let mut cc = Command::new("cc");
        cc.arg("-o").arg(at(path)).arg(&file).args(["-Wl,--allow-shlib-undefined", "-Wl,--no-as-needed"]);
        for flag in *flags {
            cc.arg(flag.replace("@", &dir.path().display().to_string()));
        }
        let said = cc.output().expect("a compiler");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    dir
}

/// Flags of a shared object with a name of its own.
fn lib<'a>(soname: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["-shared", "-fPIC", soname][..], more].concat()
}

fn needs(dir: &tempfile::TempDir, program: &str) -> Result<Closure, Error> {
    closure(&Dir::new(dir.path()), &[program], &Options::default())
}

fn wanted_by(closure: &Closure, path: &str) -> Option<String> {
    closure.files.get(path).and_then(|file| file.wanted_by.clone())
}

const DEEP: &str = "int deep(){return 1;}";
const MID: &str = "int deep(); int mid(){return deep();}";
const MAIN: &str = "int mid(); int main(){return mid();}";

#[test]
fn search_paths_of_objects() {
    let deep = lib("-Wl,-soname,libdeep.so.1", &[]);
    let mid = lib("-Wl,-soname,libmid.so", &["-L@/opt/b", "-ldeep"]);
    let linked = |path: &'static str, kind: &'static str| {
        vec!["-L@/opt/lib", "-lmid", "-Wl,-rpath-link,@/opt/b", kind, path]
    };
    let old = linked("-Wl,-rpath,$ORIGIN/../lib:/opt/b", "-Wl,--disable-new-dtags");
    let new = linked("-Wl,-rpath,${ORIGIN}/../lib:/opt/b", "-Wl,--enable-new-dtags");
    let dir = root(&[
        ("/opt/b/libdeep.so", DEEP, &deep),
        ("/opt/b/libdeep.so.1", DEEP, &deep),
        ("/opt/lib/libmid.so", MID, &mid),
        ("/opt/bin/old", MAIN, &old),
        ("/opt/bin/new", MAIN, &new),
    ]);
    // RPATH is for all that is loaded below, RUNPATH for its own object only.
    let found = needs(&dir, "/opt/bin/old").expect("all of it");
    assert_eq!(wanted_by(&found, "/opt/b/libdeep.so.1").as_deref(), Some("/opt/lib/libmid.so"));
    assert_eq!(wanted_by(&found, "/opt/lib/libmid.so").as_deref(), Some("/opt/bin/old"));
    assert_eq!(wanted_by(&found, "/opt/bin/old"), None);
    let error = needs(&dir, "/opt/bin/new").expect_err("the loader does not find it either");
    assert_eq!(
        error.to_string(),
        "shared object `libdeep.so.1` is not there, wanted by `/opt/lib/libmid.so`, wanted by `/opt/bin/new`"
    );
    let options = Options { library_path: vec!["/opt/b".to_owned()], ..Options::default() };
    closure(&Dir::new(dir.path()), &["/opt/bin/new"], &options).expect("found by LD_LIBRARY_PATH");
    // By a link, $ORIGIN is the program's own directory; the link is named.
    std::os::unix::fs::symlink("opt/bin/old", dir.path().join("start")).expect("a link");
    let found = needs(&dir, "/start").expect("all of it");
    assert_eq!(found.links.get("/start").map(String::as_str), Some("opt/bin/old"));
    assert!(
        found.links.contains_key("/lib64") && found.files.contains_key("/opt/lib/libmid.so"),
        "{found:?}"
    );

    // One for another machine is passed over, and told.
    let path = dir.path().join("opt/b/libdeep.so.1");
    let mut bytes = fs::read(&path).expect("a file");
    bytes[18] = 0xb7;
    fs::write(&path, &bytes).expect("a file");
    let error = needs(&dir, "/opt/bin/old").expect_err("it is for another machine");
    assert!(
        error.hint().is_some_and(|hint| hint.starts_with("`/opt/b/libdeep.so.1` has that name")),
        "{error:?}"
    );
    let error = needs(&dir, "/opt/b/libdeep.so.1").and_then(|_| {
        closure(&Dir::new(dir.path()), &["/opt/lib/libmid.so", "/opt/b/libdeep.so.1"], &Options::default())
    });
    assert!(error.is_err(), "{error:?}");

    // The cache, and what is found by it alone.
    if cfg!(target_os = "linux") && Path::new("/sbin/ldconfig").exists() {
        bytes[18] = fs::read(dir.path().join("opt/lib/libmid.so")).expect("a file")[18];
        fs::write(&path, &bytes).expect("a file");
        fs::create_dir_all(dir.path().join("etc")).expect("a directory");
        fs::write(dir.path().join("etc/ld.so.conf"), "/opt/b\n").expect("a file");
        let made = Command::new("/sbin/ldconfig").arg("-r").arg(dir.path()).status().expect("ldconfig");
        assert!(made.success());
        let found = needs(&dir, "/opt/bin/new").expect("the cache has it");
        assert_eq!(found.cached.get("libdeep.so.1").map(String::as_str), Some("/opt/b/libdeep.so.1"));
        assert_eq!(found.cached.len(), 1);
    }
}

#[test]
fn scripts_and_static_programs() {
    let static_ = "#include <stdio.h>\nint main(){puts(\"/etc/ssl/certs/ca-certificates.crt\");}";
    let asking = "#include <dlfcn.h>\n#include <netdb.h>\n#include <time.h>\n\
        int main(){time_t t=0; getaddrinfo(0,0,0,0); dlopen(\"x\",1); return localtime(&t)->tm_hour;}";
    let dir = root(&[
        ("/usr/local/bin/tool", "int main(){}", &[]),
        ("/usr/bin/env", "int main(){}", &[]),
        ("/bin/static", static_, &["-static"]),
        ("/bin/asking", asking, &[]),
    ]);
    let write = |path: &str, text: &str| fs::write(dir.path().join(path), text).expect("a file");
    write("script", "#!/usr/bin/env -S A=1 tool --x\n");
    write("plain", "#!/usr/local/bin/tool\n");
    write("lost", "#!/usr/bin/env nothing\n");
    write("round", "#!/round\n");
    write("text", "hello\n");
    let found = needs(&dir, "/script").expect("all of it");
    assert_eq!(wanted_by(&found, "/usr/local/bin/tool").as_deref(), Some("/script"));
    assert!(found.files.contains_key("/usr/bin/env") && found.files.contains_key("/script"));
    assert!(!needs(&dir, "/plain").expect("all of it").files.contains_key("/usr/bin/env"));
    assert!(needs(&dir, "/round").is_ok());
    for (path, said) in [
        ("/lost", "`nothing` is not there, and `/lost` is run by it"),
        ("/none", "`/none` is not there"),
        ("/text", "`/text` is neither an ELF program nor a script that names its interpreter"),
        ("/usr", "`/usr` is neither an ELF program nor a script that names its interpreter"),
    ] {
        assert_eq!(needs(&dir, path).expect_err(path).to_string(), said);
    }
    fs::remove_file(dir.path().join("usr/bin/env")).expect("there");
    let hint = needs(&dir, "/script").expect_err("no env").hint();
    assert!(hint.is_some_and(|hint| hint.contains("coreutils") && hint.contains("`/script`")));
    let found = needs(&dir, "/bin/static").expect("it stands alone");
    assert_eq!(found.files.len(), 1);
    assert!(found.help.contains_key(&Help::Authorities), "{:?}", found.help);
    let found = needs(&dir, "/bin/asking").expect("all of it");
    let asked: Vec<Help> = found.help.keys().copied().collect();
    assert_eq!(asked, [Help::HostNames, Help::TimeZones, Help::Unseen]);
    assert!(needs(&dir, "/usr/local/bin/tool").expect("all of it").help.is_empty());
}

#[test]
fn the_rules_of_musl() {
    let deep = lib("-Wl,-soname,libdeep.so.1", &[]);
    let mid = lib("-Wl,-soname,libmid.so", &["-L@/opt/b", "-ldeep"]);
    let musl = "-Wl,--dynamic-linker,/lib/ld-musl-x86_64.so.1";
    let program = ["-L@/opt/lib", "-lmid", "-Wl,-rpath-link,@/opt/b", "-Wl,-rpath,/opt/lib:/opt/b", musl];
    let dir = root(&[
        ("/opt/b/libdeep.so", DEEP, &deep),
        ("/opt/b/libdeep.so.1", DEEP, &deep),
        ("/opt/lib/libmid.so", MID, &mid),
        ("/opt/bin/new", MAIN, &program),
        ("/lib/ld-musl-x86_64.so.1", "int main(){}", &lib("-Wl,-soname,libc.so", &["-nostdlib"])),
    ]);
    // RUNPATH goes for all below there, and the library is the loader.
    let found = needs(&dir, "/opt/bin/new").expect("all of it");
    let files: Vec<&str> =
        found.files.keys().map(String::as_str).filter(|path| !path.starts_with("/opt")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].ends_with("/ld-musl-x86_64.so.1"), "{files:?}");
    assert!(found.files.contains_key("/opt/b/libdeep.so.1"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    /// Headers, segments and dynamic sections that lie: an answer or an error, and no panic.
    #[test]
    fn a_damaged_program_is_no_panic(changes in proptest::collection::vec((0usize..1600, proptest::prelude::any::<u8>()), 1..12), end in 0usize..40_000) {
        let mut bytes = fs::read("/bin/true").expect("a program");
        let table = bytes.windows(4).position(|word| word == [0xf5, 0xfe, 0xff, 0x6f]).unwrap_or(64);
        for (at, byte) in changes {
            // The first kilobyte has the headers; further ones count from the dynamic section.
            let at = if at < 1024 { at } else { table.saturating_sub(200) + at - 1024 };
            if let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
        }
        bytes.truncate(bytes.len().min(end.max(4)));
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("p"), &bytes).expect("a file");
        let _ = closure(&Dir::new(dir.path()), &["/p"], &Options::default());
    }
}
