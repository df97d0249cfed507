//! Results of one build that would take each other's place: refused before it begins.

use crate::arguments::{Form, Output};
use crate::deliver::Share;
use crate::failure::Failure;
use ireko_oci::Reference;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// An output and the names that its image gets there.
type Named<'a> = (&'a Output, Vec<String>);

/// Refuses one name for the images of two targets, and one place for two results. `files` are written beside them: the
/// flag and the place.
pub(crate) fn refuse(shares: &[Share], files: &[(&str, &Path)]) -> Result<(), Failure> {
    names(shares)?;
    let outputs = shares.iter().flat_map(|share| share.outputs().iter().map(move |output| (share, output)));
    let mut taken: Vec<(PathBuf, String, Option<Named<'_>>)> = Vec::new();
    for (share, output) in outputs {
        let Some(dest) = output.dest.as_ref().filter(|_| output.form != Form::Store) else { continue };
        let real = real(dest);
        if swallows(&real) {
            continue;
        }
        let names: Vec<String> = match output.names.is_empty() {
            true => share.tags().iter().map(ToString::to_string).collect(),
            false => output.names.iter().map(ToString::to_string).collect(),
        };
        let adds = |(other, others): &Named<'_>| match output.form {
            form if form != other.form => false,
            Form::Local => true,
            // What has no name there is replaced, and so is what has the same.
            Form::OciDir => !names.is_empty() && !names.iter().any(|name| others.contains(name)),
            _ => false,
        };
        let shown = format!("`-o …,dest={}`", dest.display());
        let other =
            taken.iter().find(|(place, _, other)| *place == real && !other.as_ref().is_some_and(adds));
        if let Some((_, other, _)) = other {
            return Err(twice(other, &shown));
        }
        taken.push((real, shown, Some((output, names))));
    }
    for (flag, path) in files {
        let (real, shown) = (real(path), format!("`{flag} {}`", path.display()));
        if let Some((_, other, _)) = taken.iter().find(|(place, ..)| *place == real && !swallows(place)) {
            return Err(twice(other, &shown));
        }
        taken.push((real, shown, None));
    }
    Ok(())
}

fn twice(one: &str, other: &str) -> Failure {
    let message = match one == other {
        true => format!("{one} is given for two results, and one would replace the other"),
        false => format!("{one} and {other} are the same place, and one would replace the other"),
    };
    Failure::user(message).hint("give each a place of its own")
}

fn names(shares: &[Share]) -> Result<(), Failure> {
    let mut named: BTreeMap<&Reference, &str> = BTreeMap::new();
    for share in shares {
        let target = share.target().unwrap_or_default();
        for name in share.tags() {
            if let Some(other) = named.insert(name, target).filter(|other| *other != target) {
                let message =
                    format!("`-t` gives the name `{name}` to two images, of `{other}` and of `{target}`");
                return Err(Failure::user(message).hint("give each image a name of its own"));
            }
        }
    }
    Ok(())
}

/// A place as the file system knows it, as far as it is there: the same for all spellings of a path.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in absolute.ancestors() {
        let (Ok(mut real), Ok(rest)) = (there.canonicalize(), absolute.strip_prefix(there)) else { continue };
        for part in rest.components() {
            match part {
                Component::ParentDir => {
                    real.pop();
                }
                other => real.push(other),
            }
        }
        return real;
    }
    absolute
}

/// A device or a pipe keeps nothing that could be replaced.
fn swallows(place: &Path) -> bool {
    place.metadata().is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Tag;
    use crate::deliver::shares;

    /// What is said of these `-t`, `-o` and `--iidfile` of a build of targets `a` and `b`.
    fn said(tags: &[&str], outputs: &[&str], iidfile: Option<&str>) -> String {
        let targets = ["a".to_owned(), "b".to_owned()];
        let tags: Vec<Tag> = tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
        let outputs: Vec<Output> = outputs.iter().map(|output| Output::parse(output).unwrap()).collect();
        let files: Vec<_> = iidfile.iter().map(|path| ("--iidfile", Path::new(path))).collect();
        match refuse(&shares(&targets, &tags, &outputs).unwrap(), &files) {
            Ok(()) => String::new(),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn one_name_is_for_one_image() {
        assert_eq!(
            said(&["a=one", "b=docker.io/library/one:latest"], &[], None),
            "`-t` gives the name `docker.io/library/one:latest` to two images, of `a` and of `b`"
        );
        assert!(said(&["one", "a=one"], &[], None).contains("two images, of `a` and of `b`"));
        assert_eq!(said(&["a=one", "A=one", "b=one:2", "b=two"], &[], None), "");
    }

    #[test]
    fn one_place_is_for_one_result() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::os::unix::fs::symlink("d", dir.path().join("link")).unwrap();
        let output = |kind: &str, name: &str| format!("type={kind},dest={}", at(name));
        let check = |one: &str, other: &str| said(&[], &[one, other], None);
        let docker = output("docker", "d/x");
        assert_eq!(
            check(&docker, &output("oci", "d/x")),
            format!("`-o …,dest={}` is given for two results, and one would replace the other", at("d/x"))
        );
        for other in ["d/../d/./x", "link/x", "d//x"] {
            assert!(check(&docker, &output("oci", other)).contains("are the same place"), "{other}");
        }
        assert!(
            check(&output("local", "new/x"), &output("docker,tar=false", "new/y/../x"))
                .contains("same place")
        );
        for (one, other) in [
            (output("docker", "d/x"), output("oci", "d/y")),
            (output("local", "d"), format!("{},target=a", output("local", "link"))),
            ("type=oci,dest=/dev/null".to_owned(), "type=docker,dest=/dev/null".to_owned()),
        ] {
            assert_eq!(check(&one, &other), "", "{one} {other}");
        }
        let layout = output("oci,tar=false", "d");
        let others = format!("{layout},target=a");
        assert!(check(&layout, &others).contains("two results"));
        let named = format!("{layout},name=z:1");
        assert!(check(&named, &format!("{named},target=a")).contains("two results"));
        assert_eq!(check(&named, &format!("{layout},name=z:2,target=a")), "");
        assert_eq!(said(&["a=one", "two"], &[&layout, &others], None), "");
        assert!(said(&[], &[&docker], Some(&at("link/x"))).contains("`--iidfile"));
    }
}
