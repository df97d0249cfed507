//! What is read of git references, and what is said about wrong ones.

use super::{Refusal, parse, redact};
use expect_test::{Expect, expect};

/// One line for each text: what was read of it.
#[track_caller]
fn check(texts: &[&str], expect: Expect) {
    let mut out = String::new();
    for text in texts {
        let said = match parse(text) {
            Ok(found) => {
                let mut said = format!("{} ({})", found.remote, found.short_name);
                let mut add = |name: &str, value: &str| {
                    if !value.is_empty() {
                        said.push_str(&format!(" {name}={value}"));
                    }
                };
                add("ref", &found.reference);
                add("checksum", &found.checksum);
                add("subdir", &found.subdir);
                add("like-local", if found.like_local { "yes" } else { "" });
                add("clear", if found.unencrypted { "yes" } else { "" });
                add("keep", &found.keep_git_dir.map(|on| on.to_string()).unwrap_or_default());
                add("submodules", &found.submodules.map(|on| on.to_string()).unwrap_or_default());
                add("mtime", &found.mtime.map(|time| format!("{time:?}")).unwrap_or_default());
                add("by-commit", if found.fetch_by_commit { "yes" } else { "" });
                said
            }
            Err(Refusal::NotGit) => "-".to_owned(),
            Err(Refusal::Wrong(why)) => format!("error: {why}"),
        };
        out.push_str(&format!("{said}\n"));
    }
    expect.assert_eq(&out);
}

