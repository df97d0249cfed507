//! Sources that go back to an earlier version over an object folder in a cache mount: make and cargo must notice.

use crate::support::Place;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a program prints, or nothing where it cannot be run.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Where a program is, looked for as a shell does.
fn program(name: &str) -> Option<PathBuf> {
    let text = output("/bin/sh", &["-c", &format!("command -v {name}")])?;
    Some(PathBuf::from(text))
}

/// The libraries and the loader that a program wants.
fn libraries(of: &Path) -> Vec<PathBuf> {
    let text = output("ldd", &[of.to_str().expect("a path")]).unwrap_or_default();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// This machine's C compiler, linker and make, with what they need to build a program without headers.
fn c_tools() -> Option<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for name in ["gcc", "make", "as", "ld"] {
        files.insert(program(name)?);
    }
    for name in ["cc1", "collect2", "lto-wrapper"] {
        files.insert(PathBuf::from(output("gcc", &[&format!("-print-prog-name={name}")])?));
    }
    for program in files.clone() {
        files.extend(libraries(&program));
    }
    for name in [
        "crt1.o",
        "Scrt1.o",
        "crti.o",
        "crtn.o",
        "crtbegin.o",
        "crtbeginS.o",
        "crtbeginT.o",
        "crtend.o",
        "crtendS.o",
        "libgcc.a",
        "libgcc_s.so",
        "libgcc_s.so.1",
        "libc.so",
        "libc.so.6",
        "libc_nonshared.a",
        "liblto_plugin.so",
        "libm.so",
        "libm.so.6",
        "libdl.a",
        "libpthread.a",
        "librt.a",
        "libutil.a",
        "libmvec.so.1",
    ] {
        let path = PathBuf::from(output("gcc", &[&format!("-print-file-name={name}")])?);
        if path.is_absolute() {
            files.insert(path);
        }
    }
    // Every compilation begins with it.
    files.insert(PathBuf::from("/usr/include/stdc-predef.h"));
    // The linker's script names the loader.
    files.insert(PathBuf::from("/lib64/ld-linux-x86-64.so.2"));
    Some(files.into_iter().filter(|path| path.exists()).collect())
}

/// Copies files to the same places below `into`; links are followed.
fn gather(files: &BTreeSet<PathBuf>, into: &Path) {
    for path in files {
        // `..` in a compiler's answers would lead through links.
        let plain = fs::canonicalize(path.parent().expect("a parent"))
            .expect("a directory")
            .join(path.file_name().expect("a name"));
        // Linker scripts name libraries by the old place of `/usr/lib`.
        let old = Path::new("/lib").join(plain.strip_prefix("/usr/lib").unwrap_or(&plain));
        for path in [path, &plain, &old].into_iter().filter(|path| path.exists()) {
            if path.components().any(|part| part == std::path::Component::ParentDir) {
                continue;
            }
            let to = into.join(path.strip_prefix("/").expect("absolute"));
            fs::create_dir_all(to.parent().expect("a parent")).expect("a directory");
            fs::copy(path, to).expect("a copy");
        }
    }
}

/// The image `tools`: the base with a C compiler, and a context under git.
fn with_c() -> Option<Place> {
    let place = Place::with_base()?;
    let Some(files) = c_tools() else {
        eprintln!("skipped because gcc or make is missing (tests/install.sh)");
        return None;
    };
    if program("git").is_none() {
        eprintln!("skipped because git is missing (tests/install.sh)");
        return None;
    }
    gather(&files, &place.path("tools/root"));
    fs::write(
        place.path("tools/Dockerfile"),
        "FROM base\nCOPY root /\nRUN ln -s gcc /usr/bin/cc; gcc --version && make --version\n",
    )
    .expect("a file");
    place.ireko(&["build", "-q", "-t", "tools", "tools"]).ok();
    Some(place)
}

