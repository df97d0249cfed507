//! `ireko base`: what it refuses before it makes anything. What it makes: `tests/examples.sh deb-base`.

use crate::support::Place;

#[test]
fn what_no_base_can_be_made_of_is_told() {
    let Some(place) = Place::new() else { return };
    let said = |args: &[&str], code: i32, says: &[&str]| {
        place.ireko(&[&["base"], args].concat()).fails(code, says);
    };
    said(&["fedora:40"], 2, &["`fedora` is no distribution that is known here", "debian:bookworm-slim"]);
    said(&["debian:"], 2, &["names no suite"]);
    said(&["debian:book worm"], 2, &["names no suite"]);
    said(&["debian:bookworm", "--platform", "linux/mips"], 2, &["no suite has packages for `linux/mips`"]);
    let empty = format!("file://{}", place.path("").display());
    said(&["debian:bookworm", "--mirror", &empty], 3, &["dists/bookworm/", "is missing"]);
    said(&["debian:bookworm", "--signed-by", "none.gpg"], 2, &["cannot use the keys of `none.gpg`"]);
    place.file("../keys.gpg", "no keys\n");
    said(&["debian:bookworm", "--signed-by", "keys.gpg"], 2, &["cannot use the keys of `keys.gpg`"]);
    assert_eq!(place.ireko(&["images", "-q"]).ok().stdout, "");
    place.sound();
}
