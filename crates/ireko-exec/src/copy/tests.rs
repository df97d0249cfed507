//! What COPY and ADD change, given the tree below and the files.

use expect_test::{Expect, expect};

use super::*;
use crate::FileSource;
use crate::testing::{Bench, NOW, copy_of, lay, pick, show, texts, view_of, write};

/// The layer that `words` makes of `files` on top of `base`, as a picture, or the error with its hint.
fn outcome(base: &str, files: &str, words: &str) -> String {
    let bench = Bench::new();
    let copy = copy_of(words);
    let from_tree = words.contains("--from");
    let context = bench.context("");
    let source = if from_tree {
        FileSource::Tree(bench.tree(files))
    } else {
        lay(files, &bench.path());
        FileSource::Context(&context)
    };
    let view = if copy.link { View::default() } else { view_of(base) };
    let made = pick(&copy, &source)
        .and_then(|picked| {
            perform_copy(
                &copy,
                &picked,
                &view,
                Workplace { scratch: &bench.scratch(), cancel: &Cancel::default() },
                NOW,
            )
        })
        .and_then(|changes| Ok(write(changes)?));
    match made {
        Ok(written) => show(&written.index, &texts(&[files], &copy)),
        Err(error) => match error.hint() {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        },
    }
}

#[track_caller]
fn check(base: &str, files: &str, words: &str, expect: Expect) {
    expect.assert_eq(&outcome(base, files, words));
}

