//! ADD and contexts from an nginx: what it says of files, how it sends them on, and how it breaks off.

use crate::daemons::Nginx;
use crate::support::Place;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn files_are_revalidated_redirected_and_missing() {
    let Some(place) = Place::with_base() else { return };
    let Some(nginx) = Nginx::start(
        "location /old { return 301 /file; } location /far { return 302 http://127.0.0.1:1/x; }",
    ) else {
        return;
    };
    nginx.file("file", b"one");
    let text = format!(
        "FROM base\nADD {} /f\nADD {} /g\nRUN stat -c '%a %Y' /f > /stat\n",
        nginx.url("/file"),
        nginx.url("/old")
    );
    place.built(&text);
    assert_eq!(place.inside("cat /f /g; cut -d' ' -f1 /stat"), "oneone600\n");
    let again = place.built(&text);
    assert_eq!(again.ran(), Vec::<String>::new(), "{}", again.stderr);
    assert_eq!(nginx.requests("/file"), ["GET 200 -", "GET 200 -", "GET 304 -", "GET 304 -"]);
    nginx.file("file", b"other");
    place.built(&text);
    assert_eq!(place.inside("cat /f /g"), "otherother");
    for (path, code, says) in [("/none", 2, "404"), ("/far", 3, "127.0.0.1:1")] {
        place.dockerfile(&format!("FROM base\nADD {} /f\n", nginx.url(path)));
        place.build(&[]).fails(code, &[says, "Dockerfile:2"]);
    }
    let tar = ireko_testkit::TarStream::new()
        .file("Dockerfile", "FROM base\nCOPY x /x\n")
        .file("x", "packed")
        .gzip();
    nginx.file("context.tar.gz", &tar);
    place.ireko(&["build", "-q", "-t", "app", &nginx.url("/context.tar.gz")]).ok();
    assert_eq!(place.inside("cat /x"), "packed");
}

#[test]
fn a_transfer_that_is_cut_is_gone_on_with_by_a_range() {
    let Some(place) = Place::with_base() else { return };
    let Some(nginx) = Nginx::start("location /slow { alias files/; limit_rate 400k; }") else { return };
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    nginx.file("big", &bytes);
    let sum = ireko_oci::Digest::of(&bytes);
    place.dockerfile(&format!("FROM base\nADD --checksum={sum} {} /big\n", nginx.url("/slow/big")));
    let mut command = place.command(&["build", "--progress=plain", "-t", "app", "context"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // Two and a half seconds of sending, cut in the middle.
    std::thread::sleep(Duration::from_millis(1200));
    nginx.cut();
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(place.inside("wc -c < /big").trim(), "1000000");
    let requests = nginx.requests("/slow/big");
    let resumed = requests.iter().any(|request| request.starts_with("GET 206 bytes="));
    assert!(resumed, "{requests:?}");
}