#[test]
fn what_is_no_git_reference() {
    check(
        &[
            "https://example.com/",
            "https://example.com/foo",
            "https://example.com/foo.git/",
            "https://example.com/foo.git.bar",
            "https://github.com/moby/buildkit",
            "http://github.com/docker/docker.git:#branch",
            "custom.xyz/moby/buildkit.git",
            "./.git",
            "../a@b:c",
            ".git",
            "/",
            "",
            "httpx://github.com/moby/buildkit.git",
            "ftp://example.com/a.git",
            "git+ssh://git@example.com/a.git",
            "a@b",
            "dir/a@b:c",
            "github.com",
            "https://exam ple.com/foo.git",
            "git@github.com:moby/buildkit.git?a=%zz",
            "git@github.com:moby\n/buildkit.git",
        ],
        expect![[r#"
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
            -
        "#]],
    );
}

#[test]
fn addresses() {
    check(
        &[
            "https://example.com/foo.git",
            "git://example.com/foo",
            "HTTP://github.com/moby/buildkit.git",
            "github.com/moby/buildkit",
            "github.com/moby/buildkit#master",
            "github.com/moby/buildkit?tag=v1.0.0",
            "https://foo:bar@github.com/moby/buildkit.git",
            "git@github.com:moby/buildkit",
            "git@bitbucket.org:atlassianlabs/atlassian-docker.git",
            "nonstandarduser@example.com:/srv/repos/weird/project.git",
            "git@github.com:moby/buildkit.git?subdir=/subdir#v1.0.0",
            "git@github.com:moby/buildkit.git#v1.0.0:hack?x",
            "ssh://root@subdomain.example.hostname:2222/root/my/really/weird/path/foo.git",
            "ssh://someuser@192.168.0.123:456/~/repo-in-my-home-dir.git",
            "ssh://git@[::1]:22/a.git",
            "git://host.xz:1234/path/to/repo.git",
            "https://example.com/a%20b.git",
            "https://example.com/a b.git",
        ],
        expect![[r#"
            https://example.com/foo.git (foo)
            git://example.com/foo (foo) clear=yes
            http://github.com/moby/buildkit.git (buildkit) clear=yes
            github.com/moby/buildkit (buildkit) like-local=yes
            github.com/moby/buildkit (buildkit) ref=master like-local=yes
            github.com/moby/buildkit (buildkit) ref=refs/tags/v1.0.0 like-local=yes
            https://foo:bar@github.com/moby/buildkit.git (buildkit)
            git@github.com:moby/buildkit (buildkit)
            git@bitbucket.org:atlassianlabs/atlassian-docker.git (atlassian-docker)
            nonstandarduser@example.com:/srv/repos/weird/project.git (project)
            git@github.com:moby/buildkit.git (buildkit) ref=v1.0.0 subdir=/subdir
            git@github.com:moby/buildkit.git (buildkit) ref=v1.0.0 subdir=hack?x
            ssh://root@subdomain.example.hostname:2222/root/my/really/weird/path/foo.git (foo)
            ssh://someuser@192.168.0.123:456/~/repo-in-my-home-dir.git (repo-in-my-home-dir)
            ssh://git@[::1]:22/a.git (a)
            git://host.xz:1234/path/to/repo.git (repo) clear=yes
            https://example.com/a%20b.git (a%20b)
            https://example.com/a%20b.git (a%20b)
        "#]],
    );
}

#[test]
fn fragments_and_queries() {
    check(
        &[
            "https://example.com/foo.git#deadbeef",
            "https://example.com/foo.git#release/1.2",
            "https://github.com/foo/bar.git#baz/qux:quux/quuz",
            "https://github.com/foo/bar.git#:dir:more",
            "https://github.com/foo/bar.git#a%3Ab",
            "https://h/r.git?ref=v1.0.0&subdir=/subdir",
            "https://h/r.git?subdir=/subdir#v1.0.0",
            "https://h/r.git?ref=a#a",
            "https://h/r.git?tag=v1&ref=refs/tags/v1",
            "https://h/r.git?branch=refs/heads/x",
            "https://h/r.git?commit=deadbeef",
            "https://h/r.git?tag=v1&commit=deadbeef",
            "https://h/r.git?fetch-by-commit=true&checksum=deadbeef#refs/heads/branch",
            "https://h/r.git?fetch-by-commit&checksum=deadbeef",
            "https://h/r.git?mtime=checkout",
            "https://h/r.git?mtime=commit&keep-git-dir&submodules=0",
            "https://h/r.git?keep-git-dir=false&submodules=",
            "https://h/r.git?",
            "https://h/r.git?ref=a+b",
        ],
        expect![[r#"
            https://example.com/foo.git (foo) ref=deadbeef
            https://example.com/foo.git (foo) ref=release/1.2
            https://github.com/foo/bar.git (bar) ref=baz/qux subdir=quux/quuz
            https://github.com/foo/bar.git (bar) subdir=dir:more
            https://github.com/foo/bar.git (bar) ref=a subdir=b
            https://h/r.git (r) ref=v1.0.0 subdir=/subdir
            https://h/r.git (r) ref=v1.0.0 subdir=/subdir
            https://h/r.git (r) ref=a
            https://h/r.git (r) ref=refs/tags/v1
            https://h/r.git (r) ref=refs/heads/x
            https://h/r.git (r) ref=deadbeef checksum=deadbeef
            https://h/r.git (r) ref=refs/tags/v1 checksum=deadbeef
            https://h/r.git (r) ref=refs/heads/branch checksum=deadbeef by-commit=yes
            https://h/r.git (r) checksum=deadbeef by-commit=yes
            https://h/r.git (r) mtime=Checkout
            https://h/r.git (r) keep=true submodules=false mtime=Commit
            https://h/r.git (r) keep=false submodules=true
            https://h/r.git (r)
            https://h/r.git (r) ref=a b
        "#]],
    );
}

#[test]
fn mistakes() {
    check(
        &[
            "https://h/r.git?ref=v1.0.0#v1.2.3",
            "https://h/r.git?ref=v1.0.0&tag=v1.2.3",
            "https://h/r.git?tag=v1.0.0&branch=v1.0",
            "https://h/r.git?subdir=a#x:b",
            "https://h/r.git?commit=aa&checksum=bb",
            "https://h/r.git?invalid=123",
            "https://h/r.git?sub-dir=x",
            "https://h/r.git?ref=a&ref=b",
            "https://h/r.git?ref=",
            "https://h/r.git?keep-git-dir=maybe",
            "https://h/r.git?submodules=maybe",
            "https://h/r.git?fetch-by-commit=maybe",
            "https://h/r.git?mtime=invalid",
            "https://h/r.git#--upload-pack=x",
            "ssh://git:word@github.com:moby/buildkit.git",
            "git://exa\u{7}mple/x",
        ],
        expect![[r#"
            error: ref conflicts: "v1.2.3" vs "v1.0.0"
            error: ref conflicts: "v1.0.0" vs "refs/tags/v1.2.3"
            error: branch conflicts with tag
            error: subdir conflicts: "b" vs "a"
            error: checksum conflicts: "bb" vs "aa"
            error: unexpected query "invalid"
            error: unexpected query "sub-dir" (did you mean "subdir"?)
            error: query "ref" has multiple values
            error: query "ref" has no value
            error: invalid keep-git-dir value: "maybe"
            error: invalid submodules value: "maybe"
            error: invalid fetch-by-commit value: "maybe"
            error: invalid mtime value: "invalid" (must be "checkout" or "commit")
            error: invalid git ref "--upload-pack=x"
            error: `ssh://git:xxxxx@github.com:moby/buildkit.git` is no URL: `moby` is no port
            error: `git://exa\u{7}mple/x` is no URL: it has a control character
        "#]],
    );
}

#[test]
fn hosts() {
    let cases = [
        ("https://u:p@example.com:8080/a.git", "example.com:8080"),
        ("github.com/a/b", "github.com"),
        ("git@example.com:a/b", "example.com"),
        ("ssh://git@[::1]:22/a", "[::1]:22"),
    ];
    for (text, host) in cases {
        assert_eq!(parse(text).map(|found| found.host()).as_deref(), Ok(host), "{text}");
    }
}

#[test]
fn passwords_are_hidden() {
    let cases = [
        ("https://user:word@h/r.git#x", "https://xxxxx:xxxxx@h/r.git#x"),
        ("https://token@h/r.git", "https://xxxxx@h/r.git"),
        ("https://user:p@ss@h/r.git", "https://xxxxx:xxxxx@h/r.git"),
        ("ssh://git@h/r.git", "ssh://git@h/r.git"),
        ("ssh://git:word@h/r.git", "ssh://git:xxxxx@h/r.git"),
        ("fatal: 'https://a:b@h/x' and https://c@h", "fatal: 'https://xxxxx:xxxxx@h/x' and https://xxxxx@h"),
        ("git@github.com:a/b and nothing", "git@github.com:a/b and nothing"),
        ("https://h/a@b", "https://h/a@b"),
        ("", ""),
    ];
    for (text, hidden) in cases {
        assert_eq!(redact(text), hidden);
    }
}
