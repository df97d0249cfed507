//! Files that appear whole or not at all.

use super::*;

#[test]
fn a_file_that_is_not_finished_never_existed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.tar");
    let mut output = Output::open(&To::Path(path.clone())).unwrap();
    output.put(b"half").unwrap();
    drop(output);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let mut output = Output::open(&To::Path(path.clone())).unwrap();
    output.put(b"whole").unwrap();
    assert_eq!(output.finish().unwrap(), 5);
    assert_eq!(fs::read(path).unwrap(), b"whole");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_link_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("real"), "old").unwrap();
    std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
    let mut output = Output::open(&To::Path(dir.path().join("link"))).unwrap();
    output.put(b"new").unwrap();
    output.finish().unwrap();
    assert_eq!(fs::read(dir.path().join("real")).unwrap(), b"new");
    assert!(dir.path().join("link").is_symlink());
}

#[test]
fn devices_are_written_to_as_they_are() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 5000]).unwrap();
    let mut output = Output::open(&To::Path("/dev/null".into())).unwrap();
    output.put_file(&mut file, 5000).unwrap();
    assert_eq!(output.finish().unwrap(), 5000);
    let mut full = Output::open(&To::Path("/dev/full".into())).unwrap();
    let error = full.put_file(&mut file, 5000).unwrap_err();
    assert_eq!(error.to_string(), "cannot write `/dev/full`");
    assert_eq!(error.blame(), ireko_report::Blame::Environment);
    assert_eq!(error.hint(), Some("free some space there, or write elsewhere"));
}

#[test]
fn a_directory_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let error = Output::open(&To::Path(dir.path().to_owned())).unwrap_err();
    assert_eq!(error.blame(), ireko_report::Blame::User);
}