fn git(place: &Place, args: &[&str]) {
    let mut command = Command::new("git");
    command
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "safe.directory=*", "-C"])
        .arg(place.context());
    let output = command.args(args).env("HOME", place.path("")).output().expect("git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Commits the source in two versions, as tags v1 and v2; `v1` is checked out.
fn two_versions(place: &Place, source: &str, text: &str) {
    place.file(".dockerignore", ".git\nDockerfile\n");
    place.file(".gitignore", "Dockerfile\n");
    git(place, &["init", "-q"]);
    for version in ["v1", "v2"] {
        place.file(source, &text.replace("VERSION", version));
        git(place, &["add", "-A"]);
        git(place, &["commit", "-q", "-m", version]);
        git(place, &["tag", version]);
    }
    git(place, &["checkout", "-q", "v1"]);
}

/// Builds v1, v2, v1, v2, v1. `again` makes the compiling step run each time, whatever was built before.
#[track_caller]
fn check(place: &Place, dockerfile: &str, by_git: bool, source: &str, text: &str) {
    for again in [false, true] {
        for (at, version) in ["v1", "v2", "v1", "v2", "v2", "v1"].into_iter().enumerate() {
            if by_git {
                git(place, &["checkout", "-q", version]);
            } else {
                place.file(source, &text.replace("VERSION", version));
            }
            place.dockerfile(dockerfile);
            let arg = format!("N={}", if again { at + 1 } else { 0 });
            place.build(&["--build-arg", &arg]).ok();
            let said = place.ireko(&["run", "--rm", "app", "/program"]).ok().stdout;
            assert_eq!(
                said,
                format!("{version}\n"),
                "build {at}, again: {again}, by git: {by_git}\n{dockerfile}"
            );
        }
    }
    git(place, &["checkout", "-q", "-f", "v1"]);
}

/// The ways a source can reach the compiler, each with a cache mount of its own.
fn ways(step: &str, id: &str) -> Vec<String> {
    let run = |way: &str, mount: &str| {
        format!("ARG N\nRUN --mount=type=cache,id={id}-{way},target=/cache {mount} {step}\n")
    };
    let bind = "--mount=type=bind,target=/src";
    let bind_from = "--mount=type=bind,from=source,source=/s,target=/src";
    let source = "FROM scratch AS source\nCOPY . /s/\n";
    vec![
        format!("FROM tools\nWORKDIR /src\nCOPY . .\n{}", run("copy", "")),
        format!("FROM tools\nWORKDIR /src\n{}", run("bind", bind)),
        format!("{source}FROM tools\nWORKDIR /src\nCOPY --from=source /s .\n{}", run("copy-from", "")),
        format!("{source}FROM tools\nWORKDIR /src\n{}", run("bind-from", bind_from)),
    ]
}

#[test]
fn make_compiles_a_reverted_source_again() {
    let Some(place) = with_c() else { return };
    let text = "int puts(const char *);\nint main(void) { puts(\"VERSION\"); return 0; }\n";
    place.file(
        "Makefile",
        "/cache/main: /cache/main.o\n\tgcc -o $@ $<\n/cache/main.o: main.c\n\tgcc -c -o $@ $<\n",
    );
    two_versions(&place, "main.c", text);
    for by_git in [true, false] {
        for dockerfile in
            ways("make /cache/main && cp /cache/main /program", if by_git { "git" } else { "edit" })
        {
            check(&place, &dockerfile, by_git, "main.c", text);
        }
    }
    place.sound();
}

/// A source that a command of an earlier step makes has that command's time, which is old when the step is a hit.
#[test]
fn make_compiles_a_reverted_source_that_a_step_made() {
    let Some(place) = with_c() else { return };
    let text = "int puts(const char *);\nint main(void) { puts(\"VERSION\"); return 0; }\n";
    let lines = "/cache/main: /cache/main.o\n\tgcc -o $@ $<\n/cache/main.o: /src/main.c\n\tgcc -c -o $@ $<\n";
    place.file("Makefile", lines);
    two_versions(&place, "main.in", text);
    let make = "make -f /in/Makefile /cache/main && cp /cache/main /program";
    let run = |way: &str, mount: &str| {
        format!("ARG N\nRUN --mount=type=cache,id={way},target=/cache {mount} {make}\n")
    };
    let made = "FROM tools AS made\nCOPY . /in/\nRUN mkdir /src && cp /in/main.in /src/main.c\n";
    let ways = [
        format!("{made}{}", run("same", "")),
        format!("{made}FROM tools\nCOPY Makefile /in/\nCOPY --from=made /src /src\n{}", run("copied", "")),
        format!(
            "{made}FROM tools\nCOPY Makefile /in/\n{}",
            run("bound", "--mount=type=bind,from=made,source=/src,target=/src")
        ),
    ];
    for dockerfile in ways {
        check(&place, &dockerfile, false, "main.in", text);
    }
    place.sound();
}

#[test]
fn cargo_compiles_a_reverted_source_again() {
    let Some(sysroot) = output("rustc", &["--print", "sysroot"]).map(PathBuf::from) else {
        eprintln!("skipped because this is not root with a Rust toolchain of its own");
        return;
    };
    let Some(place) = with_c() else { return };
    let host = output("rustc", &["-vV"]).expect("a version");
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let mut lines = String::from("FROM tools\n");
    let (linker, library) = (format!("lib/rustlib/{host}/bin"), format!("lib/rustlib/{host}/lib"));
    for path in ["bin/cargo", "bin/rustc", "lib/*.so*", &linker, &library] {
        if path == linker && !sysroot.join(path).exists() {
            continue;
        }
        let to = if path.starts_with("lib/rustlib") {
            format!("/rust/{path}/")
        } else {
            format!("/rust/{}/", Path::new(path).parent().expect("a parent").display())
        };
        lines.push_str(&format!("COPY --from=rust {path} {to}\n"));
    }
    let libraries: BTreeSet<PathBuf> = ["bin/cargo", "bin/rustc"]
        .iter()
        .flat_map(|name| libraries(&sysroot.join(name)))
        .filter(|path| !path.starts_with(&sysroot))
        .collect();
    gather(&libraries, &place.path("tools/more"));
    lines.push_str("COPY more /\nENV PATH=/rust/bin:/usr/bin:/usr/sbin CARGO_HOME=/tmp/cargo CARGO_TARGET_DIR=/cache\nRUN cargo --version\n");
    fs::write(place.path("tools/Dockerfile"), lines).expect("a file");
    let rust = format!("rust={}", sysroot.display());
    place.ireko(&["build", "-q", "-t", "tools", "--build-context", &rust, "tools"]).ok();

    let text = "fn main() { println!(\"VERSION\"); }\n";
    place.file("Cargo.toml", "[package]\nname = \"program\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    place.file("Cargo.lock", "version = 3\n[[package]]\nname = \"program\"\nversion = \"0.1.0\"\n");
    two_versions(&place, "src/main.rs", text);
    // A crate takes longer than a C file: one way by git, one by an edit.
    let ways = ways("cargo build --offline --locked && cp /cache/debug/program /program", "crate");
    check(&place, &ways[0], true, "src/main.rs", text);
    check(&place, &ways[1], false, "src/main.rs", text);
    place.sound();
}
