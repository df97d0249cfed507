//! Forms of bases in named contexts, and mistakes in them.

use super::*;

/// Prints what a context asks for, or why it is refused.
fn check(text: &str, expect: &str) {
    let shown = match parse(text) {
        Ok(None) => "no base".to_owned(),
        Ok(Some(wanted)) => {
            let ArchiveArgs { mirror, signed_by, components, snapshot, ca } = wanted.archive;
            let mut parts = vec![wanted.name, wanted.include.join(" ")];
            parts.extend(wanted.recommends.then(|| "recommends".to_owned()));
            parts.extend(mirror);
            parts.extend(signed_by.iter().chain(&ca).map(|path| path.display().to_string()));
            parts.extend(components);
            parts.extend(snapshot);
            parts.retain(|part| !part.is_empty());
            parts.join(", ")
        }
        Err(failure) => format!("{} ({})", failure.message, failure.hint.unwrap_or_default()),
    };
    assert_eq!(shown, expect);
}

#[test]
fn forms_of_a_base() {
    check("dir", "no base");
    check("./deb:dir", "no base");
    check("deb:bookworm", "debian:bookworm");
    check("deb:debian:bookworm-slim", "debian:bookworm-slim");
    check("deb:12-slim", "debian:bookworm-slim");
    check("deb:ubuntu:24.04", "ubuntu:noble");
    check("deb:trixie?", "debian:trixie");
    check(
        "deb:bookworm-slim?include=python3,libpq5&include=g++=4:12.2.0-3&recommends",
        "debian:bookworm-slim, python3 libpq5 g++=4:12.2.0-3, recommends",
    );
    check(
        "deb:bookworm?mirror=http://m/debian&signed-by=/k.gpg&ca=/c.pem&components=main,contrib&snapshot=20250520T000000Z",
        "debian:bookworm, http://m/debian, /k.gpg, /c.pem, main, contrib, 20250520T000000Z",
    );
}

#[test]
fn mistakes_of_a_base() {
    check("deb:", "`` names no suite (`debian:bookworm`, `debian:stable`, `ubuntu:24.04`)");
    check(
        "deb:bookworm?componets=main",
        "`componets` is no option of a base (did you mean `components`? `deb:SUITE?include=A,B&mirror=URL`)",
    );
    check("deb:bookworm?mirror", "`mirror` has no value ()");
    check("deb:bookworm?recommends=2", "`recommends=2`: it is `true` or `false` ()");
}

#[test]
fn names_that_could_be_made() {
    let check = |name: &str, expect: Option<&str>| {
        let instead = instead_of(&name.parse().expect("a reference"));
        let flag = instead.as_deref().and_then(|text| text.split('`').nth(1));
        assert_eq!(flag, expect, "{name}");
    };
    check("debian:bookworm", Some("--build-context debian:bookworm=deb:bookworm"));
    check("docker.io/library/debian:13-slim", Some("--build-context debian:13-slim=deb:13-slim"));
    check("ubuntu:jammy", Some("--build-context ubuntu:jammy=deb:ubuntu:jammy"));
    for other in
        ["debian", "debian:latest", "debian:noble", "ubuntu:bookworm", "busybox", "quay.io/debian:bookworm"]
    {
        check(other, None);
    }
}
