//! Small lists, and what is read from them.

use super::*;

fn list<'a>(text: &'a str, codename: &'a str) -> List<'a> {
    let backports = codename.ends_with("-backports");
    let origin =
        Origin { codename, not_automatic: backports, but_automatic_upgrades: backports, ..Origin::default() };
    List { text, origin }
}

fn build<'a>(lists: &[&'a str], status: &'a str) -> Index<'a> {
    let lists = lists.iter().map(|text| list(text, "stable")).collect();
    Index::build(&Input { native: "amd64", foreign: &["i386"], lists, status }).expect("well formed lists")
}

/// What each package's candidate is, and in which lists.
fn show(index: &Index<'_>) -> String {
    let all = index.candidates(|_, _| true);
    let one = |version: VersionId| {
        let lists: Vec<String> = index.found(version).iter().map(|found| found.list.to_string()).collect();
        format!("{} {} [{}]", index.name(version), index.version(version), lists.join(" "))
    };
    all.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn one_version_of_several_lists_is_one() {
    let a = "Package: a\nVersion: 1\nArchitecture: amd64\nSize: 5\nDepends: b (<= 2)\n";
    let same = "Package: a\nVersion: 1\nArchitecture: amd64\nSize: 5\nDepends:  b(< 2)\n";
    let other = "Package: a\nVersion: 1\nArchitecture: amd64\nSize: 6\nDepends: b (<= 2)\n";
    assert_eq!(show(&build(&[a, same], "")), "a 1 [0 1]");
    assert_eq!(show(&build(&[a, other], "")), "a 1 [0]");
    let status =
        "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\nDepends: b (<= 2)\n";
    let index = build(&[a], status);
    assert_eq!((show(&index).as_str(), index.installed().len()), ("a 1 [0]", 1));
}

#[test]
fn priorities_choose_the_candidate() {
    let one = "Package: a\nVersion: 1\nArchitecture: amd64\n";
    let two = "Package: a\nVersion: 2\nArchitecture: amd64\n";
    let three = "Package: a\nVersion: 3\nArchitecture: amd64\n";
    let lists = vec![list(one, "stable"), list(three, "stable-backports"), list(two, "stable-updates")];
    let input = |status| Input { native: "amd64", foreign: &[], lists: lists.clone(), status };
    let chosen = |input: &Input<'_>| show(&Index::build(input).expect("well formed lists"));
    assert_eq!(chosen(&input("")), "a 2 [2]");
    // What is installed from backports is kept up to date from there, and nothing is taken back.
    let status = "Package: a\nStatus: install ok installed\nVersion: 2.5\nArchitecture: amd64\n";
    assert_eq!(chosen(&input(status)), "a 3 [1]");
    let mut pinned = input(status);
    pinned.lists[0].origin.pin = Some(1001);
    assert_eq!(chosen(&pinned), "a 1 [0]");
    // What is only left over does not count.
    let status = "Package: a\nStatus: deinstall ok config-files\nVersion: 9\nArchitecture: amd64\n";
    assert_eq!(chosen(&input(status)), "a 2 [2]");
}

#[test]
fn what_is_said_about_a_version_is_found() {
    let text = "Package: A\nVersion: 1\nArchitecture: all\nPriority: required\nEssential: yes\nFilename: pool/a.deb\n\
                Size: 7\nSHA256: 00ff\nSource: src (0.9)\nDescription: one\n two\n";
    let index = build(&[text], "");
    let [version] = index.candidates(|essential, priority| essential && priority == Priority::Required)[..]
    else {
        panic!("one package")
    };
    let stanza = index.describe(version);
    assert_eq!(
        (stanza.filename(), stanza.size(), stanza.sha256()),
        (Some("pool/a.deb"), Some(7), Some("00ff"))
    );
    assert_eq!(stanza.get("description"), Some("one\n two"));
    assert_eq!((index.name(version), index.architecture(version)), ("a", "all"));
    assert_eq!(index.source(version.0), ("src", "0.9"));
}

#[test]
fn mistakes_are_told_by_where_they_are() {
    for (text, message) in [
        (
            "Package: a\nVersion: 1\nDepends: b (>= 1\n",
            "field `Depends` of package `a` 1: no end of a version in `b (>= 1`",
        ),
        (
            "Package: a\nVersion: 1\n\nnonsense\n",
            "line 4 of list 1 is neither a field nor the continuation of one: `nonsense`",
        ),
    ] {
        let input = Input { native: "amd64", foreign: &[], lists: vec![list(text, "stable")], status: "" };
        let error = Index::build(&input).expect_err("a mistake");
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        let told = error.to_string();
        let told =
            if told.contains("no end") { told } else { format!("{told}{}", cause.unwrap_or_default()) };
        assert_eq!(told, message);
    }
    let status = "Package: a\nStatus: installed\nVersion: 1\n";
    let input = Input { native: "amd64", foreign: &[], lists: Vec::new(), status };
    let told = Index::build(&input).expect_err("a mistake").to_string();
    assert_eq!(told, "status of package `a` is not three known words: `installed`");
}

#[test]
fn names_that_are_near() {
    let index = build(
        &[
            "Package: python3\nVersion: 1\nArchitecture: amd64\n\nPackage: perl\nVersion: 1\nArchitecture: amd64\n",
        ],
        "",
    );
    assert_eq!(index.nearest("pyhton3"), Vec::<String>::new());
    assert_eq!(index.nearest("pythn3"), ["python3"]);
    assert_eq!(index.nearest("perll"), ["perl"]);
}

proptest::proptest! {
    #[test]
    fn any_list_ends(text in "((Package|Version|Depends|Provides|Status|Multi-Arch|Architecture): ?[ab1:|,()<>= \n]{0,12}\n){0,8}") {
        let input = Input { native: "a", foreign: &["b"], lists: vec![list(&text, "x"), list(&text, "y")], status: &text };
        let _ = Index::build(&input);
    }
}