#[test]
fn a_file_to_a_new_name() {
    check(
        "",
        "f 640 0:0 a one",
        "COPY a /x/y",
        expect![[r#"
        d 755 0:0 x
        f 640 0:0 x/y one
    "#]],
    );
}

#[test]
fn a_file_into_a_directory_keeps_its_name() {
    check(
        "d 700 5:6 dir",
        "f 644 0:0 a one",
        "COPY a /dir",
        expect![[r#"
        d 700 5:6 dir
        f 644 0:0 dir/a one
    "#]],
    );
    check(
        "",
        "f 644 0:0 a one",
        "COPY a /dir/",
        expect![[r#"
        d 755 0:0 dir
        f 644 0:0 dir/a one
    "#]],
    );
}

#[test]
fn directories_made_in_a_set_group_id_directory_are_of_its_group() {
    let base = "d 2775 5:6 dir";
    check(
        base,
        "f 640 0:0 a one",
        "COPY a /dir/x/",
        expect![[r#"
        d 2775 5:6 dir
        d 2755 0:6 dir/x
        f 640 0:0 dir/x/a one
    "#]],
    );
    check(
        base,
        "d 755 0:0 src\nf 640 0:0 src/a one",
        "COPY --chown=3:4 src /dir/x/y",
        expect![[r#"
        d 2775 5:6 dir
        d 2755 3:4 dir/x
        d 2755 3:4 dir/x/y
        f 640 3:4 dir/x/y/a one
    "#]],
    );
}

#[test]
fn the_content_of_a_directory_is_copied_not_the_directory() {
    let files = "d 700 0:0 src\nd 711 0:0 src/sub\nf 600 0:0 src/sub/a one\nl src/link sub/a";
    check(
        "",
        files,
        "COPY src /app",
        expect![[r#"
        d 755 0:0 app
        l app/link sub/a
        d 711 0:0 app/sub
        f 600 0:0 app/sub/a one
    "#]],
    );
}

#[test]
fn a_directory_that_is_there_keeps_itself_but_not_those_in_it() {
    let base = "d 700 5:6 app\nd 700 5:6 app/sub\nf 600 5:6 app/sub/b two\nf 600 5:6 app/sub/a old";
    let files = "d 755 0:0 src\nd 711 0:0 src/sub\nf 644 0:0 src/sub/a one";
    check(
        base,
        files,
        "COPY src /app",
        expect![[r#"
        d 700 5:6 app
        d 711 0:0 app/sub
        f 644 0:0 app/sub/a one
    "#]],
    );
}

#[test]
fn a_copy_from_a_tree_keeps_owners() {
    let files = "d 755 100:200 dir\nd 755 101:201 dir/subdir\nf 644 102:202 dir/subdir/nested n\nf 4755 100:200 file f";
    check(
        "d 755 500:600 there",
        files,
        "COPY --from file /",
        expect![[r#"
        f 4755 100:200 file f
    "#]],
    );
    check(
        "",
        files,
        "COPY --from /dir /dir",
        expect![[r#"
        d 755 0:0 dir
        d 755 101:201 dir/subdir
        f 644 102:202 dir/subdir/nested n
    "#]],
    );
    check(
        "d 755 500:600 there",
        files,
        "COPY --from /dir/. /there",
        expect![[r#"
        d 755 500:600 there
        d 755 101:201 there/subdir
        f 644 102:202 there/subdir/nested n
    "#]],
    );
    check(
        "d 755 500:600 there",
        files,
        "COPY --from --chown=300:400 /dir/. /there",
        expect![[r#"
        d 755 500:600 there
        d 755 300:400 there/subdir
        f 644 300:400 there/subdir/nested n
    "#]],
    );
    check(
        "",
        files,
        "COPY --from --chown=300:400 /dir /new/er",
        expect![[r#"
        d 755 300:400 new
        d 755 300:400 new/er
        d 755 300:400 new/er/subdir
        f 644 300:400 new/er/subdir/nested n
    "#]],
    );
}

#[test]
fn owners_by_name_are_looked_up_below() {
    let base = "f 644 0:0 etc/passwd root:x:0:0::/root:\nf 644 0:0 etc/group app:x:7:";
    check(
        base,
        "f 644 0:0 a one",
        "COPY --chown=root:app a /",
        expect![[r#"
        f 644 0:7 a one
    "#]],
    );
    check(
        base,
        "f 644 0:0 a one",
        "COPY --chown=rot a /",
        expect![[r#"
            f 644 0:0 a one
        "#]],
    );
    check(
        base,
        "f 644 0:0 a one",
        "COPY --link --chown=app a /",
        expect![
            "cannot use `app`: the image has no user of this name (what is below has no users to look names up in: give a number)"
        ],
    );
    check(
        base,
        "f 644 3:4 a one",
        "COPY --link --chown=root:root a /",
        expect![[r#"
            f 644 0:0 a one
        "#]],
    );
}

#[test]
fn chmod_is_for_files_and_directories_but_not_for_what_is_made_or_for_links() {
    let files = "d 755 0:0 src/sub\nf 644 0:0 src/sub/a one\nl src/l sub/a";
    check(
        "",
        files,
        "COPY --chmod=4701 src /app",
        expect![[r#"
        d 755 0:0 app
        l app/l sub/a
        d 4701 0:0 app/sub
        f 4701 0:0 app/sub/a one
    "#]],
    );
    check(
        "",
        files,
        "COPY --chmod=go=X src /app",
        expect![[r#"
        d 755 0:0 app
        l app/l sub/a
        d 711 0:0 app/sub
        f 600 0:0 app/sub/a one
    "#]],
    );
}

#[test]
fn links_below_are_followed_inside_the_tree() {
    let base = "d 755 0:0 usr/bin\nl bin usr/bin";
    check(
        base,
        "f 755 0:0 x prog",
        "COPY x /bin/x",
        expect![[r#"
        d 755 0:0 usr
        d 755 0:0 usr/bin
        f 755 0:0 usr/bin/x prog
    "#]],
    );
    check(
        "l out /../../etc",
        "f 755 0:0 x prog",
        "COPY x /out/x",
        expect![[r#"
        d 755 0:0 etc
        f 755 0:0 etc/x prog
    "#]],
    );
    check(
        "f 644 0:0 real old\nl name real",
        "f 755 0:0 x prog",
        "COPY x /name",
        expect![[r#"
        f 755 0:0 real prog
    "#]],
    );
    check(
        "d 755 0:0 usr/lib\nl lib usr/lib",
        "f 644 0:0 src/a one",
        "COPY src /lib",
        expect![[r#"
        d 755 0:0 usr
        d 755 0:0 usr/lib
        f 644 0:0 usr/lib/a one
    "#]],
    );
    check(
        "l a b\nl b a",
        "f 644 0:0 x one",
        "COPY x /a/x",
        expect!["`a` goes through too many symbolic links"],
    );
}

#[test]
fn links_of_a_source_are_followed_only_if_it_is_named() {
    let files =
        "f 644 0:0 foo/sub/bar baz\nl asymlink foo/sub\nl dir/link ../foo/sub/bar\nl flink foo/sub/bar";
    check(
        "",
        files,
        "COPY flink /x",
        expect![[r#"
        f 644 0:0 x baz
    "#]],
    );
    check(
        "",
        files,
        "COPY flink /",
        expect![[r#"
        f 644 0:0 flink baz
    "#]],
    );
    check(
        "",
        files,
        "COPY asymlink/bar /x",
        expect![[r#"
        f 644 0:0 x baz
    "#]],
    );
    check(
        "",
        files,
        "COPY asym* fl* /all/",
        expect![[r#"
        d 755 0:0 all
        f 644 0:0 all/bar baz
        f 644 0:0 all/flink baz
    "#]],
    );
    check(
        "",
        files,
        "COPY dir /dir",
        expect![[r#"
        d 755 0:0 dir
        l dir/link ../foo/sub/bar
    "#]],
    );
}

#[test]
fn wildcards() {
    let files =
        "f 644 0:0 dir1/f1 1\nf 644 0:0 dir2/f2 2\nf 644 0:0 dir2/g2 3\nf 644 0:0 top 4\nf 644 0:0 [x]/y 5";
    check(
        "",
        files,
        "COPY dir* /d/",
        expect![[r#"
        d 755 0:0 d
        f 644 0:0 d/f1 1
        f 644 0:0 d/f2 2
        f 644 0:0 d/g2 3
    "#]],
    );
    check(
        "",
        files,
        "COPY dir?/f* /d/",
        expect![[r#"
        d 755 0:0 d
        f 644 0:0 d/f1 1
        f 644 0:0 d/f2 2
    "#]],
    );
    check(
        "",
        files,
        "COPY no* top /d/",
        expect![[r#"
        d 755 0:0 d
        f 644 0:0 d/top 4
    "#]],
    );
    check("", files, "COPY no* /d/", expect![""]);
    // That nothing matches is no mistake; that there is nothing to look in, is.
    check("", files, "COPY nowhere/no* /d/", expect!["`nowhere/no*` is not in the context"]);
    check(
        "",
        files,
        "COPY [[]x]/y /d/",
        expect![[r#"
        d 755 0:0 d
        f 644 0:0 d/y 5
    "#]],
    );
    // A backslash escapes in a pattern; what is none is the name as it stands.
    check("", files, "COPY \\[x\\]/y /d/", expect![[r"`\[x\]/y` is not in the context (there is `[x]`)"]]);
    check(
        "",
        "f 644 0:0 a\\b 1\nf 644 0:0 a*b 2",
        "COPY a\\b a\\*[b] /d/",
        expect![[r#"
        d 755 0:0 d
        f 644 0:0 d/a*b 2
        f 644 0:0 d/a\b 1
    "#]],
    );
    check("", files, "COPY [ /d/", expect!["cannot use `[`: syntax error in pattern `[`"]);
}

#[test]
fn a_missing_source_says_what_is_near() {
    let files = "f 644 0:0 src/main.go 1\nf 644 0:0 go.mod 2";
    check("", files, "COPY go.mad /", expect!["`go.mad` is not in the context (there is `go.mod`)"]);
    check(
        "",
        files,
        "COPY ./src/man.go /",
        expect!["`./src/man.go` is not in the context (there is `src/main.go`)"],
    );
    check("", files, "COPY src/other.txt /", expect!["`src/other.txt` is not in the context"]);
    check(
        "",
        files,
        "COPY --from /src/mian.go /",
        expect!["`/src/mian.go` is not in the stage or image it is copied from (there is `/src/main.go`)"],
    );
}

#[test]
fn parents_keep_the_way() {
    let files = "d 700 0:0 test\nf 644 0:0 test/a/b/c/d/foo 1\nf 644 0:0 test/a/b/c/d/e/bay 2\nf 644 0:0 test/a/b2/c/d/e/bar 3";
    check(
        "",
        files,
        "COPY --parents test/a/b/c/d/foo /out/",
        expect![[r#"
        d 755 0:0 out
        d 700 0:0 out/test
        d 755 0:0 out/test/a
        d 755 0:0 out/test/a/b
        d 755 0:0 out/test/a/b/c
        d 755 0:0 out/test/a/b/c/d
        f 644 0:0 out/test/a/b/c/d/foo 1
    "#]],
    );
    check(
        "",
        files,
        "COPY --parents /test/a/b/./c/d /out/",
        expect![[r#"
        d 755 0:0 out
        d 755 0:0 out/c
        d 755 0:0 out/c/d
        d 755 0:0 out/c/d/e
        f 644 0:0 out/c/d/e/bay 2
        f 644 0:0 out/c/d/foo 1
    "#]],
    );
    check(
        "",
        files,
        "COPY --parents ./test/a/b*/./c/**/e /out/",
        expect![[r#"
        d 755 0:0 out
        d 755 0:0 out/c
        d 755 0:0 out/c/d
        d 755 0:0 out/c/d/e
        f 644 0:0 out/c/d/e/bar 3
        f 644 0:0 out/c/d/e/bay 2
    "#]],
    );
    check("", files, "COPY --parents test/none /out/", expect!["`test/none` is not in the context"]);
    check(
        "",
        files,
        "COPY --parents test/no* /out/",
        expect![[r#"
        d 755 0:0 out
    "#]],
    );
}

#[test]
fn excluded_paths_stay_out() {
    let files = "f 644 0:0 app/a.go 1\nf 644 0:0 app/a.md 2\nf 644 0:0 app/sub/b.md 3\nd 755 0:0 app/empty";
    check(
        "",
        files,
        "COPY --exclude=*.md app /x",
        expect![[r#"
        d 755 0:0 x
        f 644 0:0 x/a.go 1
        d 755 0:0 x/empty
        d 755 0:0 x/sub
        f 644 0:0 x/sub/b.md 3
    "#]],
    );
    check(
        "",
        files,
        "COPY --exclude=* --exclude=!sub/*.md app /x",
        expect![[r#"
        d 755 0:0 x
        d 755 0:0 x/sub
        f 644 0:0 x/sub/b.md 3
    "#]],
    );
    check(
        "",
        files,
        "COPY --exclude=* app /x",
        expect![[r#"
        d 755 0:0 x
    "#]],
    );
}

#[test]
fn here_documents_are_files() {
    check(
        "d 755 0:0 dir",
        "",
        "COPY <<one=first <<two=second /dir/",
        expect![[r#"
        d 755 0:0 dir
        f 644 0:0 dir/one first
        f 644 0:0 dir/two second
    "#]],
    );
    check(
        "",
        "",
        "COPY --chmod=755 --chown=3 <<EOT=x /run.sh",
        expect![[r#"
        f 755 3:3 run.sh x
    "#]],
    );
}

#[test]
fn what_does_not_fit_is_an_error() {
    check(
        "d 755 0:0 x/sub",
        "f 644 0:0 src/sub one",
        "COPY src /x",
        expect!["cannot copy to `/x/sub`: the source is a file, and a directory is there"],
    );
    check(
        "f 644 0:0 x/sub a",
        "f 644 0:0 src/sub/a one",
        "COPY src /x",
        expect!["cannot copy to `/x/sub`: the source has a directory there, and what is there is none"],
    );
    check(
        "f 644 0:0 x a",
        "f 644 0:0 src/a one",
        "COPY src/a /x/y",
        expect!["cannot copy to `/x`: a directory is needed there, and what is there is none"],
    );
}

#[test]
fn a_linked_copy_sees_nothing_below() {
    check(
        "l bin usr/bin\nd 711 5:5 usr/bin",
        "f 644 0:0 a one",
        "COPY --link a /bin/",
        expect![[r#"
        d 755 0:0 bin
        f 644 0:0 bin/a one
    "#]],
    );
}

#[test]
fn several_names_of_a_file_stay_one() {
    let files = "f 644 0:0 src/a one\nh src/b src/a\nh z src/a";
    check(
        "",
        files,
        "COPY src /x",
        expect![[r#"
        d 755 0:0 x
        f 644 0:0 x/a one
        h x/b x/a
    "#]],
    );
    check(
        "",
        files,
        "COPY --from src z /x",
        expect![[r#"
        d 755 0:0 x
        f 644 0:0 x/a one
        h x/b x/a
        f 644 0:0 x/z one
    "#]],
    );
}

#[test]
fn later_sources_win() {
    let files = "f 644 0:0 one/f 1\nf 600 0:0 two/f 2";
    check(
        "",
        files,
        "COPY one two /x/",
        expect![[r#"
        d 755 0:0 x
        f 600 0:0 x/f 2
    "#]],
    );
}

#[test]
fn pipes_and_odd_names() {
    check(
        "",
        "p src/pipe\nf 644 0:0 src/größe 1",
        "COPY src /x",
        expect![[r#"
        d 755 0:0 x
        f 644 0:0 x/größe 1
        p x/pipe
    "#]],
    );
}

#[test]
fn nothing_has_nothing() {
    let copy = copy_of("COPY a /");
    let error = pick(&copy, &FileSource::Empty).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("`a` is not in an empty tree"));
    let copy = copy_of("COPY . /x");
    let picked = pick(&copy, &FileSource::Empty).unwrap();
    let changes = perform_copy(
        &copy,
        &picked,
        &View::default(),
        Workplace { scratch: Path::new("/nowhere"), cancel: &Cancel::default() },
        NOW,
    )
    .unwrap();
    assert_eq!(changes.len(), 1);
}

mod archives;
